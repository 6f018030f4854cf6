"""Names in MLflow's filters, which know no escapes."""

from __future__ import annotations

import re

_WITH_A_MEANING = re.compile(r"['\\]")  # between single quotes
_WITH_A_MEANING_TO_LIKE = re.compile(r"[^\w .:/\-]")


def named(key: str, name: str) -> str:
    r"""Return a condition that holds for a name, and perhaps for others like it: compare what is found with the name.

    Parameters
    ----------
    key : str
        As MLflow calls it: ``name``, or ``tags.`nnperm.model` ``.
    name : str
        By the letter, whatever letters these are.

    Examples
    --------
    >>> named("name", "credit")
    "name = 'credit'"
    >>> named("name", "Ada's")
    "name LIKE 'Ada_s'"
    """
    return f"{key} LIKE '{_pattern(name)}'" if _WITH_A_MEANING.search(name) else f"{key} = '{name}'"


def beginning_with(key: str, start: str) -> str:
    """Return a condition that holds for what begins so, and perhaps for more: compare what is found.

    Parameters
    ----------
    key, start : str
        As for `named`.
    """
    return f"{key} LIKE '{_pattern(start)}%'"


def _pattern(name: str) -> str:
    """Return a name with a wildcard for each letter that may mean something in a pattern or its quotes."""
    return _WITH_A_MEANING_TO_LIKE.sub("_", name)
