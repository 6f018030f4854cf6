"""A model's files on this machine, and what is said of those that would have to run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnperm_mlflow.digests import file_digest
from nnperm_mlflow.errors import UntrustedModelError
from nnperm_mlflow.models.pinning import ModelReference

TRUST_SWITCH = "--trust-model (in Python: trust_model=True)"
_ADDED_BY_DOWNLOAD = "registered_model_meta"


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model on this machine.

    Attributes
    ----------
    path : Path
        Directory with the MLmodel file.
    mlmodel : dict
        What that file says: flavours, signature.
    """

    path: Path
    mlmodel: dict[str, Any]

    def digest(self) -> str:
        """Return the sha256 (64 hex digits) of all file names and contents."""
        sha = hashlib.sha256()
        files = [file for file in self.path.rglob("*") if file.is_file() and file != self.path / _ADDED_BY_DOWNLOAD]
        for file in sorted(files, key=lambda file: file.relative_to(self.path).as_posix()):
            sha.update(f"{file.relative_to(self.path).as_posix()} {file_digest(file)}\n".encode())
        return sha.hexdigest()


def refuse_untrusted(reference: ModelReference, why: str) -> UntrustedModelError:
    """Return the error for a model that cannot be had without running its code."""
    return UntrustedModelError(
        f"{reference} was not loaded: {why}. If you know who made it and trust their code, allow it "
        f"with {TRUST_SWITCH}."
    )
