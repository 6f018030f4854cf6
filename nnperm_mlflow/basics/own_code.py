"""Which code computes the numbers: this package's modules that a number may depend on, and other packages' versions."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from functools import cache
from pathlib import Path

import nnperm_mlflow
from nnperm_mlflow import __version__

_RECORDED_PACKAGES = ("mlflow", "numpy", "pandas", "tensorflow", "tensorflow-cpu", "keras", "torch", "scikit-learn")
_SWITCHES = (
    "TF_ENABLE_ONEDNN_OPTS", "KERAS_BACKEND", "TF_USE_LEGACY_KERAS", "TF_XLA_FLAGS", "XLA_FLAGS",
    "NVIDIA_TF32_OVERRIDE",
)  # fmt: skip
"""Environment variables that change the last bits of predictions, or what makes them."""

_ROOMS = ("analysis", "auditor", "basics", "config", "inputs", "models", "spark")
"""All that a plan is made with and numbers are computed by; the other rooms show, judge and write what has come out."""


def code_digest(package: Path) -> str:
    """Return the sha256 (64 hex digits) of the names and texts of the modules that numbers come from.

    Parameters
    ----------
    package : Path
        Directory of this package, or of a copy of it.
    """
    sha = hashlib.sha256()
    files = [file for room in _ROOMS for file in (package / room).rglob("*.py")]
    for file in sorted(files, key=lambda file: file.relative_to(package).as_posix()):
        text = hashlib.sha256(file.read_bytes()).hexdigest()
        sha.update(f"{file.relative_to(package).as_posix()} {text}\n".encode())
    return sha.hexdigest()


@cache
def own_code_digest() -> str:
    """Return the digest of the code of this process, as its files were when it was first asked for."""
    return code_digest(Path(nnperm_mlflow.__file__).parent)


def package_versions() -> dict[str, str]:
    """Return the versions of this package, of Python, and of the packages that numbers may depend on."""
    found = {"nnperm": __version__, "python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def surroundings() -> dict[str, str]:
    """Return what must be alike in two processes for their numbers to be: versions, code, switches."""
    switches = {name: os.environ[name] for name in _SWITCHES if name in os.environ}
    return {**package_versions(), "code of nnperm_mlflow": own_code_digest(), **switches}
