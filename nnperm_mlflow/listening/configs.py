"""Which configuration belongs to which model: the file of the model's name in one directory, and what it asks for."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import load_config

SUFFIX = ".yaml"


def configs_in(folder: Path) -> dict[str, Path]:
    """Return the configurations in a directory by the name of their model.

    The directory is listed, and a name only ever compared: none that comes from outside becomes part of a path.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict of str to Path

    Raises
    ------
    OSError
        If the directory cannot be read.
    """
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix == SUFFIX and path.is_file()}


def digest_of(config: Path) -> str:
    """Return the sha256 of a configuration file: another one after each change."""
    return hashlib.sha256(config.read_bytes()).hexdigest()


def policy_in(config: Path) -> str | None:
    """Return the digest of the policy by which a configuration wants a verdict.

    None where it wants none, and where it cannot be read: the audit then ends with the reason.
    """
    try:
        policy = load_config(config).policy
    except ConfigError:
        return None
    return policy.digest() if policy.applies else None
