"""The numbers that checks look at, each with the interval it lies in, from the summary of an audit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from nnperm_mlflow.analysis.scores.own_score import SHARES
from nnperm_mlflow.analysis.statistics.summary_columns import COMPOSED
from nnperm_mlflow.analysis.uncertainty.families import PairErrors, family_ends, family_reach
from nnperm_mlflow.analysis.uncertainty.interval_columns import interval_ends
from nnperm_mlflow.analysis.uncertainty.intervals import REACH
from nnperm_mlflow.basics.errors import CheckError, did_you_mean, name_list
from nnperm_mlflow.config.checks import SHARE

FLIPS = "flipped_share"
"""A statistic of deviations that is a share of rows."""

State = Literal["holds", "fails", "undecided"]

_EDGES = ("_low", "_high", "_error", "_spread")
"""Of columns that tell how sure a statistic is."""
_OF_ROWS = ("rows", "skipped", "held", "changed_share")
"""Columns that tell of the rows, and nothing of the model."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval; both ends are the number itself where it is known exactly.

    Attributes
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float

    def against(self, limit: float, at_most: bool, among: Estimate | None = None) -> State:
        """Tell whether a limit is kept, missed, or lies where the number may be.

        Parameters
        ----------
        limit : float
        at_most : bool
            Whether it is an upper limit.
        among : Estimate, optional
            The same number with the interval that is right of all numbers at once which have to keep the limit: that
            all do needs only each one's own interval, that one does not is the worst of many.
        """
        worst = among or self
        if (self.high <= limit) if at_most else (self.low >= limit):
            return "holds"
        if (worst.low > limit) if at_most else (worst.high < limit):
            return "fails"
        return "undecided"

    def of_family(self, n: int, statistic: str, n_units: float = math.inf) -> Estimate:
        """Return the number with the interval that is right of each of n numbers at once, see `family_ends`."""
        ends = family_ends(self.value, self.low, self.high, n, is_share=statistic in (FLIPS, *SHARES), n_units=n_units)
        return Estimate(self.value, *ends)

    @property
    def is_defined(self) -> bool:
        """Whether there is a number at all."""
        return all(math.isfinite(number) for number in (self.value, self.low, self.high))

    def __str__(self) -> str:
        exact = self.low == self.value == self.high
        return f"{self.value:.4g}" if exact else f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


Estimates = dict[str, Estimate]
"""For each perturbation its number."""


def single_shuffles(summary: pd.DataFrame, way: str = "shuffle") -> pd.DataFrame:
    """Return the rows of the summary for features of the model's own, shuffled in a way: no groups or windows."""
    return summary[(summary["way"] == way) & ~summary["kind"].isin(COMPOSED)]


def own_features(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the summary for features of the model's own, whatever was done to them."""
    return summary[~summary["kind"].isin(COMPOSED)]


def estimates_of(summary: pd.DataFrame, statistic: str) -> Estimates:
    """Return a statistic of each perturbation.

    Parameters
    ----------
    summary : DataFrame
        See `analysis.statistics.summary.summarize`.
    statistic : str
        One of its numeric columns, with the interval that `<statistic>_low` and `_high` or `_error` (a standard error)
        tell; or `share`, see `shares_of`.

    Raises
    ------
    CheckError
        If there is no such column, or it holds no numbers.
    """
    if statistic == SHARE:
        return shares_of(summary)
    check_statistic(statistic, [str(name) for name in summary if _is_statistic(summary, str(name))])
    low, high = interval_ends(summary, statistic)
    rows = zip(summary["perturbation"], summary[statistic], low, high, strict=True)
    return {str(name): Estimate(float(value), float(lowest), float(highest)) for name, value, lowest, highest in rows}


def check_statistic(statistic: str, columns: Sequence[str]) -> None:
    """Refuse what is no statistic of deviations: how many rows there are says nothing of a model."""
    known = [SHARE, *(name for name in columns if name not in _OF_ROWS and not name.endswith(_EDGES))]
    if statistic not in known:
        raise CheckError(
            f"'{statistic}' is no statistic of this audit, which has {name_list(known, 40)}."
            f"{did_you_mean(statistic, known)}"
        )


def shares_of(summary: pd.DataFrame) -> Estimates:
    """Return each feature's part of the sum of the means of all features, shuffled one by one.

    The interval is that of a ratio to first order, as if the means erred independently of each other. They are found
    on the same rows, and mostly err in the same direction, which a ratio cancels: so it is rather too wide.

    Raises
    ------
    CheckError
        If no prediction moved at all, so that there is nothing to have a share of.
    """
    single = single_shuffles(summary)
    means = single["mean"].to_numpy(float)
    total = float(means.sum())
    if not total > 0:
        raise CheckError("no prediction moved, whatever was shuffled: there is no sum of means to have a share of.")
    _, high = interval_ends(single, "mean")  # the lower end is cut at 0
    variances = ((high - means) / REACH) ** 2
    shares = means / total
    others = variances.sum() - variances
    errors = np.sqrt((1 - shares) ** 2 * variances + shares**2 * others) / total
    ends = (np.clip(shares + sign * REACH * errors, 0.0, 1.0).tolist() for sign in (-1, 1))  # NaN stays NaN
    return {
        str(name): Estimate(share, low, high)
        for name, share, low, high in zip(single["perturbation"], shares.tolist(), *ends, strict=True)
    }


def rank_of(
    summary: pd.DataFrame, statistic: str, name: str, differences: PairErrors | None = None, *, among: int = 1
) -> Estimate:
    """Return the place of a feature among the model's features by a statistic, 1 being the largest.

    Places are among features that were shuffled in the same way. Features that are equal are ordered by mean. The
    interval goes from the place it has if all that may be smaller are to the one it has if they are larger. Of p
    features p - 1 differences have to be right for that at once, so that each goes as far as one of p - 1 numbers may
    lie off (Mogstad, Romano, Shaikh and Wilhelm, "Inference for Ranks", Review of Economic Studies, 2024).

    Parameters
    ----------
    summary : DataFrame
    statistic : str
    name : str
        Of a feature that was shuffled: one of the model's own, a group or a window.
    differences : PairErrors, optional
        How the differences to each other feature err. Without it two features are taken to err against each other,
        which is the worst that can be.
    among : int
        Places that are judged at once.
    """
    estimates = estimates_of(summary, statistic)
    means = dict(zip(summary["perturbation"], summary["mean"], strict=True))
    own = estimates[name]
    way = str(summary.loc[summary["perturbation"] == name, "way"].iloc[0])
    others = [other for other in single_shuffles(summary, way)["perturbation"] if other != name]
    if not all(estimates[other].is_defined for other in [name, *others]):
        return Estimate(math.nan, math.nan, math.nan)
    n = max(1, len(others)) * among
    larger = sum((estimates[other].value, means[other]) > (own.value, means[name]) for other in others)
    if differences is None:
        wide = {other: estimates[other].of_family(n, statistic) for other in (name, *others)}
        surely = sum(wide[other].low > wide[name].high for other in others)
        perhaps = sum(wide[other].high >= wide[name].low for other in others)
    else:
        ahead = {other: estimates[other].value - own.value for other in others}
        reach = family_reach(n, differences.n_units)
        errors = differences.errors[name]
        surely = sum(ahead[other] > reach * errors[other] for other in others)
        perhaps = sum(ahead[other] >= -reach * errors[other] for other in others)
    return Estimate(1.0 + larger, 1.0 + surely, 1.0 + perhaps)


def unused_features(summary: pd.DataFrame) -> list[str]:
    """Return the features of the model's own that were tested, and of which no perturbation had a measurable effect.

    Raises
    ------
    CheckError
        If there are perturbations without any deviation.
    """
    own = own_features(summary)
    undefined = own.loc[own["max"].isna(), "perturbation"]
    if len(undefined):
        raise CheckError(
            f"there are no deviations of {name_list(undefined)} ('skipped' in summary.csv tells why), so that nobody "
            "can tell whether the model uses them."
        )
    moved = own.groupby("feature", sort=False)["measurable"].any()
    untested = untested_features(summary)
    return [str(name) for name, any_moved in moved.items() if not any_moved and name not in untested]


def untested_features(summary: pd.DataFrame) -> list[str]:
    """Return the features of the model's own of which no perturbation changed a value in any row."""
    own = own_features(summary)
    changed = own.assign(changed=own["changed_share"] != 0).groupby("feature", sort=False)["changed"].any()
    return [str(name) for name, any_changed in changed.items() if not any_changed]


def _is_statistic(summary: pd.DataFrame, name: str) -> bool:
    return name != "value" and is_numeric_dtype(summary[name]) and not is_bool_dtype(summary[name])
