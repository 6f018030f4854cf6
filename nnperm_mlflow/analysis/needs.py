"""What memory and disk an audit will take, as far as its configuration tells."""

from __future__ import annotations

from collections.abc import Sequence

from nnperm_mlflow.analysis.engine import count_blocks
from nnperm_mlflow.analysis.job import Job, begins_together, result_bytes
from nnperm_mlflow.analysis.profiles import GRID, MOST_CATEGORIES
from nnperm_mlflow.analysis.shuffling import SHUFFLE_BLOCK_ROWS
from nnperm_mlflow.inputs.held import HELD_BYTES, row_bytes

_COPIES = 3  # of a block's inputs: as they are, disturbed, and as the model takes them
_DEVIATION_BYTES = 4  # of a deviation in the table,
_SHEET_BYTES = 5  # and in the journal, with its marks
_ROW_BYTES = 40  # of a row of the table, beside its deviations
_FILE_BYTES = 1 << 12  # of a file, however little it holds
_PREDICTION_BYTES = 8
_FIXED_BYTES = 1 << 28  # of the table's row groups, tallies and pictures: 256 MiB


def memory_bytes(job: Job, block_rows: int, profiles: Sequence[str] = ()) -> dict[str, int]:
    """Return about how many bytes of memory an audit takes beyond what has been loaded, by what takes them.

    Parameters
    ----------
    job : Job
    block_rows : int
        Most rows of a block.
    profiles : sequence of str
        Features that are profiled.
    """
    n_rows, sources = job.inputs.n_rows, job.inputs.sources
    block, exchanging = min(block_rows, n_rows), min(n_rows, SHUFFLE_BLOCK_ROWS)
    return {
        "a block of rows (analysis: block_rows)": block
        * (_COPIES * row_bytes(sources) + job.predictor.row_bytes + result_bytes(job) * job.repeats),
        "rows that exchange values": min(HELD_BYTES, row_bytes(sources) * exchanging)
        + (job.predictor.kept_bytes * exchanging if begins_together(job, exchanging) else 0),
        "profiles (analysis: profile)": 4 * n_rows * GRID * len(profiles),
        "tables and pictures": _FIXED_BYTES,
    }


def disk_bytes(
    job: Job, block_rows: int, most_repeats: int | None = None, profiles: Sequence[str] = ()
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
    """
    n_rows, n_perturbations = job.inputs.n_rows, len(job.perturbations)
    repeats, copies = (job.repeats, 1) if most_repeats is None else (most_repeats, 2)
    deviations = n_rows * repeats * n_perturbations
    table = copies * (_DEVIATION_BYTES * deviations + _ROW_BYTES * n_rows * repeats)
    marks = min(n_rows, SHUFFLE_BLOCK_ROWS) * repeats * n_perturbations
    outputs = _PREDICTION_BYTES * max(1, len(job.predictor.outputs.names))
    predictions = outputs * deviations * job.keeps_predictions
    n_sheets = count_blocks(n_rows, block_rows) * ((1 if most_repeats is None else repeats) + bool(profiles))
    of_profiles = n_rows * MOST_CATEGORIES * len(profiles)
    sheets = _SHEET_BYTES * (deviations + of_profiles) + n_sheets * (outputs * min(n_rows, block_rows) + _FILE_BYTES)
    return table + marks + predictions, sheets + predictions
