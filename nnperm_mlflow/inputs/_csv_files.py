"""csv files, packed or not: read by pandas where they do not promise more than they hold."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import DataError, name_list
from nnperm_mlflow.inputs._csv_dialect import CSV_KEY, Dialect

_FREE_BYTES = 1 << 28  # that a table may take, however small its file is: 256 MiB
_MOST_UNPACKED = 200  # times the size of its file that a packed one may have; what people write has 20
_MOST_CELLS = 8  # for each byte; even an empty cell takes one, its comma
_MOST_COLUMNS = 100_000
_MOST_HEADER = 1 << 25  # bytes of the line that is looked at for them
_CELL_BYTES = 8
_PIECE_BYTES = 1 << 20


def read_csv(path: Path, location: str, dialect: Dialect, texts: Sequence[str] = ()) -> pd.DataFrame:
    """Read a csv file.

    Parameters
    ----------
    path : Path
    location : str
        How messages call it.
    dialect : Dialect
        How it is written. Where decimals are for its numbers to show, columns of which each cell is a number with a
        decimal comma are numbers.
    texts : sequence of str
        Columns that are text, whatever they look like.

    Returns
    -------
    DataFrame
        Of numbers, booleans and text, as pandas takes the cells of a column.

    Raises
    ------
    DataError
        If a column is named twice, which pandas would rename in silence, or lines have more cells than the header, or
        a small file makes a huge table, or some columns have decimal points and others commas.
    ValueError, OSError, EOFError, zlib.error
        As pandas and gzip raise them for a file that is none.
    """
    _check_width(path, location, dialect)
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **dialect.options).iloc[0]
    twice = header[header.duplicated()].unique()
    if len(twice):
        raise DataError(f"'{location}' names {name_list(twice)} twice; each column needs a name of its own.")
    _check_size(path, location, len(header), dialect)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, decimal=dialect.decimal or ".", **dialect.options)
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"lines of '{location}' have more cells than its header names columns ({len(header)}). Name each column; "
            f"or, where something else parts the cells or decimals have a comma, say so: {CSV_KEY}."
        ) from error
    return table if dialect.decimal else _with_decimal_commas(table, path, location, dialect, texts)


def _with_decimal_commas(
    table: pd.DataFrame, path: Path, location: str, dialect: Dialect, texts: Sequence[str]
) -> pd.DataFrame:
    """Return a table in which columns of numbers with decimal commas are numbers, if no number has a point."""
    words = table.select_dtypes(exclude=["number", "bool"])
    candidates = [name for name in words if name not in texts and words[name].astype(str).str.contains(",").any()]
    if not candidates:
        return table
    found = pd.read_csv(path, decimal=",", usecols=candidates, **dialect.options).select_dtypes("number")
    pointed = [name for name, values in table.select_dtypes("float").items() if (values.dropna() % 1 != 0).any()]
    if len(found.columns) and pointed:
        raise DataError(
            f"'{location}' has decimal points in {name_list(pointed)} and what may be decimal commas in "
            f"{name_list(found)}. Say which are meant: {CSV_KEY}; or name the latter under 'data: text'."
        )
    return table.assign(**{str(name): found[name] for name in found})


def read_cells_of_csv(path: Path, dialect: Dialect, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read some columns of a csv file as they are written there: text, as `01067` or `NA`; an empty cell is missing.

    Parameters
    ----------
    path : Path
    dialect : Dialect
    names : sequence of str
        Columns that there are.

    Returns
    -------
    dict of str to ndarray of shape (n_rows,), object
    """
    if not names:
        return {}
    cells = pd.read_csv(path, usecols=list(names), dtype=str, keep_default_na=False, na_values=[""], **dialect.options)
    return {name: cells[name].to_numpy(dtype=object) for name in names}


def _check_width(path: Path, location: str, dialect: Dialect) -> None:
    """Refuse more columns than pandas handles in minutes."""
    with dialect.open(path) as stream:
        n_columns = 1 + stream.readline(_MOST_HEADER).count(dialect.sep.encode())
    if n_columns > _MOST_COLUMNS:
        raise DataError(
            f"'{location}' has more than {_MOST_COLUMNS:,} columns. Save arrays as .npy files, and name them under "
            "'data: temporal:'."
        )


def _check_size(path: Path, location: str, n_columns: int, dialect: Dialect) -> None:
    """Refuse a file that unpacks to, or whose short lines are filled up to, far more than it holds."""
    stored = path.stat().st_size
    most_bytes = max(_FREE_BYTES, _MOST_UNPACKED * stored)
    n_bytes = n_lines = 0
    with dialect.open(path) as stream:
        while piece := stream.read(_PIECE_BYTES):
            n_bytes += len(piece)
            n_lines += max(piece.count(b"\n"), piece.count(b"\r"))
            if dialect.packed and n_bytes > most_bytes:
                raise DataError(
                    f"'{location}' unpacks to more than {_MOST_UNPACKED} times its size. Unpack it, or save the table "
                    "as Parquet."
                )
    n_cells = n_lines * n_columns
    if n_cells * _CELL_BYTES > _FREE_BYTES and n_cells > _MOST_CELLS * n_bytes:
        raise DataError(
            f"'{location}' has {n_columns:,} columns and {n_lines:,} lines, which are too short for them: filled up "
            "they would take the memory. Is the first line the header?"
        )
