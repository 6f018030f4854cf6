"""Static tables from files: small ones in memory, the numbers of large ones mapped to files."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nnperm_mlflow.errors import DataError, name_list
from nnperm_mlflow.locations import without_secrets

Fetch = Callable[[str], Path]
"""Turns a location (a path, a URL, an artifact of a run) into a local file."""

Table = pd.DataFrame | dict[str, np.ndarray]

_IN_MEMORY_BYTES = 1 << 28  # of a table, at 8 bytes a cell: 256 MiB
_BATCH_ROWS = 1 << 16
_ALIGNMENT = 8  # of the bytes at which a column begins


def read_table(location: str, fetch: Fetch) -> Table:
    """Read a static table.

    Parameters
    ----------
    location : str
        Of a .csv, .csv.gz or .parquet file.
    fetch : callable
        Turns it into a local file.

    Returns
    -------
    DataFrame, or dict of str to ndarray of shape (n_rows,)
        The latter for a Parquet file of more than 256 MiB: columns of numbers are then mapped to temporary files, which
        vanish with them; columns of text are in memory.

    Raises
    ------
    DataError
        If the file is of another format, or cannot be read.
    """
    path = fetch(location)
    location = without_secrets(location)
    suffix = Path(location).suffix.lower()
    readers: dict[str, Callable[[Path], Table]] = {
        ".csv": pd.read_csv, ".gz": pd.read_csv, ".parquet": _read_parquet, ".pq": _read_parquet
    }  # fmt: skip
    if suffix not in readers:
        raise DataError(f"a static table is a .csv or .parquet file, but '{location}' ends in '{suffix}'.")
    try:
        if readers[suffix] is pd.read_csv:
            _check_header(path, location)
        return readers[suffix](path)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        first_line = str(error).splitlines()[0] if not isinstance(error, UnicodeDecodeError) else "not UTF-8 text"
        raise DataError(f"'{location}' cannot be read as {suffix[1:]}: {first_line}.") from error


def _check_header(path: Path, location: str) -> None:
    """Refuse a csv file that names a column twice, which pandas would rename in silence."""
    header = pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0]
    twice = header[header.duplicated()]
    if len(twice):
        raise DataError(f"'{location}' names {name_list(twice)} twice; each column needs a name of its own.")


def column_values(column: pd.Series) -> np.ndarray:
    """Return a column as numbers or booleans where it holds such, else as Python objects."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufbM":
        return np.asarray(column.to_numpy())
    if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
        return column.to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(column.dtype):
        exact = pd.api.types.is_integer_dtype(column.dtype) and not column.isna().any()
        return column.to_numpy(dtype=np.int64) if exact else column.to_numpy(dtype=np.float64, na_value=np.nan)
    return column.to_numpy(dtype=object, na_value=np.nan)


def _read_parquet(path: Path) -> Table:
    if path.is_file():
        with pq.ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if name not in _index_columns(file)]
            if 8 * file.metadata.num_rows * len(names) > _IN_MEMORY_BYTES and len(set(names)) == len(names):
                return _large_columns(file, names)
    return pd.read_parquet(path)


def _index_columns(file: pq.ParquetFile) -> list[object]:
    """Return the columns that hold what was the index of a DataFrame, which are no data."""
    return list((file.schema_arrow.pandas_metadata or {}).get("index_columns", []))


def _large_columns(file: pq.ParquetFile, names: list[str]) -> dict[str, np.ndarray]:
    """Return columns as `column_values` would, those of numbers one behind the other in one mapped file."""
    kinds = {name: file.schema_arrow.field(name).type for name in names}
    numbers = [name for name, kind in kinds.items() if pa.types.is_integer(kind) or pa.types.is_floating(kind)]
    columns = {name: column_values(file.read([name]).to_pandas()[name]) for name in names if name not in numbers}
    places: dict[str, tuple[int, np.dtype]] = {}
    with tempfile.TemporaryFile() as stored:
        for name in numbers:
            has_gaps = pa.types.is_integer(kinds[name]) and any(values.null_count for values in _batches(file, name))
            dtype = np.dtype(np.float64 if has_gaps else kinds[name].to_pandas_dtype())
            stored.write(bytes(-stored.tell() % _ALIGNMENT))
            places[name] = stored.tell(), dtype
            for values in _batches(file, name):
                stored.write(values.to_numpy(zero_copy_only=False).astype(dtype, copy=False).tobytes())
        stored.flush()
        if places:
            whole = np.memmap(stored, np.uint8, mode="r")
            sizes = {name: file.metadata.num_rows * dtype.itemsize for name, (_, dtype) in places.items()}
            columns |= {name: whole[at : at + sizes[name]].view(dtype) for name, (at, dtype) in places.items()}
    return {name: columns[name] for name in names}


def _batches(file: pq.ParquetFile, name: str) -> Iterator[pa.Array]:
    return (batch.column(0) for batch in file.iter_batches(_BATCH_ROWS, columns=[name]))
