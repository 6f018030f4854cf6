"""What an audit will take, found out from its first block."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from nnperm_mlflow.analysis.blockwise.slice_plan import count_slices
from nnperm_mlflow.analysis.engine.job import begins_together
from nnperm_mlflow.analysis.engine.loop import audit_block, audit_first_block, count_blocks
from nnperm_mlflow.analysis.interactions.forecast_pairs import PairForecast, forecast_pairs
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock
from nnperm_mlflow.analysis.profiles.profile_grids import profile_job
from nnperm_mlflow.analysis.profiles.value_intervals import accumulated_features, edges_job
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.auditor.sampling import looks, rows_of_looks
from nnperm_mlflow.basics.display import as_html, in_a_line
from nnperm_mlflow.basics.text import some_of
from nnperm_mlflow.config.interactions_config import interactions_of
from nnperm_mlflow.config.profile_config import accumulated_of, dependence_of
from nnperm_mlflow.inputs.row_cache import row_bytes

_MOST_NAMES = 12  # of inputs, in a line
_STATUS = Path("/proc/self/status")
_MIB = 1 << 20
_NUMBER_BYTES = 8  # of a row's position, that goes with it
_ROW_BYTES = 40  # of a row of the table, beside its deviations
_PIECE_BYTES = 7  # of a deviation that a slice gives to those that join slices


@dataclass(frozen=True)
class Tasks:
    """What an audit on a cluster will take.

    Attributes
    ----------
    count : int
        One for each shuffle block, or for each slice of its perturbations.
    rows : int
        Most rows of one.
    slices : int
        Into how many the perturbations of a block are cut, so that no task takes too long.
    seconds : float
        Of one, on a core like one of this machine.
    moved_bytes : int
        Of rows that are exchanged between machines, about; they are packed, and not compressed.
    table_bytes : int
        Of the deviation table at most.
    """

    count: int
    rows: int
    slices: int
    seconds: float
    moved_bytes: int
    table_bytes: int

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What they are, in words."""
        cut = "" if self.slices == 1 else f" (blocks in {self.slices:,} slices of the perturbations)"
        each = f"{self.seconds:,.1f} s each on a core like this one's"
        return [
            ("tasks", f"{self.count:,} of at most {self.rows:,} rows{cut}, {each}"),
            ("moved", f"{self.moved_bytes / _MIB:,.1f} MiB between the machines of the cluster, about"),
            ("table", f"{self.table_bytes / _MIB:,.1f} MiB at most"),
        ]


@dataclass(frozen=True)
class Forecast:
    """What an audit will take, from its first block.

    Attributes
    ----------
    plan : Plan
    block_calls : int
        Calls of the model, or of a part of it, for a block.
    n_blocks : int
    seconds : float
        Of the whole loop, and of profiles; where the number of rows is found out, of the first look.
    peak_bytes : int or None
        Largest memory of this process, expected: that so far, and what is kept of the rows that exchange values. What
        comes at the end (the statistics, the picture) is not in it.
    most_rows : int or None
        Rows of the last look that may be, where their number is found out.
    expected_rows : int or None
        Those of the look at which intervals are as narrow as asked, if they narrow from a first batch of rows on as the
        root of the rows; None where no precision is asked for.
    tasks : Tasks or None
        What each task takes, where a cluster does the work; `seconds` are then those of one core.
    pairs : PairForecast or None
        What pairs of features will take, where they are asked for; it is part of `seconds`.
    """

    plan: Plan
    block_calls: int
    n_blocks: int
    seconds: float
    peak_bytes: int | None
    most_rows: int | None = None
    expected_rows: int | None = None
    tasks: Tasks | None = None
    pairs: PairForecast | None = None

    @property
    def subject(self) -> str:
        """What would be audited, on how many rows."""
        return f"{self.plan.job.model} on {self.plan.dataset.in_words}"

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What the audit will take, in words, with what each thing is called; some more than once."""
        plan, job = self.plan, self.plan.job
        for_each = " of each repeat" if plan.precision is not None else ""
        calls = f"{self.block_calls:,} a block, {self.block_calls * self.n_blocks:,} in all{for_each}"
        shares: dict[int, list[str]] = {}
        for name, share in job.predictor.shares.items():
            shares.setdefault(round(100 * share), []).append(name)
        return [
            ("features", f"{len(job.inputs.features)}, with {len(job.perturbations)} perturbations"),
            ("data", str(plan.record["data_digest"])),
            ("configuration", f"{plan.used.design_digest()}, whatever seed and repeats"),
            ("repeats", str(plan.used.analysis.repeats)),
            *([] if self.most_rows is None else [("rows", self._looks)]),
            ("seed", str(plan.used.analysis.seed)),
            ("blocks", f"{self.n_blocks:,} of at most {plan.block_rows:,} rows"),
            *([] if self.tasks is None else self.tasks.facts),
            ("model calls", calls),
            *[
                ("run again", f"{share} % of the model when one of these changes: {some_of(names, _MOST_NAMES)}")
                for share, names in sorted(shares.items())
            ],
            *([] if self.pairs is None else [("interactions", self.pairs.in_words)]),
            *self._of_this_process(for_each),
        ]

    def _of_this_process(self, for_each: str) -> list[tuple[str, str]]:
        """Return what memory and time the work takes here, or what it takes elsewhere."""
        if self.tasks is not None:
            return [("expected time", f"{self.seconds:,.1f} s of one core, shared among those of the cluster")]
        used = "unknown" if self.peak_bytes is None else f"{self.peak_bytes / _MIB:,.0f} MiB"
        in_all = ""
        if self.most_rows is not None:
            in_all = f" of the first look; {self._seconds_of(self.most_rows)} at most"
        if self.expected_rows is not None:
            in_all += f", {self._seconds_of(self.expected_rows)} for the rows that are expected"
        return [
            ("memory", f"{used} expected for the process; beyond 65,536 rows deviations take no more"),
            ("expected time", f"{self.seconds:,.1f} s, from the first block{for_each}{in_all}"),
        ]

    @property
    def _looks(self) -> str:
        """On how many rows the first look is, and the last one that may be."""
        width = self.plan.rows_precision
        until = "each check is decided" if width is None else f"intervals are {width:g} wide at most"
        expected = "" if self.expected_rows is None else f": about {self.expected_rows:,}, as a batch lets expect"
        return f"{self.plan.dataset.n_rows:,} at first, then more, at most {self.most_rows:,}, until {until}{expected}"

    def _seconds_of(self, n_rows: int) -> str:
        """Return how long so many rows take, in words."""
        return f"{self.seconds * n_rows / self.plan.dataset.n_rows:,.1f} s"

    def __repr__(self) -> str:
        told = [f"{name} {fact}" for name, fact in self.facts if name in ("model calls", "expected time")]
        return in_a_line("Forecast", self.subject, *told)

    def _repr_html_(self) -> str:
        return as_html(self.subject, facts=self.facts)


def forecast(asked: Plan, expected_rows: int | None = None) -> Forecast:
    """Time one block, and tell from it what the audit will take; nothing is logged or kept.

    Parameters
    ----------
    asked : Plan
    expected_rows : int, optional
        As `measurement.expect_rows` returns it.
    """
    if asked.elsewhere is not None:
        return _on_cluster(asked)
    plan = next(looks(asked))
    job = plan.job
    calls = job.predictor.calls
    started = time.monotonic()
    first = audit_first_block(job, plan.block_rows)
    if names := dependence_of(plan.used.analysis.profile):
        audit_first_block(profile_job(job, names), plan.block_rows)
    if accumulated := accumulated_features(job, accumulated_of(plan.used.analysis.profile)):
        audit_first_block(edges_job(job, accumulated), plan.block_rows)
    n_calls = job.predictor.calls - calls
    seconds = (time.monotonic() - started) * plan.dataset.n_rows / len(first.rows)
    pairs = forecast_pairs(job, interactions_of(plan.used.analysis.interactions), plan.block_rows)
    seconds += 0.0 if pairs is None else pairs.seconds
    n_blocks = count_blocks(job, plan.block_rows)
    exchanging = job.exchanging_rows
    finds_rows = plan.used.analysis.rows == "auto"
    most_rows = rows_of_looks(asked)[-1] if finds_rows else None
    kept = job.predictor.kept_bytes * exchanging if begins_together(job, exchanging) else 0
    peak = _peak_bytes()
    peak = None if peak is None else peak + kept
    return Forecast(plan, n_calls, n_blocks, seconds, peak, most_rows, expected_rows, pairs=pairs)


def _on_cluster(plan: Plan) -> Forecast:
    """Time a block of rows that are here, and tell from it what each task will take; the cluster disturbs nothing."""
    if plan.elsewhere is None:
        raise RuntimeError("the rows are on no cluster")
    job, some = plan.job, plan.elsewhere.here[: plan.block_rows]
    calls, started = job.predictor.calls, time.monotonic()
    audit_block(job, ShuffleBlock(0, some), job.inputs.hold(some), slice(0, len(some)))
    of_row = (time.monotonic() - started) / len(some)
    n_rows, most_rows, n_perturbations = plan.dataset.n_rows, max(job.deal.sizes), len(job.perturbations)
    slices = count_slices(of_row * most_rows, n_perturbations)
    deviation_bytes = n_rows * job.repeats * n_perturbations * (_PIECE_BYTES if slices > 1 else 0)
    tasks = Tasks(
        count=slices * len(job.deal.sizes),
        rows=most_rows,
        slices=slices,
        seconds=of_row * most_rows / slices,
        moved_bytes=slices * n_rows * (row_bytes(job.inputs.sources) + _NUMBER_BYTES) + deviation_bytes,
        table_bytes=n_rows * job.repeats * (4 * n_perturbations + _ROW_BYTES),
    )
    seconds = of_row * plan.dataset.n_rows
    return Forecast(plan, job.predictor.calls - calls, count_blocks(job, plan.block_rows), seconds, None, tasks=tasks)


def _peak_bytes() -> int | None:
    """Return the largest memory of this process so far; Linux's `getrusage` would count that of its parent in."""
    if _STATUS.exists():
        told = [
            line.split()[1] for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:")
        ]
        return 1024 * int(told[0]) if told else None
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
