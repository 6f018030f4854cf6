"""Rows that exchange values among themselves: read once, and held in memory where they fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnperm_mlflow.inputs.slots import RowSource, Slot, in_all_rows

HELD_BYTES = 1 << 29
"""Of rows held in memory at most: 512 MiB."""

_TEXT_BYTES = 64  # of a string, about


class HeldRows:
    """Some rows of all inputs, addressed by their positions among each other.

    Parameters
    ----------
    sources : mapping of str to RowSource
        The model's inputs by name.
    rows : ndarray of shape (n_rows,), int64
        Positions in the data.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,), int64
    in_memory : bool
        Whether each row has been read once and for all; otherwise rows are read whenever they are asked for.
    """

    def __init__(self, sources: Mapping[str, RowSource], rows: np.ndarray) -> None:
        self.rows = rows
        self._sources = sources
        self.in_memory = row_bytes(sources) * len(rows) <= HELD_BYTES
        self._arrays = read_rows(sources, rows) if self.in_memory else {}
        for array in self._arrays.values():
            array.flags.writeable = False  # a model that edits its inputs would edit the donors of later blocks

    def read(self, part: slice) -> dict[str, np.ndarray]:
        """Return all inputs for some of the rows: for each name an array of shape (n_rows, ...), not to be modified."""
        if self.in_memory:
            return {name: array[part] for name, array in self._arrays.items()}
        return read_rows(self._sources, self.rows[part])

    def take(self, slot: Slot, positions: np.ndarray) -> np.ndarray:
        """Return what a slot holds in the rows at some positions: an array of shape (n_rows, ...) of its own."""
        if self.in_memory:
            return np.ascontiguousarray(self._arrays[slot.input][in_all_rows(slot.index)][positions])
        return self._sources[slot.input].take(self.rows[positions], slot.index)


def read_rows(sources: Mapping[str, RowSource], rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return all inputs for the rows at some positions in the data: for each name an array of shape (n_rows, ...)."""
    return {name: source.take(rows) for name, source in sources.items()}


def row_bytes(sources: Mapping[str, RowSource]) -> int:
    """Return how much memory a row of all inputs takes, about."""
    one_row = read_rows(sources, np.arange(1)).values()
    return sum(_TEXT_BYTES * array.size if array.dtype.kind == "O" else array.nbytes for array in one_row)
