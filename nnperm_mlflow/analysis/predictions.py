"""Perturbed predictions, kept on disk until scores have been computed from them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nnperm_mlflow.analysis.filling import BlockResult


class Predictions:
    """All outputs for all rows, as they are and under each perturbation.

    Parameters
    ----------
    folder : Path
        Where an unnamed file may grow; it vanishes with this object.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._passes: dict[range, np.ndarray] = {}
        self.baseline = np.empty((0, 0))
        """For the rows as they are, of shape (n_rows, n_outputs)."""

    def add(self, result: BlockResult, n_rows: int, repeats: range) -> None:
        """Take in a block.

        Parameters
        ----------
        result : BlockResult
            With its predictions.
        n_rows : int
            Rows of the data.
        repeats : range
            Numbers of the repeats that the block holds.
        """
        kept = result.predictions or []
        if repeats not in self._passes:
            n_outputs = result.all_outputs.shape[1]
            with tempfile.TemporaryFile(dir=self._folder) as file:
                shape = (len(kept), len(kept[0]), n_rows, n_outputs)
                self._passes[repeats] = np.memmap(file, result.all_outputs.dtype, "w+", shape=shape)
            self.baseline = np.empty((n_rows, n_outputs), result.all_outputs.dtype)
        self.baseline[result.rows] = result.all_outputs
        stored = self._passes[repeats]
        for repeat, each in enumerate(kept):
            for position, predicted in enumerate(each):
                stored[repeat, position, result.rows] = predicted

    def of(self, position: int) -> Iterator[np.ndarray]:
        """Yield for each repeat the predictions under one perturbation, of shape (n_rows, n_outputs)."""
        for stored in self._passes.values():
            yield from stored[:, position]
