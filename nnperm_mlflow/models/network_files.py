"""What a network's own file, `.keras` or HDF5, says of itself, read without building anything of it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

_UNREADABLE = (ValueError, KeyError, OSError, RecursionError, zipfile.BadZipFile)
_BEFORE_THEY_SAID = "1"
"""Version of Keras of HDF5 networks that name none, as Keras itself has it."""


def read_configuration(path: Path) -> Any:  # noqa: ANN401 - nested JSON
    """Return what a network's file says it is made of."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    import h5py  # noqa: PLC0415 - needed for this format alone

    with h5py.File(path) as file:
        return json.loads(file.attrs.get("model_config", "{}"))


def keras_version(path: Path) -> str | None:
    """Return the version of Keras that wrote a network's file, None for a file that is none."""
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                return str(json.loads(archive.read("metadata.json"))["keras_version"])
        import h5py  # noqa: PLC0415 - needed for this format alone

        with h5py.File(path) as file:
            said = file.attrs.get("keras_version", _BEFORE_THEY_SAID) if "model_config" in file.attrs else None
    except _UNREADABLE:
        return None
    return said.decode() if isinstance(said, bytes) else said


def is_of_keras_2(path: Path) -> bool:
    """Tell whether a network's file was written by Keras 2, or by a Keras before it."""
    major = (keras_version(path) or "").partition(".")[0]
    return major.isdigit() and int(major) < 3
