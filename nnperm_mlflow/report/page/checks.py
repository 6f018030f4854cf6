"""What a policy asked, and what each of its checks came to, with the number held against its limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnperm_mlflow.report.page.numbers import interval, number
from nnperm_mlflow.report.page.reported_audit import ReportedVerdict
from nnperm_mlflow.report.page.segment_names import renamed

WIDTH = 300.0
"""Of the drawing of a check, in its own units."""

_ROOM = 1.12  # by which the scale of a check goes beyond what it shows
_MOST_ALSO = 20


@dataclass(frozen=True)
class Check:
    """What came of one limit.

    Attributes
    ----------
    name, asked, words : str
        What it is called, what it asks for, and what it came to in a sentence.
    state : {"kept", "not kept", "undecided"}
    result : str
        What that counts as.
    of, number, ends, limit : str
        What was looked at, the number with its interval, and the limit.
    also : str
        What else does not hold.
    drawing : mapping of str to float
        Places of the number, its ends, the limit and 0; empty where there is nothing to draw.
    is_at_most : bool
    """

    name: str
    asked: str
    words: str
    state: str
    result: str
    of: str
    number: str
    ends: str
    limit: str
    also: str
    drawing: Mapping[str, float]
    is_at_most: bool


def checks_of(verdict: ReportedVerdict, names: Mapping[str, str]) -> list[Check]:
    """Return the checks of a verdict, in the order of the policy.

    Parameters
    ----------
    verdict : ReportedVerdict
    names : mapping of str to str
        What segments are called where their own names tell values, see `segment_names.names_shown`.
    """
    return [_check(told, names) for told in verdict.checks]


def _check(told: Mapping[str, Any], names: Mapping[str, str]) -> Check:
    state, passed = str(told.get("state", "")), bool(told.get("passed"))
    value, low, high, limit = (_as_number(told.get(key)) for key in ("value", "low", "high", "limit"))
    also = [renamed(str(name), names) for name in told.get("also_not_held_by", [])]
    more = f" and {len(also) - _MOST_ALSO} more" if len(also) > _MOST_ALSO else ""
    return Check(
        name=str(told.get("check", "")),
        asked=str(told.get("asked", "")),
        words=renamed(str(told.get("in_words", "")), names),
        state="undecided" if state == "undecided" else "kept" if passed else "not kept",
        result=f"undecided, counts as {'kept' if passed else 'not kept'}"
        if state == "undecided"
        else ("kept" if passed else "not kept"),
        of=renamed(str(told.get("of", "")), names).removesuffix(","),  # of a sentence that goes on
        number=number(value),
        ends=interval(low, high),
        limit=f"{told.get('limit_is', '')} {limit:g}".strip(),
        also=", ".join(also[:_MOST_ALSO]) + more,
        drawing=_drawing(value, low, high, limit),
        is_at_most=told.get("limit_is") == "at most",
    )


def _as_number(told: object) -> float:
    return float(told) if isinstance(told, (int, float)) else math.nan


def _drawing(value: float, low: float, high: float, limit: float) -> dict[str, float]:
    there = [each for each in (value, low, high, limit) if math.isfinite(each)]
    if not (math.isfinite(value) and math.isfinite(limit)):
        return {}
    first, last = min(0.0, *there), max(0.0, *there)
    width = (last - first) * _ROOM or 1.0
    places = {"value": value, "low": low, "high": high, "limit": limit, "zero": 0.0}
    return {key: round((each - first) / width * WIDTH, 1) for key, each in places.items() if math.isfinite(each)}
