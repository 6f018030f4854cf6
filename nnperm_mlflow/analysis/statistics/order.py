"""What leads: by which statistic perturbations are ordered, and which of them have a place in that order."""

from __future__ import annotations

import pandas as pd

from nnperm_mlflow.analysis.statistics.summary_columns import OUT_OF_DATA

MEAN, MEDIAN, FLIPS, DROP = "mean", "median", "flipped_share", "_drop"

BEFORE = MEDIAN
"""What audits are ordered by that do not say it."""

TOP = 20
"""Shuffles that lead: their intervals matter, and a picture of more marks them off."""

FEW_HELD = 100
"""Rows that hold a value below which a network that is asked for it has hardly seen it."""

CONDITIONAL = "conditional"
"""What the column `way` says of a shuffle among rows that are alike."""

FAR = 0.9
"""Area under the ROC curve beyond which disturbed rows are told of as unlike the data."""

_SHUFFLE, _SET = "shuffle", "set"  # as the column `way` has them
_FIRST = 5  # shuffles on which orders are held against each other
_IN_WORDS = {MEAN: "mean deviation", MEDIAN: "median deviation", FLIPS: "share of decisions flipped"}


def in_words(order_by: str) -> str:
    """Return what a statistic is called.

    >>> in_words("mean"), in_words("roc_auc_drop")
    ('mean deviation', 'drop in roc_auc')
    """
    return _IN_WORDS.get(order_by, f"drop in {order_by.removesuffix(DROP)}")


def most_in_words(order_by: str) -> str:
    """Return what a feature does that leads by a statistic.

    >>> most_in_words("median"), most_in_words("flipped_share"), most_in_words("roc_auc_drop")
    ('predictions move most', 'decisions flip most', 'roc_auc falls most')
    """
    if order_by.endswith(DROP):
        return f"{order_by.removesuffix(DROP)} falls most"
    return "decisions flip most" if order_by == FLIPS else "predictions move most"


def ordered(summary: pd.DataFrame, order_by: str) -> pd.DataFrame:
    """Return the rows with the largest first: what was moved, then conditional shuffles, then what was set to a value.

    A shuffle asks what the model does with the feature on data as they are, one among alike rows what the feature adds
    to the others, a set value what the model would do if everybody were like some, perhaps few, rows. These are
    different questions, and a place among the answers to several says nothing.

    Parameters
    ----------
    summary : DataFrame
        See `analysis.statistics.summary.summarize`. Not modified.
    order_by : str
        One of its columns. Ties are ordered by mean; what is NaN comes last in its part.
    """
    by_number = summary.sort_values([order_by, MEAN], ascending=False, kind="stable", na_position="last")
    return in_parts(by_number)


def in_parts(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as they are ordered, conditional shuffles behind plain ones, what was set to a value behind all."""
    parts = (plain(rows), conditionals(rows), set_values(rows))
    return rows.loc[[place for part in parts for place in part.index]].reset_index(drop=True)


def plain(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of what was shuffled or reordered with donors from all rows, or from strata that were named."""
    return summary[~summary["way"].isin([CONDITIONAL, _SET])]


def conditionals(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of what was shuffled among rows that are alike in what it goes with."""
    return summary[summary["way"] == CONDITIONAL]


def moved(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of what kept its values and was given them in another order: shuffles, and orders of steps."""
    return summary[summary["way"] != _SET]


def set_values(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of what was set to one value for everybody."""
    return summary[summary["way"] == _SET]


def out_of_data(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of what disturbed rows so that a learner tells them from the data, where that was asked for."""
    return summary[summary[OUT_OF_DATA] > FAR] if OUT_OF_DATA in summary else summary.head(0)


def shuffles(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a place in the order."""
    return summary[summary["way"] == _SHUFFLE]


def leading(summary: pd.DataFrame, order_by: str) -> pd.DataFrame:
    """Return the shuffles that surely move predictions, the leading one first; no windows, parts of others."""
    rows = shuffles(ordered(summary, order_by))
    rows = rows[(rows["changed_share"] > 0) & rows[order_by].notna() & rows["measurable"].astype(bool)]
    return rows[rows["kind"] != "window"] if "kind" in rows else rows


def places(summary: pd.DataFrame, order_by: str) -> pd.Series:
    """Return for each row its place among the shuffles of its way, 1 being the largest; missing without a number.

    Parameters
    ----------
    summary : DataFrame
        Not modified.
    order_by : str
    """
    found = pd.Series(pd.NA, index=summary.index, dtype="Int64")
    for of_way in (shuffles(summary), conditionals(summary)):
        placed = of_way.dropna(subset=[order_by])
        found[_in_order(placed, order_by).index] = range(1, len(placed) + 1)
    return found


def other_leaders(summary: pd.DataFrame, order_by: str) -> dict[str, list[str]]:
    """Return which shuffles another order has among its first five that this one has not.

    Parameters
    ----------
    summary : DataFrame
        Not modified.
    order_by : str
        The order that the audit has.

    Returns
    -------
    dict of str to list of str
        For mean, median and flips, where there are such, in that order; nothing where the same five lead.
    """
    first = set(_first(summary, order_by))
    others = [name for name in (MEAN, MEDIAN, FLIPS) if name != order_by and summary[name].notna().any()]
    found = {name: [each for each in _first(summary, name) if each not in first] for name in others}
    return {name: names for name, names in found.items() if names}


def _first(summary: pd.DataFrame, order_by: str) -> list[str]:
    placed = shuffles(summary).dropna(subset=[order_by])
    return [str(name) for name in _in_order(placed, order_by)["perturbation"].head(_FIRST)]


def _in_order(placed: pd.DataFrame, order_by: str) -> pd.DataFrame:
    return placed.sort_values([order_by, MEAN], ascending=False, kind="stable")
