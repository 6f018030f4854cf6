"""Static tables from files: small ones in memory, the numbers of large ones mapped to files."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nnperm_mlflow.basics.errors import DataError
from nnperm_mlflow.basics.locations import without_secrets
from nnperm_mlflow.config.data_config import CsvConfig
from nnperm_mlflow.inputs._csv_dialect import CSV_KEY, find_dialect
from nnperm_mlflow.inputs._csv_files import read_cells_of_csv, read_csv
from nnperm_mlflow.inputs._texts import (
    as_text,
    codes_as_texts,
    is_repeated_text,
    read_texts,
    spelled_out_in,
    texts_of,
)
from nnperm_mlflow.inputs.specs import Fetch

Table = pd.DataFrame | dict[str, np.ndarray]

_IN_MEMORY_BYTES = 1 << 28  # of a table, at 8 bytes a cell: 256 MiB
_BATCH_ROWS = 1 << 16
_ALIGNMENT = 8  # of the bytes at which a column begins
_FREE_ROWS = 1 << 20  # that a Parquet file may have, however small it is
_MOST_ROWS = 64  # for each of its bytes; a column that is not constant takes about a bit a row

_PARQUET = (".parquet", ".pq")
_CSV = (".csv", ".tsv", ".gz")
_MOST_AXES = 3  # of an array made of cells: rows, steps and channels
_BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
_DAMAGED = (
    pa.ArrowException, ValueError, TypeError, LookupError, ArithmeticError, OSError, EOFError, zlib.error,
)  # fmt: skip
"""What pandas and pyarrow end in."""
_COUNTS_ALONE = (pd.errors.ParserError, pd.errors.EmptyDataError)
"""Those of them whose words hold no values."""
_NOT_READ = "Not yet implemented"
"""So pyarrow begins to speak of texts in an encoding of version 2 that it shall read as codes of a dictionary."""


def _said(csv: CsvConfig | None) -> tuple[str | None, str | None]:
    """Return separator and decimal mark as configured."""
    return (None, None) if csv is None else (csv.sep, csv.decimal)


def read_table(location: str, fetch: Fetch, csv: CsvConfig | None = None, texts: Sequence[str] = ()) -> Table:
    """Read a static table.

    Parameters
    ----------
    location : str
        Of a .csv, .tsv, .csv.gz or .parquet file.
    fetch : callable
        Turns it into a local file.
    csv : CsvConfig, optional
        How a csv file is written, where it does not show that itself.
    texts : sequence of str
        Columns of a csv file that are text, whatever they look like.

    Returns
    -------
    DataFrame, or dict of str to ndarray of shape (n_rows,)
        The latter for a Parquet file of more than 256 MiB: columns of numbers are then mapped to temporary files, which
        vanish with them; columns of text are in memory.

    Raises
    ------
    DataError
        If the file is of another format, cannot be read, or asks for more memory than it can fill.
    """
    path = fetch(location)
    location = without_secrets(location)
    suffix = Path(location).suffix.lower()
    if suffix not in (*_CSV, *_PARQUET):
        raise DataError(f"a static table is a .csv or .parquet file, but '{location}' ends in '{suffix}'.")
    try:
        if suffix in _PARQUET:
            return _read_parquet(path, location)
        return read_csv(path, location, find_dialect(path, location, *_said(csv)), texts)
    except MemoryError as error:
        raise DataError(f"'{location}' does not fit into memory. Leave out columns or rows.") from error
    except _DAMAGED as error:
        raise DataError(f"'{location}' cannot be read as {suffix[1:]}: {_reason(error)}.") from error


def read_written(
    location: str, fetch: Fetch, names: Sequence[str], csv: CsvConfig | None = None
) -> dict[str, np.ndarray]:
    """Read columns of a table that `read_table` has read, as they are written there; other files than csv know types.

    Parameters
    ----------
    location, fetch
        As for `read_table`.
    names : sequence of str
        Columns that there are.
    csv : CsvConfig, optional
        As for `read_table`.

    Returns
    -------
    dict of str to ndarray of shape (n_rows,), object
        Empty for a file that is no csv file.
    """
    path = fetch(location)
    location = without_secrets(location)
    suffix = Path(location).suffix.lower()
    if suffix in _PARQUET:
        return {}
    try:
        return read_cells_of_csv(path, find_dialect(path, location, *_said(csv)), names)
    except _DAMAGED as error:
        raise DataError(f"'{location}' cannot be read as {suffix[1:]}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    """Return what is wrong with a file, in another library's words where these hold no values."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text (iconv -f latin1 -t utf-8 makes it that, where it is of Western Europe)"
    if isinstance(error, _COUNTS_ALONE):
        hint = f"; is it written otherwise? Say how: {CSV_KEY}" if isinstance(error, pd.errors.ParserError) else ""
        return str(error).partition("\n")[0].rstrip(".") + hint
    if str(error).startswith(_NOT_READ):
        return "pyarrow does not read how it is encoded: write its categories as text"
    return f"it is damaged, or something else ({type(error).__name__})"


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


def _read_parquet(path: Path, location: str) -> Table:
    if not path.is_file():
        table = pq.read_table(path)
        return frame_of(table, _data_columns(table.schema))
    try:
        return _read_columns(path, location, texts_of(path))
    except OSError as error:
        if not str(error).startswith(_NOT_READ):
            raise
    return _read_columns(path, location, [])


def _read_columns(path: Path, location: str, dictionaries: list[str]) -> Table:
    """Read a Parquet file, some of its texts as codes of a dictionary."""
    with pq.ParquetFile(path, read_dictionary=dictionaries) as file:
        n_rows = file.metadata.num_rows
        if n_rows > max(_FREE_ROWS, _MOST_ROWS * path.stat().st_size):
            raise _miscounted(location, n_rows)
        names = _data_columns(file.schema_arrow)
        if 8 * n_rows * len(names) > _IN_MEMORY_BYTES and len(set(names)) == len(names):
            return _large_columns(file, names, path, location)
        texts = _texts(file, names, path, location)
        others = [name for name in names if name not in texts]
        table = file.read(others)
        if any(length != n_rows for length in (table.num_rows, *map(len, texts.values()))):
            raise _miscounted(location, n_rows)
        frame = frame_of(table, others)
        for name, values in texts.items():
            frame.insert(names.index(name), name, pd.Series(values, dtype=object))
        return frame


def _texts(file: pq.ParquetFile, names: list[str], path: Path, location: str) -> dict[str, np.ndarray]:
    """Return the columns of text that Arrow would spell out."""
    return {name: read_texts(file, name, path, location) for name in spelled_out_in(file.schema_arrow) if name in names}


def _miscounted(location: str, n_rows: int) -> DataError:
    return DataError(f"'{location}' says that it has {n_rows:,} rows, which its bytes do not bear out. Write it again.")


def _data_columns(schema: pa.Schema) -> list[str]:
    """Return the names of the columns without those that hold what was the index of a DataFrame."""
    try:
        said = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    except (ValueError, RecursionError):
        said = None
    index = said.get("index_columns") if isinstance(said, dict) else None
    return [name for name in schema.names if not isinstance(index, list) or name not in index]


def frame_of(table: pa.Table, names: list[str]) -> pd.DataFrame:
    """Return columns as pandas has them; decimals become numbers, cells of bytes or of several values text.

    Cells of numbers are arrays where each row has as many.

    What else the file says of pandas is left unread: anybody may have written it.
    """
    table = table.select([place for place, name in enumerate(table.schema.names) if name in names])
    table = table.replace_schema_metadata(None)
    table.validate(full=True)
    table = table.cast(pa.schema([_without_decimals(field) for field in table.schema]))
    repeated = [position for position, field in enumerate(table.schema) if is_repeated_text(field.type)]
    others = table.select([position for position in range(table.num_columns) if position not in repeated])
    frame = others.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    for position in repeated:
        texts = pd.Series(codes_as_texts(table.column(position)), dtype=object)
        frame.insert(position, table.schema[position].name, texts, allow_duplicates=True)
    for position, field in enumerate(table.schema):
        if pa.types.is_nested(field.type) or any(is_bytes(field.type) for is_bytes in _BYTES):
            array = numbers_in_cells(table.column(position))
            cells = [as_text(cell) for cell in table.column(position).to_pylist()] if array is None else list(array)
            frame.isetitem(position, pd.Series(cells, dtype=object))
    return frame


def numbers_in_cells(column: pa.ChunkedArray) -> np.ndarray | None:
    """Return cells of numbers as an array of shape (n_rows, n_numbers) or (n_rows, a, b); None for any others."""
    values, shape = column.combine_chunks(), [len(column)]
    while (
        pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type)
    ):
        lengths = values.value_lengths()
        if values.null_count or not len(values) or len(lengths.unique()) != 1 or lengths[0].as_py() == 0:
            return None
        shape.append(lengths[0].as_py())
        values = values.flatten()
    is_number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if not is_number or not 1 < len(shape) <= _MOST_AXES:
        return None
    return values.to_numpy(zero_copy_only=False).reshape(shape)


def _without_decimals(field: pa.Field) -> pa.Field:
    return field.with_type(pa.float64()) if pa.types.is_decimal(field.type) else field


def _large_columns(file: pq.ParquetFile, names: list[str], path: Path, location: str) -> dict[str, np.ndarray]:
    """Return columns as `column_values` would, those of numbers one behind the other in one mapped file."""
    kinds = {name: file.schema_arrow.field(name).type for name in names}
    numbers = [name for name, kind in kinds.items() if pa.types.is_integer(kind) or pa.types.is_floating(kind)]
    texts = _texts(file, names, path, location)
    others = [name for name in names if name not in numbers and name not in texts]
    columns = {name: column_values(pd.Series(values, dtype=object)) for name, values in texts.items()}
    columns |= {name: column_values(frame_of(file.read([name]), [name])[name]) for name in others}
    places: dict[str, tuple[int, np.dtype]] = {}
    with tempfile.TemporaryFile() as stored:
        for name in numbers:
            stored.write(bytes(-stored.tell() % _ALIGNMENT))
            at = stored.tell()
            dtype = _store(file, name, kinds[name], stored)
            places[name] = at, dtype
            if stored.tell() - at != file.metadata.num_rows * dtype.itemsize:
                raise _miscounted(location, file.metadata.num_rows)
        stored.flush()
        if places:
            whole = np.memmap(stored, np.uint8, mode="r")
            sizes = {name: file.metadata.num_rows * dtype.itemsize for name, (_, dtype) in places.items()}
            columns |= {name: whole[at : at + sizes[name]].view(dtype) for name, (at, dtype) in places.items()}
    return {name: columns[name] for name in names}


def _store(file: pq.ParquetFile, name: str, kind: pa.DataType, stored: IO[bytes]) -> np.dtype:
    """Write a column of numbers to a file, and return as what: whole numbers of which some are missing as float64."""
    at, dtype = stored.tell(), np.dtype(kind.to_pandas_dtype())
    for values in _batches(file, name):
        if values.null_count and dtype.kind in "iu":
            stored.seek(at)
            return _store(file, name, pa.float64(), stored)
        stored.write(np.ascontiguousarray(values.to_numpy(zero_copy_only=False), dtype=dtype).data)
    return dtype


def _batches(file: pq.ParquetFile, name: str) -> Iterator[pa.Array]:
    return (batch.column(name) for batch in file.iter_batches(_BATCH_ROWS, columns=[name]))
