"""Reasons for one observation in words, as they stand in a letter."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence

import pandas as pd

from nnperm_mlflow.basics.text import printable, rows_to_show, some_of
from nnperm_mlflow.report._picture_text import three_digits

_TOP = 8
_MOST_NAMED = 60
_WIDTH = 100  # letters of a line
_LEAST_SHARE = 0.01  # that is told by its number
_HOW_TO_READ = (
    "Each number says by how much the prediction is higher or lower with the observation's own value of a feature than "
    "with the values that the others hold there, all else as it is; in brackets between what it lies with 95 % "
    "confidence, as far as further others are like these. Nothing is said here of what causes what in the world."
)


def reason_letter(
    features: pd.DataFrame,
    *,
    subject: str,
    prediction: float,
    others: float,
    unit: str,
    reference: str,
    audit: str,
    parts: pd.DataFrame | None = None,
) -> str:
    """Return what a prediction rests on as plain text.

    Parameters
    ----------
    features : DataFrame
        See `analysis.reasons.observation_reasons.Reasons`. Not modified.
    subject : str
        Which observation of which model.
    prediction, others : float
        Of the observation, and the mean of those that it is compared with.
    unit : str
        Of the prediction.
    reference : str
        Those that it is compared with.
    audit : str
        The run whose data and model these are.
    parts : DataFrame, optional
        The same as `features` of windows and groups.
    """
    raising, lowering, silent = (features[which] for which in _parts(features))
    lines = [
        f"What the prediction rests on: {subject}",
        "",
        f"The prediction is {three_digits(prediction)} ({unit}). Compared with {reference}: there it is "
        f"{three_digits(others)} on average.",
        "",
        *_list_lines("What raised it, most first:", "higher", raising),
        *_list_lines("What lowered it, most first:", "lower", lowering.iloc[::-1]),
        *_silent_lines(silent),
        *_part_lines(parts),
        _HOW_TO_READ,
        "",
        f"Model and data are those of {audit}, read again and found to be the same.",
        "",
    ]
    return "\n".join(_wrapped(printable(line)) for line in lines)


def _wrapped(line: str) -> str:
    """Return a line of the letter as several, those of an item of a list under its first word."""
    indent = "   " if line[:1].isdigit() or line.startswith(" ") else ""
    return textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_long_words=False)


def _parts(features: pd.DataFrame) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return which features surely raise the prediction, which lower it, and of which neither can be said."""
    raising, lowering = features["low"] > 0, features["high"] < 0
    return raising, lowering, ~(raising | lowering)


def _list_lines(title: str, direction: str, features: pd.DataFrame) -> Iterator[str]:
    if features.empty:
        return
    yield title
    shown = features.head(rows_to_show(len(features), _TOP))
    several = [alike.to_dict("records") for _, alike in shown.groupby("place", sort=False)]
    for number, alike in enumerate(several, 1):
        yield f"{number}. {_in_words(alike[0], direction)}"
        yield from (f"   {_in_words(row, direction)}" for row in alike[1:])
        if len(alike) > 1:
            yield f"   (these {len(alike)} count for as much as each other, as far as can be told)"
    if more := len(features) - len(shown):
        yield f"{len(several) + 1}. {more:,} more, each by no more than these"
    yield ""


def _in_words(row: dict[str, object], direction: str) -> str:
    effect, low, high, turned = (float(str(row[name])) for name in ("effect", "low", "high", "turned"))
    ends = sorted([abs(low), abs(high)])
    told = f"{row['feature']}: {three_digits(abs(effect))} {direction}"
    told += f" ({three_digits(ends[0])} to {three_digits(ends[1])})"
    if math.isnan(turned) or turned == 0:
        return told
    return f"{told}; with {_share(turned)} of the others' values the decision would be another one"


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= _LEAST_SHARE else "less than 1 %"


def _part_lines(parts: pd.DataFrame | None) -> Iterator[str]:
    """Tell of windows and groups, which are no further reasons beside those of the features they are of."""
    if parts is None:
        return
    yield (
        "Of these, parts of a series and features taken together, each with all of another's values at once (they "
        "share what they count with the features above):"
    )
    yield ""
    raising, lowering, silent = (parts[which] for which in _parts(parts))
    yield from _list_lines("What raised it, most first:", "higher", raising)
    yield from _list_lines("What lowered it, most first:", "lower", lowering.iloc[::-1])
    yield from _silent_lines(silent)


def _silent_lines(features: pd.DataFrame) -> Sequence[str]:
    if features.empty:
        return []
    names = some_of([*map(str, features["feature"])], _MOST_NAMED)
    return [f"Neither raised nor lowered it, as far as can be told: {names}.", ""]
