"""The parts of a pt2 archive, read as text and plain numbers: no pickle in it is opened, and nothing is evaluated."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from nnperm_mlflow.models.torch.pickled_parts import foreign_names

_MOST_MEMBERS = 200_000  # of an archive; a network has one for each of its weights
_MOST_OF_TEXT = 1 << 28  # bytes of the graph, 256 MiB: a node takes about a kilobyte
_SCHEMA_VERSION = 8  # of the graph as JSON; another major number means another form

_NUMBERS = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
_KNOWN = re.compile(
    rf"{_NUMBERS.pattern}|data/(weights/model_weights|constants/model_constants)_config\.json|models/model\.json"
    r"|data/sample_inputs/model\.pt|archive_format|archive_version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/(version|serialization_id)"
)
_TENSOR_TYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 9: torch.complex32, 10: torch.complex64, 11: torch.complex128, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
"""Types of tensors by the numbers that torch.export gives them."""


class ForeignPartError(ValueError):
    """An archive holds something that is not read without trust; the message goes on after "its pt2 archive"."""


@dataclass(frozen=True)
class Archive:
    """What a pt2 archive holds.

    Attributes
    ----------
    program : dict
        The exported program as nested JSON.
    tensors : dict of str to Tensor
        Weights, buffers and constants, by the names that the network gives them.
    """

    program: dict[str, Any]
    tensors: dict[str, torch.Tensor]


def read_archive(source: Path | IO[bytes]) -> Archive:
    """Read a pt2 archive as torch.export.save writes it, of PyTorch 2.9 or later.

    Parameters
    ----------
    source : Path or binary file

    Returns
    -------
    Archive

    Raises
    ------
    ForeignPartError
        If it is damaged, of another version, or holds anything that would have to be unpickled or run; also where only
        PyTorch's own reader would do that, as where MLflow serves the model.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            return _read(_members(archive))
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ForeignPartError(f"is damaged ({type(error).__name__})") from error


@dataclass(frozen=True)
class _Members:
    """The members of an archive by their names behind its root folder."""

    archive: zipfile.ZipFile
    infos: Mapping[str, zipfile.ZipInfo]

    def read(self, name: str) -> bytes:
        return self.archive.read(self.infos[name])

    def text(self, name: str) -> Any:  # noqa: ANN401 - nested JSON
        if name not in self.infos:
            raise ForeignPartError(f"has no part '{name}', as those written by PyTorch before 2.9")
        if self.infos[name].file_size > _MOST_OF_TEXT:
            raise ForeignPartError(f"has a part '{name}' of more than {_MOST_OF_TEXT:,} bytes")
        try:
            return json.loads(self.read(name))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise ForeignPartError(f"has a part '{name}' that is no JSON") from error


def _members(archive: zipfile.ZipFile) -> _Members:
    """Return an archive's members, each of a known kind, stored as it is and there once."""
    infos = archive.infolist()
    if len(infos) > _MOST_MEMBERS:
        raise ForeignPartError(f"has {len(infos):,} parts, above {_MOST_MEMBERS:,}")
    if archive.comment or not infos or min(info.header_offset for info in infos) > 0:
        raise ForeignPartError("has something before or behind its parts, by which readers may take others")
    root = infos[0].filename.partition("/")[0]
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removeprefix(f"{root}/")
        if not _KNOWN.fullmatch(name):
            raise ForeignPartError(f"holds '{name}', which is no part of a network's graph and weights")
        if name in found:
            raise ForeignPartError(f"holds '{name}' twice, of which readers may take either")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
            raise ForeignPartError(f"holds '{name}' packed, as torch.export writes none")
        found[name] = info
    return _Members(archive, found)


def _read(members: _Members) -> Archive:
    program = members.text("models/model.json")
    version = program.get("schema_version") if isinstance(program, dict) else None
    if not isinstance(version, dict) or version.get("major") != _SCHEMA_VERSION:
        raise ForeignPartError(f"is written in another version of the form than {_SCHEMA_VERSION}")
    if members.infos.get("byteorder") and members.read("byteorder") != b"little":
        raise ForeignPartError("holds numbers with the most significant byte first")
    if "data/sample_inputs/model.pt" in members.infos:
        names = foreign_names(members.read("data/sample_inputs/model.pt"))
        if names:
            raise ForeignPartError(
                f"holds example inputs that are more than tensors ({', '.join(names)}): PyTorch unpickles them where "
                "MLflow serves the model, and code in them would run"
            )
    tensors: dict[str, torch.Tensor] = {}
    buffers: dict[str, torch.Tensor] = {}
    for folder, config in (("weights", "model_weights"), ("constants", "model_constants")):
        for name, told in _entries(members.text(f"data/{folder}/{config}_config.json")).items():
            tensors[name] = _tensor(members, f"data/{folder}/{told['path_name']}", name, told, buffers)
    return Archive(program, tensors)


def _entries(config: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401 - nested JSON
    entries = config.get("config") if isinstance(config, dict) else None
    if not isinstance(entries, dict) or not all(
        isinstance(told, dict) and isinstance(told.get("path_name"), str) for told in entries.values()
    ):
        raise ForeignPartError("lists its weights in an unknown form")
    return entries


def _tensor(
    members: _Members, path: str, name: str, told: Mapping[str, Any], buffers: dict[str, torch.Tensor]
) -> torch.Tensor:
    """Return a tensor over the bytes that are stored of it; several can share them, as tied weights do."""
    if told.get("use_pickle") is not False or not _NUMBERS.fullmatch(path):
        raise ForeignPartError(f"holds '{name}' as a pickle: code in it would run")
    if path not in members.infos:
        raise ForeignPartError(f"has no part '{path}' for '{name}'")
    try:
        meta = told["tensor_meta"]
        dtype = _TENSOR_TYPES[meta["dtype"]]
        sizes, strides = ([part["as_int"] for part in meta[key]] for key in ("sizes", "strides"))
        if meta["device"]["type"] != "cpu":
            raise ForeignPartError(
                f"holds '{name}' for {meta['device']['type']}; log the network after .to('cpu'), which serves anywhere"
            )
        if path not in buffers:
            buffers[path] = torch.frombuffer(bytearray(members.read(path) or b"\0"), dtype=torch.uint8)
        if 0 in sizes:
            return torch.empty(sizes, dtype=dtype)
        numbers = buffers[path][: len(buffers[path]) // dtype.itemsize * dtype.itemsize].view(dtype)
        return torch.as_strided(numbers, sizes, strides, meta["storage_offset"]["as_int"])
    except (KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise ForeignPartError(f"describes '{name}' as its bytes are not ({type(error).__name__})") from error


def tensor_type(number: object) -> torch.dtype:
    """Return the type of tensors that torch.export gives a number.

    Raises
    ------
    ForeignPartError
        If there is none.
    """
    if not isinstance(number, int) or number not in _TENSOR_TYPES:
        raise ForeignPartError(f"names the type of numbers {number!r}, which is not known")
    return _TENSOR_TYPES[number]
