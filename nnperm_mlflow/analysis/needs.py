"""What memory and disk an audit will take, as far as its configuration tells."""

from __future__ import annotations

from collections.abc import Sequence

from nnperm_mlflow.analysis.job import Job, begins_together, result_bytes
from nnperm_mlflow.analysis.profiles import GRID
from nnperm_mlflow.analysis.shuffling import SHUFFLE_BLOCK_ROWS
from nnperm_mlflow.inputs.held import HELD_BYTES, row_bytes

_COPIES = 3  # of a block's inputs: as they are, disturbed, and as the model takes them
_SHEET_BYTES = 5  # of a deviation in the journal, with its marks
_ROW_BYTES = 40  # of a row of the table, beside its deviations
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


def disk_bytes(job: Job) -> tuple[int, int]:
    """Return about how many bytes an audit writes: into the deviation table, and beside it until it is finished.

    Parameters
    ----------
    job : Job
        Of all repeats.
    """
    deviations = job.inputs.n_rows * job.repeats * len(job.perturbations)
    table = 4 * deviations + _ROW_BYTES * job.inputs.n_rows * job.repeats
    kept = 2 * _PREDICTION_BYTES * max(1, len(job.predictor.outputs.names)) if job.keeps_predictions else 0
    return table, (_SHEET_BYTES + kept) * deviations + table
