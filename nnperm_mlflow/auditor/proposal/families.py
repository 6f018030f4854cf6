"""Columns that are numbered alike, as PAY_0, PAY_2 to PAY_6, and what their names tell of the order of time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Order = Literal["dates", "steps", "lags"]
"""What the numbers are, as far as names tell: dates or steps, of which the smallest is the oldest; lags, the newest."""

_DATE = r"(?:19|20)\d\d[-_.]?(?:0[1-9]|1[0-2])(?:[-_.]?(?:0[1-9]|[12]\d|3[01]))?|(?:19|20)\d\d"
_NUMBER = re.compile(rf"(?:(?<!\d)(?:{_DATE})|\d+)(?!\d)")
_SPANS = r"(?:step|hour|day|week|month|quarter|year|period)s?"
_LAG_BEFORE = re.compile(r"(?:lag|back|prev|previous|minus|\bt *-)[-_ .]?$", re.IGNORECASE)
_LAG_BEHIND = re.compile(rf"^[-_ .]?(?:{_SPANS}|[hdwmqy])?[-_ .]?(?:ago|back|before|lag)\b", re.IGNORECASE)
_STEP_BEFORE = re.compile(r"(?:^|[^a-z])(?:t|ts|step|time|timestep)[-_ .]?$", re.IGNORECASE)
_EDGES = "_-. ()[]"


@dataclass(frozen=True)
class Family:
    """Columns that are numbered alike.

    Attributes
    ----------
    name : str
        What their names have in common.
    columns : tuple of str
        Smallest number first.
    order : {"dates", "steps", "lags"} or None
        None where names do not tell which end is the newest: both 1 and 6 may be the last of six months.
    """

    name: str
    columns: tuple[str, ...]
    order: Order | None


def find_families(names: Iterable[str]) -> list[Family]:
    """Return the columns that differ in their last number alone, in the order in which their first ones stand.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    list of Family
        Of at least two columns each.

    Examples
    --------
    >>> [(family.name, family.columns) for family in find_families(["ID", "PAY_2", "PAY_0", "AGE"])]
    [('PAY', ('PAY_0', 'PAY_2'))]
    >>> names = ["x_t1", "x_t2", "y_lag1", "y_lag2", "z1", "z2", "w2023-01", "w2023-02"]
    >>> [family.order for family in find_families(names)]
    ['steps', 'lags', None, 'dates']
    """
    alike: dict[tuple[str, str], dict[int, str]] = {}
    dated: set[tuple[str, str]] = set()
    for name in names:
        found = list(_NUMBER.finditer(name))
        if found:
            last = found[-1]
            key = name[: last.start()], name[last.end() :]
            alike.setdefault(key, {}).setdefault(_value(last[0]), name)
            if not re.fullmatch(_DATE, last[0]):
                dated.discard(key)
            elif len(alike[key]) == 1:
                dated.add(key)
    return [
        Family(_stem(*key), tuple(members[number] for number in sorted(members)), _order(*key, key in dated))
        for key, members in alike.items()
        if len(members) > 1
    ]


def _value(number: str) -> int:
    return int("".join(letter for letter in number if letter.isdigit()))


def _stem(before: str, behind: str) -> str:
    """Return what is left of a name without its number and what that is a number of, if anything is."""
    bare = _STEP_BEFORE.sub("", _LAG_BEFORE.sub("", before)), _LAG_BEHIND.sub("", behind)
    for first, second in (bare, (before, behind)):
        if name := f"{first.rstrip(_EDGES)}{second.rstrip(_EDGES)}".strip(_EDGES):
            return name
    return "steps"


def _order(before: str, behind: str, is_dated: bool) -> Order | None:
    if is_dated:
        return "dates"
    if _LAG_BEFORE.search(before) or _LAG_BEHIND.search(behind):
        return "lags"
    return "steps" if _STEP_BEFORE.search(before) else None
