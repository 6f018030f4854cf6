"""What became of the first rows beside their deviations, kept on disk until intervals have been found from it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from nnperm_mlflow.analysis.engine.block_result import BlockResult, pack, unpack


class Marks:
    """Whether the feature's value changed, the prediction fell, the decision flipped: a byte for each deviation.

    Parameters
    ----------
    folder : Path
        Where an unnamed file may grow.
    n_known : int
        How many of the first rows are kept.
    """

    def __init__(self, folder: Path, n_known: int) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._n_known = n_known
        self._repeats = range(0)
        self._n_perturbations = self._filled = 0

    def close(self) -> None:
        """Let the file vanish."""
        self._file.close()

    def add(self, result: BlockResult, repeats: range) -> None:
        """Take in a block; in each pass over the rows blocks come in the same order.

        Parameters
        ----------
        result : BlockResult
        repeats : range
            Numbers of the repeats that the block holds, those of one pass.
        """
        if repeats != self._repeats:
            self._repeats, self._filled = repeats, 0
            self._n_perturbations = result.moved.shape[1]
        n_new = min(len(result.rows), self._n_known - self._filled)
        if n_new == 0:
            return
        marks = pack(result.moved, result.fell, result.flipped)
        for number, repeat in enumerate(repeats):
            for position, each in enumerate(marks[number, :, :n_new]):
                self._file.seek(self._start(repeat, position) + self._filled)
                self._file.write(each.tobytes())
        self._filled += n_new

    def of(self, position: int, n_first: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return for one perturbation where the value changed, the prediction fell, and the decision flipped.

        Parameters
        ----------
        position : int
            Of the perturbation.
        n_first : int
            Of how many of the rows that are kept.

        Returns
        -------
        moved, fell, flipped : ndarray of shape (n_repeats, n_first), bool
            In the order in which the rows came; False for a row that is left out.
        """
        marks = np.empty((self._repeats.stop, n_first), dtype=np.uint8)
        for repeat, each in enumerate(marks):
            self._file.seek(self._start(repeat, position))
            each[:] = np.frombuffer(self._file.read(n_first), dtype=np.uint8)
        return unpack(marks)

    def _start(self, repeat: int, position: int) -> int:
        return (repeat * self._n_perturbations + position) * self._n_known
