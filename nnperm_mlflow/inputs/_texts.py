"""Text in Parquet files: each different one is in memory once, however it is stored and however often repeated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nnperm_mlflow.basics.errors import DataError

_BATCH_ROWS = 256  # of text that is spelled out before what is repeated in it is found
_FREE_BYTES = 1 << 28  # that different texts may take, however small their file is: 256 MiB
_MOST_UNPACKED = 200  # times the size of its file that they may have
_AS_DICTIONARY = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
_SPELLED_OUT = (*_AS_DICTIONARY, pa.types.is_string_view, pa.types.is_binary_view)


def texts_of(path: Path) -> list[str]:
    """Return the columns of text that Arrow reads as codes of a dictionary, where it is asked to.

    Not where writers of version 2 have encoded them otherwise. What the file says of its encodings is not looked at:
    pyarrow ends the process where that is broken.
    """
    return [field.name for field in pq.read_schema(path) if any(is_text(field.type) for is_text in _AS_DICTIONARY)]


def spelled_out_in(schema: pa.Schema) -> list[str]:
    """Return the columns whose texts are not codes of a dictionary, as they are read; none where a name is twice."""
    names = [field.name for field in schema if any(is_text(field.type) for is_text in _SPELLED_OUT)]
    return names if len(set(schema.names)) == len(schema.names) else []


def read_texts(file: pq.ParquetFile, name: str, path: Path, location: str) -> np.ndarray:
    """Read a column of text that Arrow does not read as codes of a dictionary.

    Parameters
    ----------
    file : ParquetFile
    name : str
        Of a column that `spelled_out_in` names.
    path : Path
        Of the file.
    location : str
        How messages call it.

    Returns
    -------
    ndarray of shape (n_rows,), object
        Texts, of which all that are alike are one, and None.

    Raises
    ------
    DataError
        If the texts are far larger than the file: in some encodings each may be a piece of the one before.
    """
    words: dict[str | None, str | None] = {}
    most_bytes = max(_FREE_BYTES, _MOST_UNPACKED * path.stat().st_size)
    pieces = [np.empty(0, dtype=object)]
    n_bytes = 0
    for cells in _batches(file, name):
        n_bytes += sum(len(cell) for cell in {*cells} - words.keys() if cell is not None)
        if n_bytes > most_bytes:
            raise DataError(
                f"the texts of '{name}' in '{location}' unpack to more than {_MOST_UNPACKED} times the size of the "
                "file. Leave the column out, or shorten them."
            )
        pieces.append(np.array([*(words.setdefault(cell, cell) for cell in cells), None], dtype=object)[:-1])
    return np.concatenate(pieces)


def _batches(file: pq.ParquetFile, name: str) -> Iterator[list[str | None]]:
    for batch in file.iter_batches(_BATCH_ROWS, columns=[name]):
        yield [as_text(cell) for cell in batch.column(name).to_pylist()]


def is_repeated_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds codes of a dictionary of texts."""
    return pa.types.is_dictionary(kind) and any(is_text(kind.value_type) for is_text in _SPELLED_OUT)


def codes_as_texts(column: pa.ChunkedArray) -> np.ndarray:
    """Return codes of a dictionary as texts, of which all that are alike are one."""
    pieces = [np.empty(0, dtype=object)]
    for chunk in column.chunks:
        words = np.array([*map(as_text, chunk.dictionary.to_pylist()), None], dtype=object)
        pieces.append(words[chunk.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)])
    return np.concatenate(pieces)


def as_text(cell: object) -> str | None:
    """Return what a cell holds as text; bytes that are none keep their numbers."""
    return cell.decode(errors="backslashreplace") if isinstance(cell, bytes) else None if cell is None else str(cell)
