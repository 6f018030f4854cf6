"""The loop: rows outside, features inside.

A block of rows is predicted once as it is and then once for each perturbation, so that memory is bounded by the block
and the table is finished where the block is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from nnperm_mlflow.analysis.job import Job, begins_together
from nnperm_mlflow.analysis.missing import count_missing, count_missing_once
from nnperm_mlflow.analysis.perturbations import Perturbation, SetTo, disturb
from nnperm_mlflow.analysis.shuffling import ShuffleBlock, shuffle_block_sizes, shuffle_blocks
from nnperm_mlflow.errors import NonFinitePredictionError, PredictionError
from nnperm_mlflow.inputs.held import HeldRows
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.models.predictor import Block, rounding_of


@dataclass(frozen=True)
class BlockResult:
    """What came of a block of rows.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,), int64
        Positions in the data.
    baseline : ndarray of shape (n_rows, n_followed)
        Predictions for the rows as they are: the outputs that are followed; NaN for a row that is left out.
    deviations : ndarray of shape (n_repeats, n_perturbations, n_rows), float32
        NaN for a row that is left out.
    moved : ndarray of shape (n_repeats, n_perturbations, n_rows), bool
        Where the perturbation changed the feature's value.
    fell : ndarray of shape (n_repeats, n_perturbations, n_rows), bool
        Where the prediction has fallen.
    flipped : ndarray of shape (n_repeats, n_perturbations, n_rows), bool
        Where the decision is another one.
    predictions : list of list of ndarray of shape (n_rows, n_outputs), or None
        For each repeat and perturbation all outputs, where the job keeps them; NaN for a row that is left out.
    all_outputs : ndarray of shape (n_rows, n_outputs)
        The same for the rows as they are.
    """

    rows: np.ndarray
    baseline: np.ndarray
    deviations: np.ndarray
    moved: np.ndarray
    fell: np.ndarray
    flipped: np.ndarray
    predictions: list[list[np.ndarray]] | None
    all_outputs: np.ndarray


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


def audit_first_block(job: Job, block_rows: int) -> BlockResult:
    """Audit the first rows as if there were no others, to see how long a block takes."""
    part = _parts(shuffle_block_sizes(job.inputs.n_rows)[0], block_rows)[0]
    return next(_audit_shuffle_block(job, ShuffleBlock(0, np.arange(part.stop)), block_rows))


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
    inputs = held.read(part)
    block = begun if begun is not None else job.predictor.begin([inputs])[0]
    missing = count_missing(inputs, job.void_inputs)
    filling = _Filling(job, held.rows[part], block.baseline, missing == 0)

    def changes() -> Iterator[Change]:
        for position, repeats in _places(job):
            perturbation = job.perturbations[position]
            drawn = job.drawn(shuffle_block, part, perturbation, job.first_repeat + repeats.start)
            change, filling.moved[repeats, position] = disturb(perturbation, held, inputs, drawn)
            if job.void_inputs:
                then = count_missing_once(missing, change, inputs, job.void_inputs)
                filling.complete[repeats.start, position] = then == 0
            yield change if begun is not None else replace(change, donors=None)

    with closing(block.predict(changes())) as predictions:
        for position, repeats in _places(job):
            with _named(job, job.perturbations[position]):
                predicted = next(predictions)
            filling.add(position, repeats, predicted)
    return filling.result()


class _Filling:
    """The results of a block while they come in.

    Parameters
    ----------
    job : Job
    rows : ndarray of shape (n_rows,), int64
    all_outputs : ndarray of shape (n_rows, n_outputs)
        Predictions for the rows as they are.
    complete : ndarray of shape (n_rows,), bool
        Rows of which the model can predict something.

    Attributes
    ----------
    moved : ndarray of shape (n_repeats, n_perturbations, n_rows), bool
    complete : dict of (int, int) to ndarray of shape (n_rows,), bool
        For repeats and perturbations in which rows are incomplete, which are not.
    """

    def __init__(self, job: Job, rows: np.ndarray, all_outputs: np.ndarray, complete: np.ndarray) -> None:
        shape = (job.repeats, len(job.perturbations), len(rows))
        self.moved = np.zeros(shape, dtype=bool)
        self.complete: dict[tuple[int, int], np.ndarray] = {}
        self._job = job
        self._rows = rows
        self._known = complete & self._finite(job.measure.pick(all_outputs), "before anything was disturbed")
        self._all_outputs = _only_known(all_outputs, self._known)
        self._baseline = job.measure.pick(self._all_outputs)
        self._rounding = rounding_of(self._baseline)
        self._decided = None if job.decision is None else job.decision.decide(all_outputs)
        self._deviations = np.zeros(shape, dtype=np.float32)
        self._fell, self._flipped = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
        self._predictions: list[list[np.ndarray]] = [[self._all_outputs] * shape[1] for _ in range(job.repeats)]

    def add(self, position: int, repeats: slice, predicted: np.ndarray) -> None:
        """Take in what was predicted under a perturbation, in some repeats."""
        job, perturbation = self._job, self._job.perturbations[position]
        perturbed = job.measure.pick(predicted)
        known = self._known & self._finite(perturbed, f"once {perturbation}")
        known &= self.complete.get((repeats.start, position), True)
        all_known = bool(known.all())
        with np.errstate(invalid="ignore"):
            deviations = job.measure.deviations(self._baseline, perturbed)
            fell = job.measure.fell(self._baseline, perturbed)
        if not np.isfinite(deviations if all_known else deviations[known]).all():
            raise NonFinitePredictionError(
                f"{job.model}, once {perturbation}: predictions moved by more than a float32 holds. "
                "Let the model predict in a larger unit."
            )
        flipped = np.zeros(len(known), dtype=bool)
        if job.decision is not None:
            flipped = known & (job.decision.decide(predicted) != self._decided)
        still = ~self.moved[repeats, position][0]
        if deviations[still & known].max(initial=0) <= self._rounding:
            # the rows are as they were, so that all they show is another batch's rounding
            deviations[still], fell[still], flipped[still] = 0, False, False
        deviations[~known] = np.nan
        fell &= known
        self.moved[repeats, position] &= known
        self._deviations[repeats, position] = deviations
        self._fell[repeats, position] = fell
        self._flipped[repeats, position] = flipped
        if job.keeps_predictions:
            for repeat in range(repeats.start, repeats.stop):
                self._predictions[repeat][position] = _only_known(predicted, known)

    def result(self) -> BlockResult:
        """Return what came in."""
        return BlockResult(
            self._rows,
            self._baseline,
            self._deviations,
            self.moved,
            self._fell,
            self._flipped,
            self._predictions if self._job.keeps_predictions else None,
            self._all_outputs,
        )

    def _finite(self, picked: np.ndarray, when: str) -> np.ndarray:
        """Tell in which rows the outputs that are followed are numbers; say so where all of them must be."""
        known = np.isfinite(picked).all(axis=1)
        bad = ~known
        if not self._job.skips_missing and bad.any():
            raise NonFinitePredictionError(
                f"{self._job.model} gave NaN or infinity for {np.count_nonzero(bad)} of {len(known)} rows {when} "
                f"(first: row {self._rows[bad][0]}). Check the model's scaling step, or set 'analysis: {{missing: "
                "skip}' to leave such rows out."
            )
        return known


def _only_known(predictions: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return predictions of shape (n_rows, n_outputs) that are NaN in rows that are left out."""
    return predictions if known.all() else np.where(known[:, None], predictions, np.nan)


def _parts(n_rows: int, most: int) -> list[slice]:
    """Cut rows into as few parts of at most so many rows as there can be, equal but for the last."""
    step = -(-n_rows // -(-n_rows // most))
    return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


def _places(job: Job) -> Iterator[tuple[int, slice]]:
    """Yield, for each prediction, its perturbation and the repeats it is for; a set value is the same in all."""
    for position, perturbation in enumerate(job.perturbations):
        if isinstance(perturbation, SetTo):
            yield position, slice(0, job.repeats)
        else:
            yield from ((position, slice(repeat, repeat + 1)) for repeat in range(job.repeats))


@contextmanager
def _named(job: Job, perturbation: Perturbation) -> Iterator[None]:
    """Say under which perturbation the model failed."""
    try:
        yield
    except PredictionError as error:
        raise PredictionError(f"{job.model}, once {perturbation}: {error}") from error
