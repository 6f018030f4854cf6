"""A model's files on this machine, and what is said of those that would have to run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nnperm_mlflow.basics.audit_files import ADDED_BY_DOWNLOAD, listing_digest
from nnperm_mlflow.basics.errors import ModelError, UntrustedModelError, name_list
from nnperm_mlflow.models.model_uri import ModelReference

ModelCode = Literal["none", "isolated", "in process"]
"""Where code that came with a model ran: nowhere, in a process of its own, in the one that measures."""

TRUST_SWITCH = "--trust-model (in Python: trust_model=True)"
_PATH_KEYS = ("data", "model_data", "model_path", "pickled_model", "python_model", "saved_model_dir", "code", "path")
"""Under which a flavour of MLflow names a file of the model."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model on this machine.

    Attributes
    ----------
    path : Path
        Directory with the MLmodel file.
    mlmodel : dict
        What that file says: flavours, signature.
    asks_for : str or None
        Function of the model that is to be called; None for the one that MLflow serves.
    """

    path: Path
    mlmodel: dict[str, Any]
    asks_for: str | None = None

    def asking_for(self, function: str | None) -> ModelFiles:
        """Return the same files with another function to call."""
        return replace(self, asks_for=function)

    def digest(self) -> str:
        """Return the sha256 (64 hex digits) of all file names and contents."""
        return self.digest_of(self.path)

    def digest_of(self, *parts: Path) -> str:
        """Return the sha256 of the names and contents of some files, or of all files in some of the directories."""
        found = {file for part in parts for file in (part, *part.rglob("*")) if file.is_file()}
        return listing_digest(self.path, found - {self.path / ADDED_BY_DOWNLOAD})


def refuse_untrusted(reference: ModelReference, why: str) -> UntrustedModelError:
    """Return the error for a model that cannot be had without running its code."""
    return UntrustedModelError(
        f"{reference} was not loaded: {why}. If you know who made it and trust them, allow it with {TRUST_SWITCH}."
    )


def refuse_outside(files: ModelFiles, reference: ModelReference) -> None:
    """Refuse a model of which a part lies outside of its directory, where no digest sees it.

    Raises
    ------
    ModelError
        If a link leads out of the directory or to a directory, or a path in the MLmodel file leads out of it.
    """
    root = files.path.resolve()
    links = [file for file in files.path.rglob("*") if file.is_symlink()]
    elsewhere = [link for link in links if link.is_dir() or not _is_inside(link, root)]
    if elsewhere:
        names = name_list(link.relative_to(files.path).as_posix() for link in elsewhere)
        raise ModelError(
            f"{reference} holds the links {names}, and what they stand for is no part of it. Copy the model with that "
            "(cp -rL), and take the copy."
        )
    leading = [path for path in _named_paths(files.mlmodel["flavors"]) if not _is_inside(root / path, root)]
    if leading:
        raise ModelError(
            f"the MLmodel file of {reference} names {name_list(leading)}, outside of the model's directory. Log the "
            "model again: MLflow copies what belongs to it."
        )


def _is_inside(file: Path, root: Path) -> bool:
    return "\0" not in str(file) and Path(os.path.realpath(file)).is_relative_to(root)


def named_parts(files: ModelFiles) -> list[Path]:
    """Return the files and directories that flavours name."""
    return [files.path / name for name in _named_paths(files.mlmodel["flavors"])]


def _named_paths(flavours: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files that flavours name, those of artifacts of a Python model included."""
    confs = [conf for conf in flavours.values() if isinstance(conf, dict)]
    artifacts = [conf["artifacts"] for conf in confs if isinstance(conf.get("artifacts"), dict)]
    confs += [artifact for named in artifacts for artifact in named.values() if isinstance(artifact, dict)]
    for conf in confs:
        yield from (conf[key] for key in _PATH_KEYS if isinstance(conf.get(key), str))
