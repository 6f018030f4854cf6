"""What memory and disk an audit will take, and whether this machine has them: found out before it begins."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from nnperm_mlflow.analysis.engine.job import Job, begins_together, result_bytes
from nnperm_mlflow.analysis.engine.loop import count_blocks
from nnperm_mlflow.analysis.interactions.pair_choice import TOP
from nnperm_mlflow.analysis.perturbation.donors import SHUFFLE_BLOCK_ROWS
from nnperm_mlflow.analysis.profiles.profile_grids import GRID, MOST_CATEGORIES
from nnperm_mlflow.analysis.profiles.value_intervals import accumulated_features
from nnperm_mlflow.analysis.segments.segmentation import Segmentation
from nnperm_mlflow.analysis.uncertainty.audited_rows import known_blocks
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.basics.errors import RoomError
from nnperm_mlflow.config.interactions_config import interactions_of
from nnperm_mlflow.config.profile_config import accumulated_of, dependence_of
from nnperm_mlflow.inputs.row_cache import HELD_BYTES, row_bytes

_COPIES = 3  # of a block's inputs: as they are, disturbed, and as the model takes them
_COPIES_OF_SAMPLE = 2  # as the data hold its rows, and as the model takes them
_DEVIATION_BYTES = 4  # of a deviation in the table,
_SHEET_BYTES = 5  # and in the journal, with its marks
_ROW_BYTES = 40  # of a row of the table, beside its deviations
_FILE_BYTES = 1 << 12  # of a file, however little it holds
_PREDICTION_BYTES = 8
_FIXED_BYTES = 1 << 28  # of the table's row groups, tallies and pictures: 256 MiB


_PAIR_BYTES = 8  # of a row of a pair of features
_SEGMENT_BYTES = 40  # of a row in a repeat, of the perturbation whose segments are told of: deviations and marks,
_ERROR_BYTES, _CLUSTER_BYTES = 60, 220  # and besides where errors are found, of a row and of one in a cluster,
_UNIT_BYTES = 5  # and of such a row in each segment
_PARTED_BYTES = 24  # of a row in each column with segments


def memory_bytes(
    job: Job,
    block_rows: int,
    profiles: Sequence[str] = (),
    segmentations: Sequence[Segmentation] = (),
    most_repeats: int | None = None,
    *,
    n_pairs: int = 0,
) -> dict[str, int]:
    """Return about how many bytes of memory an audit takes beyond what has been loaded, by what takes them.

    Parameters
    ----------
    job : Job
    block_rows : int
        Most rows of a block.
    profiles : sequence of str
        Features that are profiled.
    segmentations : sequence of Segmentation
        What parts the rows into segments.
    most_repeats : int, optional
        As for `disk_bytes`.
    n_pairs : int
        Pairs of features that are followed.
    """
    n_rows, sources = job.inputs.n_rows, job.inputs.sources
    block, exchanging = min(block_rows, n_rows), job.exchanging_rows
    return {
        "a block of rows (analysis: block_rows)": block
        * (_COPIES * row_bytes(sources) + job.predictor.row_bytes + result_bytes(job) * job.repeats),
        "rows that exchange values": min(HELD_BYTES, row_bytes(sources) * exchanging)
        + (job.predictor.kept_bytes * exchanging if begins_together(job, exchanging) else 0),
        **({} if job.sample is None else {"the sample (analysis: rows)": _COPIES_OF_SAMPLE * _sample_bytes(job)}),
        "segments (analysis: segments)": _segment_bytes(job, segmentations, most_repeats or job.repeats),
        "profiles (analysis: profile)": 4 * n_rows * GRID * len(profiles),
        "interactions (analysis: interactions)": _PAIR_BYTES * n_rows * n_pairs,
        "tables and pictures": _FIXED_BYTES,
    }


def _sample_bytes(job: Job) -> int:
    """Return about how many bytes the rows of a sample take that are held in memory."""
    return min(HELD_BYTES, row_bytes(job.inputs.sources) * job.inputs.n_rows)


def _segment_bytes(job: Job, segmentations: Sequence[Segmentation], repeats: int) -> int:
    """Return about how many bytes it takes to tell of segments, one perturbation after the other."""
    if not segmentations:
        return 0
    n_rows, n_known = job.inputs.n_rows, known_blocks(job).n_rows
    of_errors = _ERROR_BYTES if job.clusters is None else _CLUSTER_BYTES
    of_segments = _UNIT_BYTES * n_known * max(len(each.names) for each in segmentations)
    of_repeats = repeats * (_SEGMENT_BYTES * n_rows + of_errors * n_known)
    return of_repeats + of_segments + _PARTED_BYTES * n_rows * len(segmentations)


def disk_bytes(
    job: Job, block_rows: int, most_repeats: int | None = None, profiles: Sequence[str] = (), *, segments: bool = False
) -> tuple[int, int]:
    """Return about how many bytes an audit writes at most: beside its files, and where finished blocks are kept.

    Parameters
    ----------
    job : Job
    block_rows : int
        Most rows of a block.
    most_repeats : int, optional
        Where their number is found out, as `findings.Precision` has it: the table is then written in parts, which are
        joined in the end.
    profiles : sequence of str
        Features that are profiled; what comes of them is kept until the audit is finished, too.
    segments : bool
        Whether segments are told of, for which the marks of all rows are kept.
    """
    n_rows, n_perturbations = job.inputs.n_rows, len(job.perturbations)
    repeats, copies = (job.repeats, 1) if most_repeats is None else (most_repeats, 2)
    deviations = n_rows * repeats * n_perturbations
    table = copies * (_DEVIATION_BYTES * deviations + _ROW_BYTES * n_rows * repeats)
    marks = (n_rows if segments else min(n_rows, SHUFFLE_BLOCK_ROWS)) * repeats * n_perturbations
    outputs = _PREDICTION_BYTES * max(1, len(job.predictor.outputs.names))
    predictions = outputs * deviations * job.keeps_predictions
    n_sheets = count_blocks(job, block_rows) * ((1 if most_repeats is None else repeats) + bool(profiles))
    of_profiles = n_rows * MOST_CATEGORIES * len(profiles)
    sheets = _SHEET_BYTES * (deviations + of_profiles) + n_sheets * (outputs * min(n_rows, block_rows) + _FILE_BYTES)
    return table + marks + predictions, sheets + predictions


_FEW = 10  # MiB, of which fractions are told
_MIB = 1 << 20
_CONTAINER = Path("/sys/fs/cgroup")


def check_room(plan: Plan, table: Path, work: Path) -> None:
    """Refuse an audit that would not fit.

    Parameters
    ----------
    plan : Plan
    table, work : Path
        Directories for the deviation table, and for what is kept until it is finished.

    Raises
    ------
    RoomError
        The message says what takes most, how much there is, and what to change.
    """
    most_repeats, asked = None if plan.precision is None else plan.precision.most, plan.used.analysis.profile
    accumulated = [each.name for each in accumulated_features(plan.job, accumulated_of(asked))]
    profiles = [*dependence_of(asked), *accumulated]
    n_pairs = _count_pairs(plan)
    needed = memory_bytes(plan.job, plan.block_rows, profiles, plan.segmentations, most_repeats, n_pairs=n_pairs)
    check_memory(needed, available_memory())
    of_table, of_work = disk_bytes(plan.job, plan.block_rows, most_repeats, profiles, segments=bool(plan.segmentations))
    of_work += _pair_disk_bytes(plan, n_pairs)
    check_disk([(table, of_table), (work, of_work)])


def _count_pairs(plan: Plan) -> int:
    """Return how many pairs of features are followed on all rows, at most."""
    asked = interactions_of(plan.used.analysis.interactions)
    if asked is None:
        return 0
    return TOP if asked.pairs == "auto" else len(asked.pairs)


def _pair_disk_bytes(plan: Plan, n_pairs: int) -> int:
    """Return about how many bytes are kept of pairs until the audit is finished: of both alone, and together."""
    outputs = _PREDICTION_BYTES * max(1, len(plan.job.predictor.outputs.names))
    return (_SHEET_BYTES + outputs) * plan.job.inputs.n_rows * 3 * n_pairs


def check_memory(needed: dict[str, int], available: int) -> None:
    """Refuse what takes more memory than there is; `needed` tells the bytes by what takes them."""
    total = sum(needed.values())
    if total > available:
        most = max(needed, key=lambda part: needed[part])
        raise RoomError(
            f"the audit would take about {_in_mib(total)} of memory, and {_in_mib(available)} are free. Most, "
            f"{_in_mib(needed[most])}, is for {most}: ask for less of it."
        )


def check_disk(needed: Iterable[tuple[Path, int]]) -> None:
    """Refuse what takes more disk than there is: bytes by directory, of which several may lie on one disk."""
    by_disk: dict[int, tuple[Path, int]] = {}
    for path, n_bytes in needed:
        disk = path.stat().st_dev
        by_disk[disk] = (path, by_disk.get(disk, (path, 0))[1] + n_bytes)
    for path, n_bytes in by_disk.values():
        free = shutil.disk_usage(path).free
        if n_bytes > free:
            raise RoomError(
                f"the audit would write about {_in_mib(n_bytes)} to '{path}', where {_in_mib(free)} are free. Make "
                "room, name another directory (--work-dir, --output), or ask for fewer repeats or profiles (analysis)."
            )


def available_memory() -> int:
    """Return the bytes of memory that are free: of the machine, or of the container where that allows less."""
    free = int(psutil.virtual_memory().available)
    try:
        most = (_CONTAINER / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CONTAINER / "memory.current").read_text(encoding="ascii"))
        told = (_CONTAINER / "memory.stat").read_text(encoding="ascii").splitlines()
        given_back = int(dict(line.split() for line in told)["inactive_file"])  # pages of files that are but kept
        return free if most == "max" else min(free, max(0, int(most) - used + given_back))
    except (OSError, ValueError, KeyError):
        return free


def _in_mib(n_bytes: int) -> str:
    mib = n_bytes / _MIB
    return f"{mib:,.0f} MiB" if mib >= _FEW else f"{mib:,.2f} MiB"
