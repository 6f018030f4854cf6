"""From where data may be read: whoever writes a run chooses what its configuration names."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.basics.locations import is_uri, without_secrets
from nnperm_mlflow.config.data_config import DataConfig

_SHARE = re.compile(r"[\\/]{2}")  # how the path of a file on another machine begins, on Windows


def refuse_elsewhere(data: DataConfig, allowed: Sequence[str], audit: str) -> None:
    """Refuse to read data that a run's configuration looks for where nobody allowed it; nothing is asked for before.

    Parameters
    ----------
    data : DataConfig
        As the run names them.
    allowed : sequence of str
        Paths or URIs, each standing for itself and all below it; where there are none, files of this machine.
    audit : str
        How messages call the audit.

    Raises
    ------
    EvidenceError
        The message names the place.
    """
    for location in (data.static, *(spec.file for spec in data.temporal.values())):
        if location is not None and not may_be_read(location, allowed):
            raise EvidenceError(
                f"{audit} names data at '{without_secrets(location)}', and what a run names is read only where that is "
                f"allowed: {_in_words(allowed)}. Say where the data are with a configuration of your own (--config "
                "FILE), or allow the place (--allow-data PREFIX)."
            )


def may_be_read(location: str, allowed: Sequence[str]) -> bool:
    """Tell whether a location is one of those allowed, or lies below one.

    >>> may_be_read("s3://risk/2026/clients.csv", ["s3://risk/2026"])
    True
    >>> may_be_read("s3://risk/2026-other/clients.csv", ["s3://risk/2026"])
    False
    >>> may_be_read("https://data.example.org/clients.csv", [])
    False
    """
    path = _local(location)
    if path is not None:
        ours = filter(None, map(_local, allowed))
        return not allowed or any(_is_below(path, prefix, os.sep) for prefix in ours)
    steps = re.split(r"[\\/]", unquote(location))
    return ".." not in steps and any(_is_below(location, prefix, "/") for prefix in allowed)


def _local(location: str) -> str | None:
    """Return the path of a file of this machine, links followed; None for all else."""
    if location.startswith("file:"):
        location = url2pathname(urlparse(location).path)
    elif is_uri(location):
        return None
    return None if _SHARE.match(location) or "\0" in location else os.path.realpath(location)


def _is_below(location: str, prefix: str, separator: str) -> bool:
    """Tell whether a location is a prefix, or goes on behind it with another step."""
    return location == prefix or location.startswith(prefix.rstrip(separator) + separator)


def _in_words(allowed: Sequence[str]) -> str:
    return ", ".join(map(without_secrets, allowed)) if allowed else "files of this machine"
