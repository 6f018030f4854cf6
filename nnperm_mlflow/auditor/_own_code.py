"""Which code computes the numbers: a digest of the modules of this package that a number may depend on."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import nnperm_mlflow

_ROOMS = ("analysis", "auditor", "basics", "config", "inputs", "models")
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
