"""Names of features as metric keys: legible, legal, and never the same for two features."""

from __future__ import annotations

import hashlib
import re

_LEGAL = re.compile(r"[\w. \-]*", re.ASCII)
_WITH_HASH = re.compile(r"-[0-9a-f]{10}$")
_SET = " is "
_MOST = 180  # characters; MLflow takes 250 in all


def metric_key(prefix: str, name: str) -> str:
    """Return the metric key of a perturbation.

    Parameters
    ----------
    prefix : str
        What is measured, without a slash.
    name : str
        A perturbation's name: any text.

    Returns
    -------
    str
        `prefix/name` where the name is legal as it is; `prefix/SEX is 2` for `SEX=2`; else with an underscore for
        each illegal character and ten hex digits of the name's sha256 behind it.

    Examples
    --------
    >>> metric_key("median", "PAY"), metric_key("median", "SEX=2")
    ('median/PAY', 'median/SEX is 2')
    >>> metric_key("median", "dose [mg]")
    'median/dose _mg_-327d554550'
    """
    feature, equals, value = name.partition("=")
    if equals and _is_plain(feature) and _is_plain(value) and len(name) <= _MOST:
        return f"{prefix}/{feature}{_SET}{value}"
    if _is_plain(name):
        return f"{prefix}/{name}"
    legible = "".join(letter if _LEGAL.fullmatch(letter) else "_" for letter in name)[:_MOST].strip(" .")
    return f"{prefix}/{legible}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def _is_plain(name: str) -> bool:
    """Tell whether a name is legal as it is, and cannot be taken for one that was made legal."""
    whole = _LEGAL.fullmatch(name) and 0 < len(name) <= _MOST and name == name.strip(" .")
    return bool(whole) and _SET not in f" {name} " and not _WITH_HASH.search(name)
