"""Files and directories of this machine, which no URI is taken for."""

from __future__ import annotations

from pathlib import Path

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.locations import is_uri
from nnperm_mlflow.basics.text import printable


def local_path(given: str | Path, what: str) -> Path:
    """Return where something lies on this machine; a path made of a URI would be another place, and show its secrets.

    Parameters
    ----------
    given : str or Path
    what : str
        How messages call it: "the configuration".

    Raises
    ------
    ConfigError
        If it is a URI.
    """
    if _is_remote(given):
        raise ConfigError(f"{what} is read from this machine, and '{given}' is a URI. Download it first.")
    return Path(given)


def local_directory(given: str | Path, what: str) -> Path:
    """Return a directory to write to; its path is absolute, since Arrow takes a relative one with a colon for a URI.

    Parameters
    ----------
    given : str or Path
    what : str
        How messages call it: "the output directory".

    Raises
    ------
    ConfigError
        If it is a URI, or has a name that not all libraries can open.
    """
    path = Path(given).absolute()
    if _is_remote(given) or str(path).encode(errors="ignore").decode() != str(path):
        raise ConfigError(
            f"{what} '{printable(str(given))}' must be a path on this machine, in UTF-8, and no URI. Name another."
        )
    return path


def _is_remote(given: str | Path) -> bool:
    """Tell whether this is a URI; one that has been made a path has one slash."""
    return is_uri(str(given)) and ":/" in Path(given).as_posix()
