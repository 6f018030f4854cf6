"""What changed between two audits, feature by feature and over all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from nnperm_mlflow.analysis.difference._agreement import Interval
from nnperm_mlflow.analysis.difference.influences import (
    Statistic,
)

DIFFERENCE_COLUMNS = (
    "perturbation", "feature", "way", "value", "median_a", "median_b", "difference", "difference_low",
    "difference_high", "mean_a", "mean_b", "mean_difference", "mean_difference_low", "mean_difference_high", "rank_a",
    "rank_b",
)  # fmt: skip


DIFFERENCE_OF: dict[Statistic, str] = {"median": "difference", "mean": "mean_difference"}
"""For each statistic the column with its difference."""


@dataclass(frozen=True)
class Agreement:
    """How far two audits agree in one way of shuffling; see `Comparison`.

    Attributes
    ----------
    rank_correlation, largest_shift : Interval
    """

    rank_correlation: Interval
    largest_shift: Interval


@dataclass(frozen=True)
class Comparison:
    """What changed from an audit `a` to an audit `b`.

    Attributes
    ----------
    differences : DataFrame
        A row for each perturbation of both with the columns `DIFFERENCE_COLUMNS`, ordered by how far apart the
        statistics are, largest first, and set values behind all else. `difference` is the median of b less that of a
        and lies between `difference_low` and `difference_high` with 95 % confidence; so does `mean_difference`.
        `rank_a` and `rank_b` are the places among the shuffles of both by what leads, 1 being the largest, those of
        conditional ones among these; missing for all else.
    only_a, only_b : list of str
        Perturbations that only one of the two has.
    rank_correlation : Interval
        Spearman's, between what the two audits say of the model's own features that both shuffled, windows and groups
        left out; NaN for fewer than 3.
    largest_shift : Interval
        By how much a perturbation's number differs most, whatever the sign.
    paired : bool
        Whether the two were compared row by row.
    undefined : list of str
        Perturbations without a deviation in one of the two; `rank_correlation` and `largest_shift` are of the others.
    statistic : "median" or "mean"
        What `rank_correlation` and `largest_shift` are of, and the order of the rows.
    shared_rows : int or None
        Rows that were compared one by one, of which medians and means are; None where none were.
    by_way : mapping of str to Agreement
        The same two numbers for each way of shuffling by itself: "shuffle", and "conditional" where there are such.
    """

    differences: pd.DataFrame
    only_a: list[str]
    only_b: list[str]
    rank_correlation: Interval
    largest_shift: Interval
    paired: bool
    undefined: list[str]
    statistic: Statistic = "mean"
    shared_rows: int | None = None
    by_way: Mapping[str, Agreement] = field(default_factory=dict)

    @property
    def difference_column(self) -> str:
        """The column of `differences` with what the two differ by in that statistic."""
        return DIFFERENCE_OF[self.statistic]
