"""Rows of a model input, put together on demand from a table's columns or cut from a stored array."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from nnperm_mlflow.inputs.slots import Index, RowSource, in_all_rows

_PIECE_ROWS = 1_024  # rows of a mapped array read in one go; each may bring 64 KiB of its file into memory
_WHOLE_BYTES = 1 << 26  # of an array that may be in memory as a whole while some of its rows are read: 64 MiB
_CHUNK_BYTES = 1 << 26  # of an array looked at in one go: 64 MiB


class ColumnGrid:
    """A model input whose cells are columns of a table.

    Parameters
    ----------
    columns : mapping of str to ndarray of shape (n_rows,)
        The table. Not modified.
    names : ndarray of str as objects (those of numpy lose a final NUL), of the input's shape behind the row axis
        Which column each cell is: shape () for an input that is one column, (k,) for a block of k numbers,
        (n_steps, n_channels) for a history.
    dtype : numpy dtype
        What the model takes; `object` stands for strings.
    """

    def __init__(self, columns: Mapping[str, np.ndarray], names: np.ndarray, dtype: np.dtype) -> None:
        self._names = names.astype(object)
        self._columns = {name: columns[name] for name in self._names.ravel()}
        self.dtype = dtype

    def take(self, rows: np.ndarray, index: Index = ()) -> np.ndarray:
        """Return the cells at `index` for `rows`, of shape (n_rows, ...) and the model's dtype, as a new array."""
        names = np.asarray(self._names[index], dtype=object)
        cells = np.empty((len(rows), names.size), dtype=self.dtype)
        for position, name in enumerate(names.ravel()):
            values = take_rows(self._columns[name], rows)
            cells[:, position] = _as_text(values) if self.dtype.kind == "O" else values
        return cells.reshape(len(rows), *names.shape)


def _as_text(values: np.ndarray) -> np.ndarray:
    """Return values as strings, and NaN where nothing is, as pandas has it."""
    text = np.array([str(value) for value in values], dtype=object)  # numpy's own would all be as long as the longest
    text[pd.isna(values)] = np.nan
    return text


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
        return take_rows(self._array[in_all_rows(index)], rows).astype(self.dtype, order="C", copy=False)


class PartOfRows:
    """Some rows of a model input, addressed by their positions among each other.

    Parameters
    ----------
    source : RowSource
        All rows.
    rows : ndarray of shape (n_rows,), int64
        Which of them.
    """

    def __init__(self, source: RowSource, rows: np.ndarray) -> None:
        self._source = source
        self._rows = rows
        self.dtype = source.dtype

    def take(self, rows: np.ndarray, index: Index = ()) -> np.ndarray:
        """Return the cells at `index` for `rows`, as the source does."""
        return self._source.take(self._rows[rows], index)


class RowsAt:
    """Some rows of a model input, addressed by their positions in the data.

    Parameters
    ----------
    source : RowSource
        These rows and no others.
    positions : ndarray of shape (n_rows,), int64
        Where each of them stands in the data, ascending.
    """

    def __init__(self, source: RowSource, positions: np.ndarray) -> None:
        self._source = source
        self._positions = positions
        self.dtype = source.dtype

    def take(self, rows: np.ndarray, index: Index = ()) -> np.ndarray:
        """Return the cells at `index` for `rows`, as the source does; raises `LookupError` for rows not held."""
        places = np.minimum(np.searchsorted(self._positions, rows), len(self._positions) - 1)
        if not np.array_equal(self._positions[places], rows):
            raise LookupError(f"{np.count_nonzero(self._positions[places] != rows)} rows are not held here")
        return self._source.take(places, index)


def take_rows(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return some rows of an array as a new one; of a mapped array, piece by piece."""
    if _follow_each_other(rows):
        taken = np.array(array[rows[0] : rows[0] + len(rows)], subok=False)
        release(array)
        return taken
    if getattr(array, "_mmap", None) is None:
        return array[rows]
    taken = np.empty((len(rows), *array.shape[1:]), dtype=array.dtype)
    step = len(rows) if array.nbytes <= _WHOLE_BYTES else _PIECE_ROWS
    for start in range(0, len(rows), max(1, step)):
        piece = rows[start : start + step]
        taken[start : start + len(piece)] = array[piece]
        release(array)
    return taken


def _follow_each_other(rows: np.ndarray) -> bool:
    """Tell whether rows are a piece of the data, in its order."""
    return len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1 and bool((np.diff(rows) == 1).all())


def row_chunks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield an array piece by piece along its rows, each with the position of its first row."""
    row_bytes = max(1, array.nbytes // max(1, len(array)))
    step = max(1, _CHUNK_BYTES // row_bytes)
    for start in range(0, len(array), step):
        yield start, array[start : start + step]
        release(array)


def release(array: np.ndarray) -> None:
    """Give back the memory that an array mapped for reading has taken; the file is read again where it is asked for."""
    mapped = getattr(array, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and getattr(array, "mode", None) == "r" and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
