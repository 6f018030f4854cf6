"""Rows of a model input, put together on demand from a table's columns or cut from a stored array."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnperm_mlflow.inputs.slots import Index, in_all_rows


class ColumnGrid:
    """A model input whose cells are columns of a table.

    Parameters
    ----------
    columns : mapping of str to ndarray of shape (n_rows,)
        The table. Not modified.
    names : ndarray of str, of the input's shape behind the row axis
        Which column each cell is: shape () for an input that is one column, (k,) for a block of k numbers,
        (n_steps, n_channels) for a history.
    dtype : numpy dtype
        What the model takes; `object` stands for strings.
    """

    def __init__(self, columns: Mapping[str, np.ndarray], names: np.ndarray, dtype: np.dtype) -> None:
        self._columns = {name: columns[name] for name in names.ravel()}
        self._names = names
        self.dtype = dtype

    def take(self, rows: np.ndarray, index: Index = ()) -> np.ndarray:
        """Return the cells at `index` for `rows`, of shape (n_rows, ...) and the model's dtype, as a new array."""
        names = np.asarray(self._names[index])
        cells = np.empty((len(rows), names.size), dtype=self.dtype)
        for position, name in enumerate(names.ravel()):
            values = self._columns[name][rows]
            cells[:, position] = values.astype(str) if self.dtype.kind == "O" else values
        return cells.reshape(len(rows), *names.shape)


class StoredArray:
    """A model input that is one stored array, memory-mapped or not.

    Parameters
    ----------
    array : ndarray of shape (n_rows, ...)
        In the model's axis order (a view will do). Not modified.
    dtype : numpy dtype
        What the model takes.
    """

    def __init__(self, array: np.ndarray, dtype: np.dtype) -> None:
        self._array = array
        self.dtype = dtype

    def take(self, rows: np.ndarray, index: Index = ()) -> np.ndarray:
        """Return `array[rows][:, *index]` in the model's dtype, as a new array; other cells are not read."""
        return np.ascontiguousarray(self._array[in_all_rows(index)][rows], dtype=self.dtype)
