"""The tags of a version by the rules of its registry: Unity Catalog takes no dots in their keys."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nnperm_mlflow.models.model_uri import is_in_unity_catalog

_REFUSED = re.compile(r"[.,\-=/:]")  # in the keys of Unity Catalog's tags
_UNDER_A_NAME = ("nnperm.verdict.", "nnperm.promoted.")


def version_key(key: str) -> str:
    """Return the key under which the current registry takes a tag of ours.

    Parameters
    ----------
    key : str
        As it is called elsewhere: `nnperm.verdict`.
    """
    return _with_underscores(key) if is_in_unity_catalog() else key


def read_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of a version, ours with dots whatever registry they were written by or have come from.

    >>> read_tags({"nnperm_run_id": "abc", "nnperm_verdict_credit": "pass", "team": "risk"})
    {'nnperm.run_id': 'abc', 'nnperm.verdict.credit': 'pass', 'team': 'risk'}
    """
    return {_with_dots(key): value for key, value in tags.items()}


def as_read(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as they are read again once the current registry has them: names behind a dot lose some letters."""
    return read_tags({version_key(key): value for key, value in tags.items()})


def spellings(key: str, tags: Mapping[str, str]) -> list[str]:
    """Return under which keys a version has a tag that is read as `key`."""
    return [each for each in tags if _with_dots(each) == key]


def _with_underscores(key: str) -> str:
    return _REFUSED.sub("_", key)


def _with_dots(key: str) -> str:
    if not key.startswith("nnperm_"):
        return key
    start = next((start for start in _UNDER_A_NAME if key.startswith(_with_underscores(start))), "nnperm.")
    return start + key[len(start) :]
