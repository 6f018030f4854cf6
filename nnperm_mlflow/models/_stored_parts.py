"""What the file of a network would have its reader follow to elsewhere, or unpack: looked for before Keras opens it.

An HDF5 file can name other files for its groups (external links), for the numbers of a dataset (external storage), or
for parts of them (virtual datasets). Readers follow such names, and what they find is in no digest of the model.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.models.model_uri import ModelReference

_MOST_OF_TEXT = 1 << 26  # bytes of a configuration, 64 MiB: the words of its lookups are the longest part
_FREE_BYTES = 1 << 28  # that anything may unpack to, however small it is: 256 MiB
_MOST_UNPACKED = 200  # times its size that it may have unpacked
_HDF5 = (".h5", ".hdf5")
_DAMAGED = (OSError, RuntimeError, ValueError, TypeError, LookupError, NotImplementedError, zlib.error)
"""What h5py and zipfile end in, besides zipfile's own error."""


def refuse_parts_elsewhere(path: Path, reference: ModelReference) -> None:
    """Refuse a network of which a part lies in another file, or unpacks to far more than is stored.

    Parameters
    ----------
    path : Path
        A `.keras` or HDF5 file. One that is damaged as a whole is left to its reader, who says so.
    reference : ModelReference
        For messages.

    Raises
    ------
    ModelError
        The message names the parts.
    """
    try:
        if path.suffix == ".keras":
            _look_through_archive(path, reference)
        else:
            _look_through(path, path.name, reference)
    except (zipfile.BadZipFile, OSError):
        return


def _look_through_archive(path: Path, reference: ModelReference) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            _refuse_unpacking(member, path, reference)
        for member in archive.infolist():
            if member.filename.endswith(_HDF5):
                with tempfile.TemporaryFile() as file:
                    try:
                        with archive.open(member) as packed:
                            shutil.copyfileobj(packed, file)
                    except _DAMAGED as error:
                        raise _unreadable(f"{member.filename} in {path.name}", reference, error) from error
                    _look_through(file, f"{member.filename} in {path.name}", reference)


def _refuse_unpacking(member: zipfile.ZipInfo, path: Path, reference: ModelReference) -> None:
    is_text = member.filename.endswith(".json")
    most = _MOST_OF_TEXT if is_text else max(_FREE_BYTES, _MOST_UNPACKED * member.compress_size)
    if member.file_size > most:
        limit = f"{most:,} bytes" if is_text else f"{_MOST_UNPACKED} times what is stored of it"
        raise ModelError(
            f"{member.filename} in {path.name} of {reference} unpacks to {member.file_size:,} bytes, above {limit}: "
            "no network has reason to. Save it again with Keras, which packs nothing, and log it again."
        )


def _look_through(file: Path | IO[bytes], name: str, reference: ModelReference) -> None:
    """Walk through an HDF5 file, and open none that it names."""
    import h5py  # noqa: PLC0415 - comes with Keras

    try:
        opened = h5py.File(file, "r")
    except _DAMAGED:
        return  # it is no such file; its reader says so
    with opened:
        try:
            parts = list(_parts_elsewhere(opened))
        except _DAMAGED as error:
            raise _unreadable(name, reference, error) from error
    if parts:
        raise ModelError(
            f"{name} of {reference} holds {name_list(parts)}: what these stand for is no part of the model, and no "
            "digest covers it. Load the network where all of it is at hand, and log it again."
        )


def _parts_elsewhere(root: Any) -> Iterator[str]:  # noqa: ANN401 - h5py is not typed
    """Yield what leads out of a file or unpacks to far more than is stored; each group is entered once."""
    import h5py  # noqa: PLC0415 - comes with Keras

    waiting, entered = [root], {_address(root)}
    while waiting:
        group = waiting.pop()
        for name in group:
            place = f"{group.name.rstrip('/')}/{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield f"external link {place}"
            if not isinstance(link, h5py.HardLink):
                continue  # a soft one leads to a place that is come by itself, or to none
            part = group[name]
            if isinstance(part, h5py.Dataset):
                yield from _of_dataset(part, place)
            elif isinstance(part, h5py.Group) and _address(part) not in entered:
                entered.add(_address(part))
                waiting.append(part)


def _of_dataset(dataset: Any, place: str) -> Iterator[str]:  # noqa: ANN401
    if dataset.external:
        yield f"dataset with external storage {place}"
    elif dataset.is_virtual:
        yield f"virtual dataset {place}"
    else:
        n_bytes = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
        if n_bytes > max(_FREE_BYTES, _MOST_UNPACKED * dataset.id.get_storage_size()):
            yield f"dataset of {n_bytes:,} bytes of which hardly any is stored {place}"


def _address(part: Any) -> int:  # noqa: ANN401
    import h5py  # noqa: PLC0415 - comes with Keras

    return int(h5py.h5o.get_info(part.id).addr)


def _unreadable(name: str, reference: ModelReference, error: Exception) -> ModelError:
    return ModelError(
        f"{name} of {reference} cannot be looked through ({type(error).__name__}): it is damaged, or has links of an "
        "unknown kind. Load the network once in the environment that wrote it, and log it again."
    )
