"""What comes of a shuffle block beside its deviations: counts that add up over blocks."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnperm_mlflow.analysis.engine.block_result import BlockResult, pack, unpack
from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.statistics import stored_tally
from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.basics.errors import EvidenceError

_DAMAGED = (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile)


@dataclass
class BlockOutcome:
    """What was counted of one shuffle block, or of several.

    Attributes
    ----------
    tallies : list of Tally
        One for each repeat.
    lowest, highest : ndarray of shape (n_followed,)
        Of the predictions for the rows as they are; infinite where there are none.
    marks : list of ndarray of shape (n_repeats, n_perturbations, n_rows), uint8
        What became of the rows on which variances are found, see `block_result.pack`; empty for other blocks.
    """

    tallies: list[Tally]
    lowest: np.ndarray
    highest: np.ndarray
    marks: list[np.ndarray]

    @classmethod
    def empty(cls, repeats: int, n_perturbations: int, n_followed: int, *, signed: bool) -> BlockOutcome:
        """Return what was counted of no rows."""
        tallies = [Tally.empty(n_perturbations, signed) for _ in range(repeats)]
        return cls(tallies, np.full(n_followed, np.inf), np.full(n_followed, -np.inf), [])

    def add(self, result: BlockResult, decision: Decision | None, *, keeps_marks: bool) -> None:
        """Count some rows of the shuffle block; they come in its order."""
        for number, tally in enumerate(self.tallies):
            tally.add(*(each[number] for each in (result.deviations, result.moved, result.fell, result.flipped)))
        if decision is not None:
            self.tallies[0].decided.update(result.decided_by(decision))
        finite = np.where(np.isfinite(result.baseline), result.baseline, np.nan).astype(np.float64)
        self.lowest = np.fmin(self.lowest, np.fmin.reduce(finite, axis=0))
        self.highest = np.fmax(self.highest, np.fmax.reduce(finite, axis=0))
        if keeps_marks:
            self.marks.append(pack(result.moved, result.fell, result.flipped))

    @property
    def total(self) -> Tally:
        """What was counted of all repeats."""
        return self.tallies[0] if len(self.tallies) == 1 else stored_tally.merged(self.tallies)

    def marks_of(self, position: int, n_first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what became of the first known rows under one perturbation, see `engine.row_marks.Marks.of`."""
        return unpack(np.concatenate([each[:, position] for each in self.marks], axis=1)[:, :n_first])


def merged(outcomes: Sequence[BlockOutcome]) -> BlockOutcome:
    """Return what was counted of the blocks of all outcomes, of which one at most has marks."""
    repeats = range(len(outcomes[0].tallies))
    return BlockOutcome(
        [stored_tally.merged(each.tallies[repeat] for each in outcomes) for repeat in repeats],
        np.min([each.lowest for each in outcomes], axis=0),
        np.max([each.highest for each in outcomes], axis=0),
        [marks for each in outcomes for marks in each.marks],
    )


def dump(outcome: BlockOutcome) -> bytes:
    """Return an outcome as bytes."""
    arrays: dict[str, Any] = {"lowest": outcome.lowest, "highest": outcome.highest}
    arrays |= {f"tally {n}": _as_array(stored_tally.dump(tally)) for n, tally in enumerate(outcome.tallies)}
    if outcome.marks:
        arrays["marks"] = np.concatenate(outcome.marks, axis=2)
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def load(stored: bytes) -> BlockOutcome:
    """Return the outcome that `dump` made bytes of.

    Raises
    ------
    EvidenceError
        If they are none.
    """
    try:
        with np.load(io.BytesIO(stored), allow_pickle=False) as held:
            names = sorted((name for name in held.files if name.startswith("tally ")), key=lambda name: int(name[6:]))
            tallies = [stored_tally.load(held[name].tobytes()) for name in names]
            marks = [held["marks"]] if "marks" in held.files else []
            return BlockOutcome(tallies, held["lowest"], held["highest"], marks)
    except _DAMAGED as error:
        raise EvidenceError(
            f"what was counted of a part of the rows is damaged ({type(error).__name__}). Audit again."
        ) from error


def _as_array(stored: bytes) -> np.ndarray:
    return np.frombuffer(stored, dtype=np.uint8)
