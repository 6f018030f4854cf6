"""An ONNX model as its file holds it, with the weights that lie in files beside it; nothing of it is run."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto, helper

from nnperm_mlflow.basics.errors import ModelError
from nnperm_mlflow.models.model_uri import ModelReference

_MOST_BYTES = 2**31 - 1
"""Of a model with all that belongs to it: what a Protocol Buffers message can hold."""

_PLAIN_NAME = re.compile(r"[^/\\*:\0]+")
"""Of a file beside the model. A star has a meaning of its own to ONNX Runtime: memory that is there already."""


def read_model(path: Path, reference: ModelReference) -> onnx.ModelProto:
    """Read a model and the weights that it keeps in other files, as one message that refers to nothing else.

    Parameters
    ----------
    path : Path
        The `.onnx` file.
    reference : ModelReference
        For messages.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ModelError
        If it is no ONNX model, is too large, or keeps weights elsewhere than in files beside it.
    """
    n_bytes = path.stat().st_size if path.is_file() else 0
    _refuse_large(n_bytes, reference)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
        tensors = [message for message in every_message(model) if isinstance(message, TensorProto)]
        external = [tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL]
    except (OSError, DecodeError, RecursionError) as error:
        raise ModelError(f"the file {path.name} of {reference} is no ONNX model ({type(error).__name__}).") from error
    if not model.graph.output:
        raise ModelError(f"the file {path.name} of {reference} holds no ONNX model with outputs.")
    places = [_place(tensor, path.parent, reference) for tensor in external]
    _refuse_large(n_bytes + sum(place.length for place in places), reference)
    for tensor, place in zip(external, places, strict=True):
        _take_in(tensor, place)
    return model


def every_message(message: Message) -> Iterator[Message]:
    """Yield a message of Protocol Buffers and all that lie in it, whatever they are for."""
    waiting = [message]
    while waiting:
        yield (current := waiting.pop())
        for field, value in current.ListFields():
            if field.type == field.TYPE_MESSAGE:
                waiting.extend([value] if isinstance(value, Message) else value)


def _refuse_large(n_bytes: int, reference: ModelReference) -> None:
    if n_bytes > _MOST_BYTES:
        raise ModelError(
            f"{reference} takes more than {_MOST_BYTES / 2**30:.0f} GiB, which is what an ONNX model can hold that is "
            "taken apart. Log it with smaller weights (float16, or quantized)."
        )


@dataclass(frozen=True)
class _Place:
    """Where the numbers of a tensor lie: in a file, from a byte, and how many bytes."""

    file: Path
    offset: int
    length: int


def _place(tensor: TensorProto, folder: Path, reference: ModelReference) -> _Place:
    """Return where the numbers of a tensor lie that are kept in another file."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    name = told.get("location", "")
    file = folder / name
    if not _PLAIN_NAME.fullmatch(name) or name in (".", "..") or file.is_symlink() or not file.is_file():
        raise ModelError(
            f"{reference} keeps the weights '{tensor.name}' in '{name}', which is no file beside the model. Log it "
            "again with mlflow.onnx.log_model, which stores them there."
        )
    n_bytes, present = _n_bytes(tensor), file.stat().st_size
    offset, length = _whole_number(told.get("offset", "0")), _whole_number(told.get("length", str(n_bytes)))
    if n_bytes is None or length != n_bytes or offset is None or offset + length > present:
        raise ModelError(
            f"{reference} keeps the weights '{tensor.name}' in '{name}', at a place that does not hold them: expected "
            f"{n_bytes} bytes from byte {told.get('offset', '0')} of {present}. Log it again."
        )
    return _Place(file, offset, length)


def _take_in(tensor: TensorProto, place: _Place) -> None:
    """Put the numbers of a tensor into it that lie in another file."""
    with place.file.open("rb") as stored:
        stored.seek(place.offset)
        tensor.raw_data = stored.read(place.length)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _n_bytes(tensor: TensorProto) -> int | None:
    """Return the bytes of a tensor's numbers, or None for a tensor of anything else."""
    try:
        bits = (
            _BITS.get(TensorProto.DataType.Name(tensor.data_type))
            or 8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        )
    except (KeyError, ValueError):
        return None
    count = math.prod(tensor.dims)
    is_number = tensor.data_type != TensorProto.STRING and all(length >= 0 for length in tensor.dims)
    return (count * bits + 7) // 8 if is_number else None


def _whole_number(told: str) -> int | None:
    return int(told) if told.isdecimal() else None


_BITS = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}
"""Types of which several numbers share a byte."""
