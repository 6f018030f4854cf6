"""The loop: rows outside, features inside.

A block of rows is predicted once as it is and then once for each perturbation, so that memory is bounded by the block
and the table is finished where the block is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from nnperm_mlflow.analysis.deviation import Measure
from nnperm_mlflow.analysis.perturbations import Perturbation, Shuffle, disturb
from nnperm_mlflow.analysis.shuffling import ShuffleBlock, donor_positions, shuffle_block_sizes, shuffle_blocks
from nnperm_mlflow.errors import NonFinitePredictionError, PredictionError
from nnperm_mlflow.inputs.binding import BoundInputs
from nnperm_mlflow.inputs.held import HeldRows, row_bytes
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.models.predictor import Block, Predictor, rounding_of

_BLOCK_BYTES = 1 << 25  # of inputs in one model call: 32 MiB
_ACTIVATION_BYTES = 1 << 28  # of what the model computes from them: 256 MiB
_RESULT_BYTES = 1 << 28  # of their deviations, under all perturbations and repeats: 256 MiB
_DEVIATION_BYTES = 6  # of a deviation, whether its row had moved, and whether the prediction fell
_KEPT_BYTES = 1 << 29  # of what is kept of all blocks of a shuffle block: 512 MiB
_MOST_BLOCK_ROWS = 4_096
_PROBE_ROWS = 64
_DONOR_BYTES = 1 << 28  # of donors remembered from block to block: 256 MiB

Progress = Callable[[int, int], None]
"""Is told the rows done and the rows in all, with none done at the start."""


@dataclass(frozen=True)
class Job:
    """What is done to every block of rows.

    Attributes
    ----------
    predictor : Predictor
    inputs : BoundInputs
    perturbations : sequence of Perturbation
    measure : Measure
    model : str
        For messages.
    seed, repeats : int
    """

    predictor: Predictor
    inputs: BoundInputs
    perturbations: Sequence[Perturbation]
    measure: Measure
    model: str
    seed: int = 0
    repeats: int = 1

    def donors(self, block: ShuffleBlock, feature: str, repeat: int) -> np.ndarray:
        """Return each row's donor, as a position in the shuffle block; remembered as far as memory is set aside."""
        key = (block.number, len(block.rows), feature, repeat)
        found = self._remembered.pop(key, None)
        if found is None:
            found = donor_positions(block, self.seed, feature, repeat)
        self._remembered[key] = found
        while len(self._remembered) > 1 and len(self._remembered) * found.nbytes > _DONOR_BYTES:
            self._remembered.pop(next(iter(self._remembered)))
        return found

    @cached_property
    def _remembered(self) -> dict[tuple[int, int, str, int], np.ndarray]:
        return {}


@dataclass(frozen=True)
class BlockResult:
    """What came of a block of rows.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,), int64
        Positions in the data.
    baseline : ndarray of shape (n_rows, n_outputs)
        Predictions for the rows as they are.
    deviations : ndarray of shape (n_repeats, n_perturbations, n_rows), float32
    moved : ndarray of shape (n_repeats, n_perturbations, n_rows), bool
        Where the perturbation changed the feature's value.
    fell : ndarray of shape (n_repeats, n_perturbations, n_rows), bool
        Where the prediction has fallen.
    """

    rows: np.ndarray
    baseline: np.ndarray
    deviations: np.ndarray
    moved: np.ndarray
    fell: np.ndarray


def count_outputs(predictor: Predictor, inputs: BoundInputs) -> int:
    """Return how many numbers the model predicts a row, by asking it for the first one."""
    return int(predictor.begin([inputs.read(np.arange(1))])[0].baseline.shape[1])


def probe_rows(n_rows: int) -> np.ndarray:
    """Return a few rows from all over the data, ascending, on which a model is tried out."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, _PROBE_ROWS)).astype(np.int64))


def choose_block_rows(job: Job, asked: int | Literal["auto"]) -> int:
    """Return how many rows a block has: as asked for, or so many that what is computed for them stays in bounds.

    Parameters
    ----------
    job : Job
    asked : int or "auto"

    Returns
    -------
    int
        With "auto" at most 4,096, so many that inputs take 32 MiB, what the model makes of them 256 MiB, and their
        deviations 256 MiB.
    """
    if asked != "auto":
        return asked
    deviation_bytes = _DEVIATION_BYTES * job.repeats * len(job.perturbations)
    fitting = [
        _BLOCK_BYTES // max(1, row_bytes(job.inputs.sources)),
        _ACTIVATION_BYTES // max(1, job.predictor.row_bytes),
        _RESULT_BYTES // max(1, deviation_bytes),
    ]
    return max(1, min(_MOST_BLOCK_ROWS, *fitting))


def count_blocks(n_rows: int, block_rows: int) -> int:
    """Return how many blocks `run_blocks` makes of so many rows."""
    return sum(len(_parts(size, block_rows)) for size in shuffle_block_sizes(n_rows))


def run_blocks(job: Job, block_rows: int) -> Iterator[BlockResult]:
    """Audit all rows, block by block.

    Parameters
    ----------
    job : Job
    block_rows : int
        Most rows of one block.

    Yields
    ------
    BlockResult
        Each row once; up to 65,536 rows in the order of the data, beyond that one shuffle block after the other.

    Raises
    ------
    PredictionError
        If the model fails, or predicts NaN; the message names the perturbation and counts the rows.
    """
    for shuffle_block in shuffle_blocks(job.inputs.n_rows, job.seed):
        yield from _audit_shuffle_block(job, shuffle_block, block_rows)


def begins_together(job: Job, n_rows: int) -> bool:
    """Tell whether what is kept of so many rows, that exchange values among themselves, fits into memory."""
    return 0 < job.predictor.kept_bytes * n_rows <= _KEPT_BYTES


def _audit_shuffle_block(job: Job, shuffle_block: ShuffleBlock, block_rows: int) -> Iterator[BlockResult]:
    held = job.inputs.hold(shuffle_block.rows)
    parts = _parts(len(shuffle_block.rows), block_rows)
    begun: list[Block | None] = [None] * len(parts)
    if held.in_memory and begins_together(job, len(held.rows)):
        begun = [*job.predictor.begin([held.read(part) for part in parts])]
    for part, block in zip(parts, begun, strict=True):
        yield audit_block(job, shuffle_block, held, part, block)


def audit_block(
    job: Job, shuffle_block: ShuffleBlock, held: HeldRows, part: slice, begun: Block | None = None
) -> BlockResult:
    """Predict some rows of a shuffle block as they are and under each perturbation.

    Parameters
    ----------
    job : Job
    shuffle_block : ShuffleBlock
    held : HeldRows
        Its rows.
    part : slice
        Which of them.
    begun : Block, optional
        The part, where it was begun together with all others of the shuffle block.

    Returns
    -------
    BlockResult
    """
    rows = held.rows[part]
    inputs = held.read(part)
    block = begun if begun is not None else job.predictor.begin([inputs])[0]
    baseline = _picked(job, block.baseline, rows, "before anything was disturbed")
    shape = (job.repeats, len(job.perturbations), len(rows))
    deviated, moved, fell = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    result = BlockResult(rows, baseline, deviated, moved, fell)

    def changes() -> Iterator[Change]:
        for position, repeats in _places(job):
            perturbation = job.perturbations[position]
            donor_rows = None
            if isinstance(perturbation, Shuffle):
                donor_rows = job.donors(shuffle_block, perturbation.feature.name, repeats.start)[part]
            change, result.moved[repeats, position] = disturb(perturbation, held, inputs, donor_rows)
            yield change if begun is not None else replace(change, donors=None)

    rounding = rounding_of(baseline)
    with closing(block.predict(changes())) as predictions:
        for position, repeats in _places(job):
            perturbation = job.perturbations[position]
            with _named(job, perturbation):
                predicted = next(predictions)
            perturbed = _picked(job, predicted, rows, f"once {perturbation}")
            deviations = job.measure.deviations(baseline, perturbed)
            if not np.isfinite(deviations).all():
                raise NonFinitePredictionError(
                    f"{job.model}, once {perturbation}: predictions moved by more than a float32 holds. "
                    "Let the model predict in a larger unit."
                )
            still = ~result.moved[repeats, position][0]
            if deviations[still].max(initial=0) <= rounding:
                deviations[still] = 0  # the rows are as they were, so that all they show is another batch's rounding
            result.deviations[repeats, position] = deviations
            result.fell[repeats, position] = job.measure.fell(baseline, perturbed)
    return result


def audit_first_block(job: Job, block_rows: int) -> BlockResult:
    """Audit the first rows as if there were no others, to see how long a block takes."""
    part = _parts(shuffle_block_sizes(job.inputs.n_rows)[0], block_rows)[0]
    return next(_audit_shuffle_block(job, ShuffleBlock(0, np.arange(part.stop)), block_rows))


def _parts(n_rows: int, most: int) -> list[slice]:
    """Cut rows into as few parts of at most so many rows as there can be, equal but for the last."""
    step = -(-n_rows // -(-n_rows // most))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def _places(job: Job) -> Iterator[tuple[int, slice]]:
    """Yield, for each prediction, its perturbation and the repeats it is for; a set value is the same in all."""
    for position, perturbation in enumerate(job.perturbations):
        if isinstance(perturbation, Shuffle):
            yield from ((position, slice(repeat, repeat + 1)) for repeat in range(job.repeats))
        else:
            yield position, slice(job.repeats)


@contextmanager
def _named(job: Job, perturbation: Perturbation) -> Iterator[None]:
    """Say under which perturbation the model failed."""
    try:
        yield
    except PredictionError as error:
        raise PredictionError(f"{job.model}, once {perturbation}: {error}") from error


def _picked(job: Job, predictions: np.ndarray, rows: np.ndarray, when: str) -> np.ndarray:
    """Return the outputs that are followed, or say in how many rows they are no finite numbers."""
    picked = job.measure.pick(predictions)
    bad = ~np.isfinite(picked).all(axis=1)
    if bad.any():
        raise NonFinitePredictionError(
            f"{job.model} gave NaN or infinity for {np.count_nonzero(bad)} of {len(rows)} rows {when} "
            f"(first: row {rows[bad][0]}). Check the model's scaling step, or leave such rows out of the data."
        )
    return picked
