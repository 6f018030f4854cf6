"""The card of a comparison: one page of Markdown that says what changed between two versions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from nnperm_mlflow.analysis.difference.influences import Statistic
from nnperm_mlflow.basics.text import as_table, as_text, rows_to_show
from nnperm_mlflow.report.compared_numbers import SIDES, numbers_of

_TOP = 10


def comparison_card(
    table: pd.DataFrame,
    names: tuple[str, str],
    *,
    unit: str,
    statistic: Statistic,
    head: str,
    facts: Sequence[tuple[str, str, str]],
    overall: Sequence[tuple[str, str]],
    interactions: pd.DataFrame | None = None,
) -> str:
    """Return a comparison as Markdown.

    Parameters
    ----------
    table : DataFrame
        As for `report.compared_numbers.numbers_of`, ordered.
    names : (str, str)
        What the two versions are called.
    unit : str
        Of prediction and deviation.
    statistic : "mean" or "median"
        The one that leads.
    head : str
        When, where and on what they were compared, as Markdown.
    facts : sequence of (str, str, str)
        What was compared: a name, and what holds for either version.
    overall : sequence of (str, str)
        Numbers about the comparison as a whole: a name, and the number with its interval.
    interactions : DataFrame, optional
        What pairs of features do together in both, see `comparison.compared_interactions`.
    """
    numbers = numbers_of(table, statistic)
    common = numbers[numbers["only_in"] == ""]
    lines = [
        f"# {as_text(names[0])} and {as_text(names[1])} compared",
        "",
        head,
        "",
        *as_table(["", *map(as_text, names)], facts),
        "",
        "## What changed",
        "",
        f"The {statistic} of how far predictions move ({as_text(unit)}) when one feature is disturbed, all else as it "
        f"is. The difference is {as_text(names[1])} less {as_text(names[0])}, in brackets its 95 % interval.",
        "",
        *_changes(common, names),
        "",
        *as_table(["of all features that both have", ""], overall),
        "",
        *_alone(numbers, names),
        *_undefined(common),
        *_together(interactions, names),
        "A difference says that predictions rest on a feature more or less than before, not that they have become "
        "better or worse.",
        "",
    ]
    return "\n".join(lines)


def _changes(common: pd.DataFrame, names: tuple[str, str]) -> list[str]:
    shown = common.head(rows_to_show(len(common), _TOP))
    rows = [
        (row["perturbation"], *(_number(row[side]) for side in SIDES), _difference(row))
        for row in shown.to_dict("records")
    ]
    more = len(common) - len(shown)
    lines = as_table(["feature", *map(as_text, names), "difference"], rows)
    return [*lines, *(["", f"{more:,} more, which differ less, in comparison.csv."] if more > 0 else [])]


def _alone(numbers: pd.DataFrame, names: tuple[str, str]) -> list[str]:
    lines = []
    for side, name in zip(SIDES, names, strict=True):
        alone = numbers[numbers["only_in"] == side]
        if len(alone):
            told = [f"{as_text(row['perturbation'])} ({_number(row[side])})" for _, row in alone.iterrows()]
            lines += [f"Only in {as_text(name)}: {', '.join(told)}.", ""]
    return lines


def _undefined(common: pd.DataFrame) -> list[str]:
    names = common.loc[common["difference"].isna(), "perturbation"]
    return [f"Without a deviation in one of them: {', '.join(map(as_text, names))}.", ""] if len(names) else []


def _together(pairs: pd.DataFrame | None, names: tuple[str, str]) -> list[str]:
    """Tell what pairs of features do together in both versions."""
    if pairs is None or pairs.empty:
        return []
    shown = pairs.head(rows_to_show(len(pairs), _TOP))
    rows = [
        (row["first"], row["second"], *(_followed(row, side) for side in SIDES)) for row in shown.to_dict("records")
    ]
    more = len(pairs) - len(shown)
    return [
        "## What features do together",
        "",
        "How far predictions move with two features from another row beyond what each moves them alone, in brackets "
        "the 95 % interval of each audit. How sure a difference of the two is, they do not tell.",
        "",
        *as_table(["feature", "with", *map(as_text, names)], rows),
        "",
        *([f"{more:,} more pairs in comparison_interactions.csv.", ""] if more > 0 else []),
    ]


def _followed(row: dict[Any, Any], side: str) -> str:
    value, low, high = (row[f"mean_{side}{end}"] for end in ("", "_low", "_high"))
    return "not followed" if math.isnan(value) else in_brackets(value, low, high)


def _difference(row: dict[Any, Any]) -> str:
    return in_brackets(row["difference"], row["difference_low"], row["difference_high"])


def in_brackets(value: float, low: float, high: float) -> str:
    """Return a number with its interval behind it, where it has one.

    >>> in_brackets(0.5, 0.25, 0.75), in_brackets(0.5, float("nan"), float("nan"))
    ('0.5 (0.25 to 0.75)', '0.5')
    """
    return _number(value) if math.isnan(low) or math.isnan(high) else f"{_number(value)} ({low:.3g} to {high:.3g})"


def _number(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{value:.3g}"
