"""Names of perturbations as metric keys: legible, legal, never the same for two, and written down to be read back."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

_LEGAL = re.compile(r"[\w. \-]*", re.ASCII)
_HASHED = re.compile(r"-[0-9a-f]{10}$")
_SET = " is "
_MOST = 180  # characters; MLflow takes 250 in all

METRIC_PREFIXES = {"median": "median", "mean": "mean", "flipped_share": "flipped"}
"""For columns of a summary what stands before the slash; drops in score are called as their columns."""


def is_of_set_value(name: str) -> bool:
    """Tell whether what stands behind the slash of a key names a value that was set for everybody."""
    return _SET in name


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
    return f"{prefix}/{_legal(name)}"


def metric_names(names: Iterable[str]) -> dict[str, str]:
    """Return for each perturbation what stands behind the slash of its metric keys.

    As `metric_key` has it; but names that differ in case only, which some databases take for one, have the digits of
    their sha256 behind them, too.

    >>> metric_names(["age", "dose", "Dose"])
    {'age': 'age', 'dose': 'dose-daf81fe964', 'Dose': 'Dose-6b942766c4'}
    """
    legal = {name: _legal(name) for name in names}
    alike = Counter(key.casefold() for key in legal.values())
    return {
        name: key if alike[key.casefold()] == 1 or key.endswith(_hash(name)) else _with_hash(key, name)
        for name, key in legal.items()
    }


def _legal(name: str) -> str:
    feature, equals, value = name.partition("=")
    if equals and _is_plain(feature) and _is_plain(value) and len(name) <= _MOST:
        return f"{feature}{_SET}{value}"
    if _is_plain(name):
        return name
    return _with_hash("".join(letter if _LEGAL.fullmatch(letter) else "_" for letter in name), name)


def _with_hash(legible: str, name: str) -> str:
    return f"{legible[:_MOST].strip(' .')}-{_hash(name)}"


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:10]


def _is_plain(name: str) -> bool:
    """Tell whether a name is legal as it is, and cannot be taken for one that was made legal."""
    whole = _LEGAL.fullmatch(name) and 0 < len(name) <= _MOST and name == name.strip(" .")
    return bool(whole) and _SET not in f" {name} " and not _HASHED.search(name)
