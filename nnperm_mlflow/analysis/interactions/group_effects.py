"""What a group of features moves beyond its members: all disturbed at once, beside each disturbed alone.

References
----------
Sobol, "Global Sensitivity Indices for Nonlinear Mathematical Models and Their Monte Carlo Estimates", Mathematics and
Computers in Simulation 55, 2001; Jansen, "Analysis of Variance Designs for Model Output", Computer Physics
Communications 117, 1999.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.table import TableReader, column_names
from nnperm_mlflow.analysis.interactions.interaction_columns import GROUP_COLUMNS
from nnperm_mlflow.analysis.perturbation.kinds import Conditional, Shuffle
from nnperm_mlflow.analysis.uncertainty.audited_rows import known_blocks
from nnperm_mlflow.analysis.uncertainty.error_moments import ErrorMoments
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks
from nnperm_mlflow.analysis.uncertainty.skewness import reaches
from nnperm_mlflow.analysis.uncertainty.variance import Exchange, UnitSums


def group_effects(job: Job, table: Path) -> pd.DataFrame | None:
    """Tell what each group moves, what its members move one by one, and by how much the two differ.

    Parameters
    ----------
    job : Job
        With all repeats that were made.
    table : Path
        Its deviation table.

    Returns
    -------
    DataFrame or None
        A row for each group and way of shuffling in which all of its members were shuffled, too, with the columns
        `GROUP_COLUMNS`. `total` is half the mean square of the group's deviations over the variance of the predictions
        of the rows as they are, `apart` the sum of that over its members, `beyond` the first less the second, each with
        its 95 % interval, the variance taken as it is. None where there is no such group, or the audit follows a
        distance between several outputs, which has no variance.

    Notes
    -----
    Where features are independent of each other half the mean square of what a shuffle moves is the variance of all
    terms of the model in which the shuffled features stand (Jansen, 1999; Sobol, 2001). Intervals within strata and
    subgroups count what these lie off twice, as of receiver and donor, and so are rather too wide.
    """
    groups = [*_groups_of(job)]
    if not groups or job.measure.distance is not None:
        return None
    known = known_blocks(job)
    with TableReader(table) as reader:
        (baseline,) = job.measure.baseline_names
        variance = float(np.nanvar(np.concatenate([*reader.repeat(baseline, 0)], dtype=np.float64)))
        effects = _Effects(job, reader, known)
        rows = [_told(job, effects, group, members, variance) for group, members in groups]
    return pd.DataFrame(rows, columns=list(GROUP_COLUMNS))


def _groups_of(job: Job) -> Iterator[tuple[int, list[int]]]:
    """Yield for each group, and each way, the positions of its perturbation and of those of its members."""
    places = {(done.way, done.feature.name): place for place, done in enumerate(job.perturbations)}
    for way in (Shuffle.way, Conditional.way):
        for place, done in enumerate(job.perturbations):
            if done.way == way and done.feature.kind == "group":
                members = [places.get((way, name)) for name in done.feature.members]
                found = [member for member in members if member is not None]
                if len(found) == len(members):
                    yield place, found


@dataclass(frozen=True)
class _Effect:
    """Half the mean square of one perturbation's deviations, and how it errs.

    Attributes
    ----------
    value : float
    received : ndarray of shape (n_repeats, n_known)
        What each deviation adds to its error.
    sums : UnitSums
        What each row, or cluster, adds as a receiver and as a donor.
    n_units, skipped : int
        Rows, or clusters, with a deviation; deviations that are not known.
    """

    value: float
    received: np.ndarray
    sums: UnitSums
    n_units: int
    skipped: int


class _Effects:
    """Reads each perturbation's deviations once."""

    def __init__(self, job: Job, reader: TableReader, known: KnownBlocks) -> None:
        self._job = job
        self._reader = reader
        self._columns = column_names(
            job.perturbations, job.measure.baseline_names, has_clusters=job.clusters is not None
        )
        self._found: dict[tuple[int, int], _Effect] = {}
        self._known = known

    def n_blocks(self, places: Sequence[int]) -> int:
        """Return on how many of the known blocks all of some perturbations were audited."""
        return min(self._job.stopped.get(place, len(self._known.blocks)) for place in places)

    def of(self, place: int, n_blocks: int) -> _Effect:
        """Return the effect of a perturbation, its error found on so many of the first blocks."""
        if (place, n_blocks) not in self._found:
            self._found[place, n_blocks] = self._read(place, self._known.first(n_blocks))
        return self._found[place, n_blocks]

    def _read(self, place: int, known: KnownBlocks) -> _Effect:
        """Read the deviations of a perturbation; those of the known blocks are the first rows of each repeat."""
        job, repeats = self._job, range(self._job.repeats)
        few = np.stack([self._first(place, repeat, known.n_rows) for repeat in repeats])
        is_known = ~np.isnan(few)
        n_known = int(np.count_nonzero(is_known))
        received = np.where(is_known, few - (few[is_known].mean() if n_known else 0.0), 0.0) / max(1, n_known)
        n_kept, total = self._sum(place)
        done = job.perturbations[place]
        exchange = cast(
            "Exchange", known.dependence(lambda block, repeat: job.donors(block, done, repeat), repeats)
        )  # of strata nothing is said here
        return _Effect(
            value=total / n_kept if n_kept else math.nan,
            received=received,
            sums=exchange.sums(received),
            n_units=exchange.count_units(is_known),
            skipped=job.rows_of(place) * job.repeats - n_kept,
        )

    def _sum(self, place: int) -> tuple[int, float]:
        """Return how many deviations are known, and half the sum of their squares, correctly rounded."""
        n_kept = 0

        def halves() -> Iterator[float]:
            nonlocal n_kept
            for values in self._reader.column(self._columns[place]):
                known = values[~np.isnan(values)].astype(np.float64)
                n_kept += len(known)
                yield from (np.square(known) / 2).tolist()

        total = math.fsum(halves())
        return n_kept, total

    def _first(self, place: int, repeat: int, n_rows: int) -> np.ndarray:
        """Return half the squares of the first rows' deviations in a repeat, NaN where one is not known."""
        parts, n_read = list[np.ndarray](), 0
        for values in self._reader.repeat(self._columns[place], repeat):
            parts.append(values[: n_rows - n_read])
            n_read += len(parts[-1])
            if n_read == n_rows:
                break
        return np.square(np.concatenate(parts).astype(np.float64)) / 2


def _told(job: Job, effects: _Effects, group: int, members: list[int], variance: float) -> dict[str, object]:
    """Return what is told of a group."""
    places = [group, *members]
    n_blocks = effects.n_blocks(places)
    found = [effects.of(place, n_blocks) for place in places]
    times = min(job.rows_of(place) for place in places) / found[0].received.shape[1]
    done = job.perturbations[group]
    told: dict[str, object] = {
        "group": done.feature.name,
        "way": done.way,
        "members": ", ".join(done.feature.members),
        "rows": job.rows_of(group) * job.repeats,
        "skipped": found[0].skipped,
    }
    weights = {"total": [1, *(0 for _ in members)], "apart": [0, *(1 for _ in members)]}
    weights["beyond"] = [1, *(-1 for _ in members)]
    for name, of_each in weights.items():
        value, low, high = _combined(found, of_each, times)
        ends = (value, low if name == "beyond" or math.isnan(low) else max(0.0, low), high)
        scaled = [each / variance if variance > 0 else math.nan for each in ends]
        told |= dict(zip((name, f"{name}_low", f"{name}_high"), scaled, strict=True))
    return told


def _combined(found: Sequence[_Effect], weights: Sequence[int], times: float) -> tuple[float, float, float]:
    """Return a sum of effects, and between which numbers it lies.

    Each row is receiver in all of them, and donor in each to another row: what rows add is summed up over the effects,
    and what only a pair has, which these sums count twice, is another one in each.
    """
    used = [(effect, weight) for effect, weight in zip(found, weights, strict=True) if weight]
    value = math.fsum(weight * effect.value for effect, weight in used)
    n_units = min(effect.n_units for effect, _ in used)
    if n_units < FEWEST_ROWS or math.isnan(value):
        return value, math.nan, math.nan
    sums = UnitSums(
        np.sum([weight * effect.sums.units for effect, weight in used], axis=0),
        math.fsum(weight**2 * effect.sums.squares for effect, weight in used),
        math.fsum(weight**3 * effect.sums.cubes for effect, weight in used),
    )
    received = np.sum([weight * effect.received for effect, weight in used], axis=0)
    moments = sums.moments()
    moments = ErrorMoments(moments.second, float(np.square(received).sum()), moments.third, moments.beyond)
    below, above = reaches(moments.of_more_rows(times), n_units)
    return value, value - below, value + above
