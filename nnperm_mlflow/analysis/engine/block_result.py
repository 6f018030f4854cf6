"""The results of a block of rows while they come in: deviations, what they are made of, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.kinds import SetTo
from nnperm_mlflow.basics.errors import NonFinitePredictionError
from nnperm_mlflow.models.output_numbers import rounding_of

Place = tuple[int, slice]
"""Position of a perturbation, and the repeats, from the job's first, that one prediction is for."""


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

    def decided_by(self, decision: Decision) -> list[int]:
        """Return what is decided of the rows as they are, each once; rows that are left out decide nothing."""
        known = self.all_outputs[np.isfinite(self.all_outputs).all(axis=1)]
        return [int(found) for found in np.unique(decision.decide(known))]

    def among(self, positions: Sequence[int], n_perturbations: int) -> BlockResult:
        """Return the result of so many perturbations, of which those at some positions are here; NaN for the others.

        Predictions of all perturbations are kept, or of none.
        """
        if len(positions) == n_perturbations:
            return self
        n_repeats, _, n_rows = self.moved.shape
        whole = np.full((n_repeats, n_perturbations, n_rows), np.nan, dtype=np.float32)
        whole[:, positions] = self.deviations
        moved, fell, flipped = np.zeros((3, *whole.shape), dtype=bool)
        for every, some in ((moved, self.moved), (fell, self.fell), (flipped, self.flipped)):
            every[:, positions] = some
        return replace(self, deviations=whole, moved=moved, fell=fell, flipped=flipped)


@dataclass(frozen=True)
class Kept:
    """What came of one perturbation in one repeat, for the rows of a block.

    Attributes
    ----------
    deviations : ndarray of shape (n_rows,), float32
    moved, fell, flipped : ndarray of shape (n_rows,), bool
    predictions : ndarray of shape (n_rows, n_outputs), or None
        Where the job keeps them.
    """

    deviations: np.ndarray
    moved: np.ndarray
    fell: np.ndarray
    flipped: np.ndarray
    predictions: np.ndarray | None = None


def places(job: Job) -> Iterator[Place]:
    """Yield, for each prediction, its perturbation and the repeats it is for; a set value is the same in all."""
    for position, perturbation in enumerate(job.perturbations):
        if isinstance(perturbation, SetTo):
            yield position, slice(0, job.repeats)
        else:
            yield from ((position, slice(repeat, repeat + 1)) for repeat in range(job.repeats))


class Filling:
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

    def take(self, position: int, repeats: slice, kept: Kept) -> None:
        """Take in what had been found under a perturbation before."""
        self.moved[repeats, position] = kept.moved
        self._deviations[repeats, position] = kept.deviations
        self._fell[repeats, position] = kept.fell
        self._flipped[repeats, position] = kept.flipped
        if kept.predictions is not None:
            for repeat in range(repeats.start, repeats.stop):
                self._predictions[repeat][position] = kept.predictions

    def kept(self, position: int, repeats: slice) -> Kept:
        """Return what came in for a perturbation, in some repeats that are one and the same."""
        repeat = repeats.start
        return Kept(
            self._deviations[repeat, position],
            self.moved[repeat, position],
            self._fell[repeat, position],
            self._flipped[repeat, position],
            self._predictions[repeat][position] if self._job.keeps_predictions else None,
        )

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


_MOVED, _FELL, _FLIPPED = (np.uint8(1 << bit) for bit in range(3))


def pack(moved: np.ndarray, fell: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """Return three arrays of bool, of one shape, as one of uint8."""
    return moved * _MOVED + fell * _FELL + flipped * _FLIPPED


def unpack(marks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what `pack` took: moved, fell, flipped."""
    return (marks & _MOVED) > 0, (marks & _FELL) > 0, (marks & _FLIPPED) > 0
