"""Temporal arrays from .npy and .npz files: numbers alone, and no more memory than the file can fill."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from nnperm_mlflow.basics.errors import DataError, name_list
from nnperm_mlflow.basics.locations import without_secrets
from nnperm_mlflow.inputs.specs import Fetch

_FREE_BYTES = 1 << 28  # that an archive may unpack to, however small it is: 256 MiB
_MOST_UNPACKED = 200  # times the size of its file that an archive's array may have
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_PACKED_BY_NUMPY = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = (
    ValueError, TypeError, LookupError, SyntaxError, ArithmeticError, OSError, EOFError, NotImplementedError,
    RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy, whose headers are Python expressions, and zipfile end in."""


def read_array(name: str, location: str, fetch: Fetch) -> np.ndarray:
    """Read an array of numbers.

    Parameters
    ----------
    name : str
        Of the temporal data; which array of several an archive's is.
    location : str
        Of a .npy or .npz file.
    fetch : callable
        Turns it into a local file.

    Returns
    -------
    ndarray
        That of a .npy file is memory-mapped; that of an .npz file is in memory.

    Raises
    ------
    DataError
        If the file is no such file, holds something else than numbers, or asks for more memory than it can fill.
    """
    path = fetch(location)
    location = without_secrets(location)
    try:
        with path.open("rb") as stream:
            if stream.read(len(_ZIP_MAGIC[0])) in _ZIP_MAGIC:
                return _member(path, name, location)
            stream.seek(0)
            _check_header(stream, path.stat().st_size)
        return np.lib.format.open_memmap(path, mode="r")
    except MemoryError as error:
        raise DataError(
            f"the array in '{location}' does not fit into memory. Save it with numpy.save, and it stays in its file."
        ) from error
    except _DAMAGED as error:
        raise DataError(
            f"'{location}' is no .npy or .npz file of plain numbers (arrays of objects are not read). "
            "Write it with numpy.save or numpy.savez."
        ) from error


def _member(path: Path, name: str, location: str) -> np.ndarray:
    """Return the array of an .npz file that has the wanted name, or its only one."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        if name not in members and len(members) != 1:
            raise DataError(f"'{location}' holds the arrays {name_list(members)}, none of which is called '{name}'.")
        member = members.get(name) or next(iter(members.values()))
        if member.file_size > max(_FREE_BYTES, _MOST_UNPACKED * path.stat().st_size):
            raise DataError(
                f"'{location}' unpacks to {member.file_size:,} bytes, more than {_MOST_UNPACKED} times its size. Save "
                "the array with numpy.save, which does not pack it."
            )
        if member.compress_type not in _PACKED_BY_NUMPY:
            raise ValueError("packed as numpy packs nothing")
        with archive.open(member) as stream:
            _check_header(stream, member.file_size)
        with archive.open(member) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)


def _check_header(stream: IO[bytes], n_bytes: int) -> None:
    """Refuse an array that is larger than what is there of it; numpy would ask for its memory at once."""
    shape, _, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    if math.prod(shape) * dtype.itemsize > n_bytes - stream.tell():
        raise ValueError("the header promises more than the file holds")
