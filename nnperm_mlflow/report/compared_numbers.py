"""The numbers of two versions side by side that pictures and pages show: those of the statistic that leads."""

from __future__ import annotations

import pandas as pd

from nnperm_mlflow.analysis.difference.comparison_result import DIFFERENCE_OF
from nnperm_mlflow.analysis.difference.influences import Statistic

SIDES = ("a", "b")


def numbers_of(table: pd.DataFrame, statistic: Statistic) -> pd.DataFrame:
    """Return what is told of one statistic, by names that any has.

    Parameters
    ----------
    table : DataFrame
        A row per perturbation: `perturbation`; `only_in`, which is "a" or "b" where only one version has it, else "";
        `mean_a`, `mean_a_low`, `mean_a_high` and the same of `b`, what it came to in either version with its 95 %
        interval; `mean_difference` (of `b` less `a`), `mean_difference_low` and `mean_difference_high`; the same of
        medians, whose difference is called `difference`; and `way`. Not modified.
    statistic : "mean" or "median"

    Returns
    -------
    DataFrame
        With the columns `perturbation`, `way`, `only_in`, `a`, `a_low`, `a_high`, `b`, `b_low`, `b_high`, `difference`,
        `difference_low` and `difference_high`.
    """
    ends = ("", "_low", "_high")
    told = {f"{side}{end}": f"{statistic}_{side}{end}" for side in SIDES for end in ends}
    told |= {f"difference{end}": f"{DIFFERENCE_OF[statistic]}{end}" for end in ends}
    columns = {name: table[column] for name, column in told.items()}
    return table[["perturbation", "way", "only_in"]].assign(**columns)


def is_changed(table: pd.DataFrame) -> pd.Series:
    """Tell for each row whether 0 lies outside the interval of its difference."""
    return (table["difference_low"] > 0) | (table["difference_high"] < 0)
