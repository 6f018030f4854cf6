"""Perturbed predictions, kept on disk until scores have been computed from them."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nnperm_mlflow.analysis.engine.block_result import BlockResult

_CHUNK = 1 << 20  # bytes
_NO_PROMISES = (errno.EINVAL, errno.EOPNOTSUPP)  # as some file systems answer


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
            self._passes[repeats] = self._room_for(
                result.all_outputs.dtype, (len(kept), len(kept[0]), n_rows, n_outputs)
            )
            self.baseline = np.empty((n_rows, n_outputs), result.all_outputs.dtype)
        self.baseline[result.rows] = result.all_outputs
        stored = self._passes[repeats]
        for repeat, each in enumerate(kept):
            for position, predicted in enumerate(each):
                stored[repeat, position, result.rows] = predicted

    def _room_for(self, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array on disk, and raise `OSError` if there is no room for it.

        Later on that could not be told: a process that writes to a mapped file on a full disk is killed.
        """
        with tempfile.TemporaryFile(dir=self._folder) as file:
            try:
                _reserve(file, dtype.itemsize * int(np.prod(shape)))
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self._folder)) from error
            return np.memmap(file, dtype, "r+", shape=shape)

    def of(self, position: int) -> Iterator[np.ndarray]:
        """Yield for each repeat the predictions under one perturbation, of shape (n_rows, n_outputs)."""
        for stored in self._passes.values():
            yield from stored[:, position]


def _reserve(file: BinaryIO, size: int) -> None:
    """Let a file take so many bytes of the disk; where the system cannot promise them, by writing zeros."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in _NO_PROMISES:
                raise
        else:
            return
    for start in range(0, size, _CHUNK):
        file.write(bytes(min(_CHUNK, size - start)))
    file.flush()
