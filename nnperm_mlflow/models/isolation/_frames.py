"""Messages between an audit and the process of its model.

The two are not alike. The audit is trusted by the model's side, and sends any values. What comes back is JSON and
numbers: reading it runs nothing, whatever it holds.
"""

from __future__ import annotations

import json
import math
import pickle
import struct
from collections.abc import Sequence
from io import RawIOBase
from typing import Any

import numpy as np

from nnperm_mlflow.inputs.specs import ALIGNMENT

_LENGTH = struct.Struct(">Q")
_MOST_TEXT = 1 << 28  # bytes of JSON; the words that a model knows are the longest part
_NUMBERS = "fiub"
"""Kinds of arrays that come back."""


class MalformedError(ValueError):
    """What came back is no answer."""


def send_values(stream: RawIOBase, values: object) -> None:
    """Send the model's side any values; arrays are not copied on the way out."""
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(values, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(content), *(buffer.raw() for buffer in buffers)]
    lengths = [len(parts), *(part.nbytes for part in parts)]
    _write(stream, b"".join(_LENGTH.pack(length) for length in lengths))
    for part in parts:
        _write(stream, part)


def read_values(stream: RawIOBase) -> Any:  # noqa: ANN401 - whatever was sent
    """Read what the audit sends; arrays begin where numerical libraries want them to.

    Raises
    ------
    EOFError
        If the audit has ended.
    """
    n_parts = _read_length(stream)
    lengths = [_read_length(stream) for _ in range(n_parts)]
    content, *buffers = [_read(stream, length) for length in lengths]
    return pickle.loads(content.data, buffers=buffers)  # noqa: S301 - from the process that has started this one


def send_answer(stream: RawIOBase, told: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Send the audit's side JSON and arrays of numbers."""
    plain = [np.ascontiguousarray(array) for array in arrays]
    described = {**told, "arrays": [[array.dtype.str, list(array.shape)] for array in plain]}
    content = json.dumps(described).encode()
    _write(stream, _LENGTH.pack(len(content)) + content)
    for array in plain:
        _write(stream, array.reshape(-1).view(np.uint8).data)


def read_answer(stream: RawIOBase) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Read what the model's side sends.

    Returns
    -------
    told : dict
        Nested JSON.
    arrays : list of ndarray
        Of numbers.

    Raises
    ------
    EOFError
        If the model's process has ended.
    MalformedError
        If it sends something else.
    """
    length = _read_length(stream)
    if length > _MOST_TEXT:
        raise MalformedError(f"a message of {length:,} bytes")
    try:
        told = json.loads(bytes(_read(stream, length)))
        described = [(np.dtype(kind), tuple(int(axis) for axis in shape)) for kind, shape in told.pop("arrays")]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise MalformedError("a message that is none") from error
    arrays = []
    for dtype, shape in described:
        if dtype.kind not in _NUMBERS or min(shape, default=0) < 0:
            raise MalformedError(f"an array of type {dtype} and shape {shape}")
        arrays.append(_read(stream, math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape))
    return told, arrays


def _write(stream: RawIOBase, content: bytes | memoryview) -> None:
    rest = memoryview(content).cast("B") if len(content) else memoryview(b"")
    while rest:
        rest = rest[stream.write(rest) or 0 :]


def _read_length(stream: RawIOBase) -> int:
    return int(_LENGTH.unpack(_read(stream, _LENGTH.size).data)[0])


def _read(stream: RawIOBase, n_bytes: int) -> np.ndarray:
    memory = np.empty(n_bytes + ALIGNMENT, dtype=np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    content = memory[first : first + n_bytes]
    rest = content.data
    while rest:
        n_read = stream.readinto(rest)
        if not n_read:
            raise EOFError
        rest = rest[n_read:]
    return content
