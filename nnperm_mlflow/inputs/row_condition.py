"""Rows that meet a condition, as `default = 0 and AGE >= 30`: read word by word, nothing of it is run."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import ConfigError, did_you_mean, name_list

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TOKEN = re.compile(
    r"""\s*(?:(?P<sign><=|>=|!=|==|=|<|>)|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<word>[^\s<>=!"']+))"""
)
_TRUTHS = {"true": True, "false": False}
_FORM = "COLUMN = VALUE, or with != < <= > >=, several joined by 'and'; names and texts with other letters in quotes"


class _Part(NamedTuple):
    column: str
    sign: str
    value: str


def rows_where(condition: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Tell which rows meet a condition.

    Parameters
    ----------
    condition : str
        Comparisons of columns with a value each, joined by `and`.
    columns : mapping of str to ndarray of shape (n_rows,)
        The static table.

    Returns
    -------
    ndarray of shape (n_rows,), bool
        Rows in which a column is missing meet no comparison with it.

    Raises
    ------
    ConfigError
        If the condition is no such thing, or names a column that there is not, or compares it with what it cannot hold.

    Examples
    --------
    >>> table = {"AGE": np.array([20, 40]), "pay back": np.array(["no", "yes"], dtype=object)}
    >>> rows_where("AGE >= 30 and 'pay back' != no", table)
    array([False,  True])
    """
    met = [_meets(part, columns) for part in _parts(condition)]
    return np.logical_and.reduce(met)


def _parts(condition: str) -> list[_Part]:
    clauses: list[list[tuple[str, str]]] = [[]]
    for kind, text in _tokens(condition):
        if kind == "word" and text.lower() == "and":
            clauses.append([])
        else:
            clauses[-1].append((kind, text))
    return [_part(clause) for clause in clauses]


def _tokens(condition: str) -> list[tuple[str, str]]:
    tokens, place, end = [], 0, len(condition.rstrip())
    while place < end:
        found = _TOKEN.match(condition, place)
        if found is None:
            raise ConfigError(f"the condition cannot be read from its letter {place + 1} on: {_FORM}.")
        kind = str(found.lastgroup)
        tokens.append((kind, found[kind]))
        place = found.end()
    return tokens


def _part(clause: list[tuple[str, str]]) -> _Part:
    signs = [place for place, (kind, _) in enumerate(clause) if kind == "sign"]
    if len(signs) != 1 or signs[0] in (0, len(clause) - 1):
        raise ConfigError(f"each part of the condition compares one column with one value: {_FORM}.")
    column, value = (" ".join(text for _, text in side) for side in (clause[: signs[0]], clause[signs[0] + 1 :]))
    return _Part(column, clause[signs[0]][1], value)


def _meets(part: _Part, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    if part.column not in columns:
        has = f"has {name_list(columns)}" if columns else "is not there"
        raise ConfigError(
            f"the condition names '{part.column}', and the static table {has}.{did_you_mean(part.column, columns)}"
        )
    held = columns[part.column]
    known = ~np.asarray(pd.isna(held))
    if held.dtype.kind == "O":
        if part.sign not in ("=", "==", "!="):
            raise ConfigError(f"'{part.column}' holds text, which is = or != another, and neither less nor more.")
        return known & np.asarray(_OPERATORS[part.sign](held.astype(str), part.value), dtype=bool)
    with np.errstate(invalid="ignore"):
        return known & np.asarray(_OPERATORS[part.sign](held, _as_held(part, held.dtype)), dtype=bool)


def _as_held(part: _Part, dtype: np.dtype) -> Any:  # noqa: ANN401 - a number or a moment
    """Return the value of a comparison as a column of numbers or moments is compared with it."""
    try:
        if dtype.kind == "M":
            return np.datetime64(part.value)
        value = _TRUTHS[part.value.lower()] if part.value.lower() in _TRUTHS else float(part.value)
    except ValueError as error:
        what = "moments" if dtype.kind == "M" else "numbers"
        raise ConfigError(f"'{part.column}' holds {what}, and is compared with something else.") from error
    return dtype.type(value) if dtype.kind == "f" else value
