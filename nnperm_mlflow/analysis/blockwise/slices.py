"""A shuffle block audited in slices, each some of the perturbations, where all of them would take a worker too long."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa

from nnperm_mlflow.analysis.blockwise.block_task import BlockTask, NamedResult, named_results
from nnperm_mlflow.analysis.blockwise.slice_plan import positions_of
from nnperm_mlflow.analysis.engine.block_result import BlockResult
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import audit_block
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock
from nnperm_mlflow.basics.errors import DataError, PredictionError
from nnperm_mlflow.models.predictor import Predictor

_TRIED_ROWS = (64, 512, 4_096)  # on which a row's time is measured; of few rows calls cost more than rows
_SURE_SECONDS = 2.0  # of which calls are a small part
_PIECE_BYTES = 1 << 22  # of deviations and what is marked of them: 4 MiB
_DEVIATION_BYTES = 7
_DISTURBED = ("deviations", "moved", "fell", "flipped")
PIECE = pa.schema([("block", pa.int32()), ("first_row", pa.int64()), ("place", pa.int32()), ("packed", pa.binary())])
"""Of what slices give: the shuffle block, the first of some of its rows, the number of the slice, a pickled `Piece`.

Pieces are small, so that whoever orders them needs little memory."""


def seconds_of_row(job: Job, positions: np.ndarray, most: float) -> float:
    """Return how long a row takes under all perturbations, on a machine like this one, once the model is warm.

    Parameters
    ----------
    job : Job
        Whose model has been called already.
    positions : ndarray of shape (n,), int64
        Of rows that are here.
    most : float
        Seconds of a row below which nobody asks how long exactly.
    """
    of_row = 0.0
    for n_rows in _TRIED_ROWS:
        some = positions[:n_rows]
        began = time.monotonic()
        audit_block(job, ShuffleBlock(0, some), job.inputs.hold(some), slice(0, len(some)))
        seconds = time.monotonic() - began
        of_row = seconds / len(some)
        if of_row <= most or seconds > _SURE_SECONDS or n_rows >= len(positions):
            break
    return of_row


@dataclass(frozen=True)
class Piece:
    """What came of some rows of a shuffle block in one slice.

    Attributes
    ----------
    result : BlockResult
        Of the slice's perturbations alone.
    names : ndarray of shape (n_rows,), or None
        The rows' names.
    """

    result: BlockResult
    names: np.ndarray | None


def audit_slice(
    task: BlockTask, predictor: Predictor, number: int, table: pa.Table, *, place: int, n_slices: int
) -> Iterator[pa.RecordBatch]:
    """Audit one shuffle block under some of the perturbations; give `PIECE`.

    Parameters
    ----------
    task, predictor, number, table
        As for `block_task.audit_rows`.
    place, n_slices : int
        Which slice, of how many.
    """
    positions = positions_of(place, n_slices, len(task.perturbations))
    widest = -(-len(task.perturbations) // n_slices)
    step = max(1, _PIECE_BYTES // (_DEVIATION_BYTES * task.repeats * widest))
    for result, names in named_results(task, predictor, number, table, positions):
        for start in range(0, len(result.rows), step):
            part = slice(start, start + step)
            packed = pickle.dumps(Piece(_cut(result, part), None if names is None else names[part]))
            yield piece_batch(number, int(result.rows[start]), place, packed)


def piece_batch(block: int, first_row: int, place: int, packed: bytes) -> pa.RecordBatch:
    """Return one row with the columns of `PIECE`."""
    told = {"block": [block], "first_row": [first_row], "place": [place], "packed": [packed]}
    return pa.RecordBatch.from_pydict(told, schema=PIECE)


def _cut(result: BlockResult, part: slice) -> BlockResult:
    disturbed = {name: getattr(result, name)[..., part] for name in _DISTURBED}
    return BlockResult(
        result.rows[part], result.baseline[part], **disturbed, predictions=None, all_outputs=result.all_outputs[part]
    )


def joined_results(task: BlockTask, number: int, n_slices: int, pieces: Iterable[bytes]) -> Iterator[NamedResult]:
    """Yield what came of the rows of one shuffle block under all perturbations, as one worker would have found it.

    Parameters
    ----------
    task : BlockTask
    number : int
        Of the shuffle block.
    n_slices : int
    pieces : iterable of bytes
        Of all slices, ordered by their first row and by slice.

    Raises
    ------
    DataError
        If a piece is missing, or comes twice.
    PredictionError
        If slices predict other numbers for the rows as they are.
    """
    unpacked: Iterator[Piece] = (pickle.loads(packed) for packed in pieces)  # noqa: S301 - of this package's workers
    for _, group in groupby(unpacked, key=lambda piece: int(piece.result.rows[0])):
        parts = [*group]
        if len(parts) != n_slices:
            raise DataError(
                f"shuffle block {number} was audited in {n_slices} slices, and of {len(parts)} there came something: a "
                "worker was lost. Audit again."
            )
        yield _side_by_side([part.result for part in parts], task.model), parts[0].names


def _side_by_side(results: Sequence[BlockResult], model: str) -> BlockResult:
    first = results[0]
    if any(each.all_outputs.tobytes() != first.all_outputs.tobytes() for each in results):
        raise PredictionError(
            f"{model}: workers predict different numbers for the same rows: their processors are of different kinds. "
            "Take machines of one kind."
        )
    joined = {name: np.concatenate([getattr(each, name) for each in results], axis=1) for name in _DISTURBED}
    return BlockResult(first.rows, first.baseline, **joined, predictions=None, all_outputs=first.all_outputs)
