"""When enough repeats have been made: which intervals matter, and which of them are too wide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from nnperm_mlflow.analysis.statistics.order import DROP, TOP, moved, shuffles
from nnperm_mlflow.analysis.uncertainty.interval_columns import interval_ends

MOST_REPEATS = 50
"""Repeats beyond which none are made by themselves."""

Watched = frozenset[tuple[str, str]]
"""Names of perturbations, each with the statistic of it that a check rests on."""


@dataclass(frozen=True)
class Precision:
    """When enough repeats have been made.

    Attributes
    ----------
    width : float
        How wide the intervals that matter may be, each in the unit of its statistic.
    most : int
        Most repeats.
    watched : frozenset of (str, str)
        What matters beside the statistic that leads, see `Watched`.
    """

    width: float
    most: int
    watched: Watched = frozenset()

    def rests_on_scores(self, order_by: str) -> bool:
        """Tell whether drops in score matter, which are then computed after each pass."""
        return any(statistic.endswith(DROP) for statistic in (order_by, *(of for _, of in self.watched)))


def widths_that_matter(summary: pd.DataFrame, order_by: str, watched: Iterable[tuple[str, str]] = ()) -> pd.DataFrame:
    """Return how wide each interval is that matters.

    Parameters
    ----------
    summary : DataFrame
        Ordered. Not modified.
    order_by : str
        The statistic that leads; it matters of the first `TOP` shuffles.
    watched : iterable of (str, str)
        See `Watched`.

    Returns
    -------
    DataFrame
        A row for each with the columns `perturbation`, `statistic`, `width` and `at_random`, which is False for a set
        value: it is the same in all repeats, so that only more rows narrow its interval. What has no interval has no
        row.
    """
    leading = [(str(name), order_by) for name in shuffles(summary)["perturbation"].head(TOP)]
    asked = pd.DataFrame(sorted({*leading, *watched}), columns=["perturbation", "statistic"])
    parts = []
    for statistic, of_one in asked.groupby("statistic", sort=False):
        if not {statistic, f"{statistic}_low"} & set(summary):  # p-values are told when all repeats are made
            continue
        low, high = interval_ends(summary, str(statistic))
        found = pd.DataFrame({"perturbation": summary["perturbation"], "width": high - low})
        found["at_random"] = summary.index.isin(moved(summary).index)
        parts.append(of_one.merge(found, on="perturbation"))
    columns = ["perturbation", "statistic", "width", "at_random"]
    widths = pd.concat(parts, ignore_index=True) if parts else asked.reindex(columns=columns)
    return widths[columns].dropna(subset=["width"]).reset_index(drop=True)


def named(widths: pd.DataFrame) -> list[str]:
    """Return what intervals are of, the widest first: `mean of PAY`."""
    widest = widths.sort_values("width", ascending=False, kind="stable")
    return [f"{row.statistic} of {row.perturbation}" for row in widest.itertuples()]
