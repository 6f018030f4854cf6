"""Rows in memory: tables, whose cells may be arrays, and the arrays of a model's inputs.

Several numbers of a row become columns, steps and channels temporal data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import ConfigError, DataError, ShapeError, did_you_mean, name_list
from nnperm_mlflow.inputs._texts import as_text
from nnperm_mlflow.inputs.series import Series
from nnperm_mlflow.inputs.tables import Table, column_values

_ARRAYS = (np.ndarray, list, tuple)

Target = str | list[str]


@dataclass
class Cells:
    """What a table holds, or the arrays of some inputs.

    Attributes
    ----------
    columns : dict of str to ndarray of shape (n_rows,)
        One value a row, those from cells of several numbers included.
    series : dict of str to Series
        Columns whose cells are steps and channels.
    numbers : dict of str to list of str
        For each column whose cells are several numbers, and for each array, the names that these have among `columns`.
    """

    columns: dict[str, np.ndarray] = field(default_factory=dict)
    series: dict[str, Series] = field(default_factory=dict)
    numbers: dict[str, list[str]] = field(default_factory=dict)

    def put(self, name: str, values: np.ndarray) -> None:
        """Add a column.

        Raises
        ------
        DataError
            If there is one of that name.
        """
        if name in self.columns:
            raise DataError(f"the data name '{name}' twice; each column, number and channel needs a name of its own.")
        self.columns[name] = values

    def bind(self, said: Mapping[str, Target], inputs: Sequence[str]) -> dict[str, Target]:
        """Return which columns each input receives, cells of several numbers spelt out.

        Parameters
        ----------
        said : mapping of str to str or list of str
            For an input the column or columns, as configured.
        inputs : sequence of str
            The model's inputs. One that is called as a column of arrays (or so with `_input` behind) receives that.
        """
        found = {name: self._spelt_out(target) for name, target in said.items()}
        for column in self.numbers:
            for name in (column, f"{column}_input"):
                if name in inputs and name not in found:
                    found[name] = self._spelt_out(column)
        return found

    def _spelt_out(self, target: Target) -> Target:
        if isinstance(target, str):
            names = self.numbers.get(target, [target])
            return names[0] if len(names) == 1 else names
        return [name for part in target for name in self.numbers.get(part, [part])]


def read_cells(table: pd.DataFrame, channels: Mapping[str, Sequence[str]]) -> Cells:
    """Take a table apart.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Cells are values, arrays of shape (n_numbers,) or arrays of shape (n_steps, n_channels). Not modified.
    channels : mapping of str to sequence of str
        For columns of arrays the names of the numbers or channels; a single name makes several numbers the steps of one
        channel. Where names fit only the first axis of (a, b), that is the channels'. Left out, numbers are called
        `<column> 1`, channels `<column> channel 1`.

    Returns
    -------
    Cells

    Raises
    ------
    ConfigError
        If `channels` names what is no column of arrays.
    ShapeError
        If the arrays of a column differ in shape, have another number of axes, or not as many parts as are named.
    DataError
        If a name is there twice.
    """
    cells = Cells()
    stacked: dict[str, np.ndarray] = {}
    for position, name in enumerate(map(str, table.columns)):
        column = table.iloc[:, position]
        if _holds_arrays(column):
            stacked[name] = _stack(name, column)
        else:
            cells.put(name, column_values(column))
    _add(cells, stacked, channels, "column of arrays")
    return cells


def read_arrays(arrays: Mapping[str, Any], channels: Mapping[str, Sequence[str]]) -> Cells:
    """Take the arrays of a model's inputs apart, as Keras takes them: one by the name of each input.

    Parameters
    ----------
    arrays : mapping of str to array
        Of shape (n_rows,), (n_rows, n_numbers) or (n_rows, n_steps, n_channels), with the axes in the model's order.
        A DataFrame gives its numbers the names of its columns, a Series its own. Not modified.
    channels : mapping of str to sequence of str
        As for `read_cells`.

    Returns
    -------
    Cells

    Raises
    ------
    ConfigError
        If `channels` names what is no such array.
    ShapeError
        If an array has another number of axes, or not as many parts as are named.
    DataError
        If a name is there twice.
    """
    cells = Cells()
    stacked: dict[str, np.ndarray] = {}
    for name, given in arrays.items():
        if isinstance(given, pd.Series) and name not in channels:
            _add_frame(cells, name, given.to_frame(name if given.name is None else given.name))
        elif isinstance(given, pd.DataFrame) and name not in channels:
            _add_frame(cells, name, given)
        else:
            stacked[name] = _as_numbers(name, given)
    _add(cells, stacked, channels, "array")
    return cells


def _add_frame(cells: Cells, name: str, frame: pd.DataFrame) -> None:
    for position, column in enumerate(frame.columns):
        cells.put(str(column), column_values(frame.iloc[:, position]))
    cells.numbers[name] = [str(column) for column in frame.columns]


def _as_numbers(name: str, given: object) -> np.ndarray:
    """Return an input's array, of two or three axes."""
    try:
        array = np.asanyarray(given)
    except ValueError as error:
        raise ShapeError(f"what is given for '{name}' is no array: its rows have different lengths.") from error
    if array.ndim not in (1, 2, 3) or 0 in array.shape[1:]:
        raise ShapeError(
            f"the array of '{name}' has the shape {array.shape}; expected (rows,), (rows, numbers) or (rows, steps, "
            "channels)."
        )
    return array[:, None] if array.ndim == 1 else array


def _add(cells: Cells, stacked: Mapping[str, np.ndarray], channels: Mapping[str, Sequence[str]], what: str) -> None:
    """Add arrays of shape (n_rows, n_numbers) and (n_rows, a, b)."""
    for name in channels:
        if name not in stacked:
            raise ConfigError(
                f"channels: '{name}' is no {what}; those are {name_list(stacked)}.{did_you_mean(name, stacked)}"
            )
    for name, array in stacked.items():
        add = _add_series if array.ndim == 3 else _add_numbers
        add(cells, name, array, list(channels.get(name, [])))


def split_cells(
    table: Table | None, whole: Sequence[str]
) -> tuple[Table | None, dict[str, list[str]], dict[str, Series]]:
    """Make columns and temporal data of the arrays in a table that was read from a file.

    Parameters
    ----------
    table : DataFrame, mapping of str to ndarray of shape (n_rows,), or None
    whole : sequence of str
        Columns whose cells stay one value, as text.

    Returns
    -------
    table
        Without such columns, those of their numbers in their places.
    split : dict of str to list of str
        For each column whose cells were several numbers what these are called.
    series : dict of str to Series
        Those whose cells were steps and channels.
    """
    names = [] if table is None else list(map(str, table))
    if table is None or len(set(names)) < len(names):
        return table, {}, {}
    arrays = [name for name in names if table[name].dtype.kind == "O" and _holds_arrays(_as_series(table[name]))]
    if not arrays:
        return table, {}, {}
    cells = read_cells(pd.DataFrame({name: table[name] for name in arrays if name not in whole}), {})
    columns: dict[str, Any] = {}
    for name in names:
        for own in cells.numbers.get(name, [] if name in cells.series else [name]):
            if own in columns:
                raise DataError(f"the data name '{own}' twice; each column and number needs a name of its own.")
            columns[own] = cells.columns[own] if name in cells.numbers else table[name]
    for name in set(whole).intersection(arrays):
        columns[name] = np.array([as_text(cell.tolist()) for cell in table[name]], dtype=object)
    return (pd.DataFrame(columns) if isinstance(table, pd.DataFrame) else columns), cells.numbers, cells.series


def _as_series(column: np.ndarray | pd.Series) -> pd.Series:
    return column if isinstance(column, pd.Series) else pd.Series(column, dtype=object)


def _holds_arrays(column: pd.Series) -> bool:
    if column.dtype.kind != "O":
        return False
    return isinstance(next((cell for cell in column if isinstance(cell, _ARRAYS) or not pd.isna(cell)), None), _ARRAYS)


def _stack(name: str, column: pd.Series) -> np.ndarray:
    """Return the cells one below the other, of shape (n_rows, n_numbers) or (n_rows, a, b)."""
    cells = [_as_array(name, row, cell) for row, cell in enumerate(column)]
    for row, cell in enumerate(cells):
        if cell.shape != cells[0].shape:
            raise ShapeError(
                f"the cells of column '{name}' differ: an array of shape {cells[0].shape} in row 0, of shape "
                f"{cell.shape} in row {row}. All rows need the same; pad or leave out such rows."
            )
    if cells[0].ndim not in (1, 2) or not cells[0].size:
        raise ShapeError(
            f"the cells of column '{name}' have the shape {cells[0].shape}; expected some numbers (n,), or steps and "
            "channels (n_steps, n_channels)."
        )
    return np.stack(cells)


def _as_array(name: str, row: int, cell: object) -> np.ndarray:
    try:
        array = np.asarray(cell)
        return np.array(list(cell)) if array.dtype == object and isinstance(cell, _ARRAYS) else array
    except ValueError as error:
        raise ShapeError(f"column '{name}' holds lists of different lengths within row {row}.") from error


def _add_numbers(cells: Cells, name: str, array: np.ndarray, names: list[str]) -> None:
    width = array.shape[1]
    if len(names) == 1 and width > 1:
        cells.series[name] = Series(tuple(names), array)
        return
    if names and len(names) != width:
        raise ShapeError(
            f"channels: {len(names)} names for '{name}' ({name_list(names)}), whose cells are {width} numbers."
        )
    names = names or ([name] if width == 1 else [f"{name} {number}" for number in range(1, width + 1)])
    for position, own in enumerate(names):
        cells.put(own, array[:, position])
    cells.numbers[name] = names


def _add_series(cells: Cells, name: str, array: np.ndarray, names: list[str]) -> None:
    first, last = array.shape[1:]
    names = names or ([name] if last == 1 else [f"{name} channel {number}" for number in range(1, last + 1)])
    axis = 1 if len(names) == first != last else 2
    cells.series[name] = Series(
        tuple(names), array, channel_axis=axis, model_channel_axis=axis if first == last else None, is_of_cells=True
    )
