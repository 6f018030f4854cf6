"""How sure the statistics of a perturbation are, whatever the distribution of its deviations.

The rows are taken as a sample, and what is looked for is the statistic of all rows there might be. Each interval stands
on the variance of a mean (see `analysis.statistics.variance`): of the deviations, of their signs, or of who lies below
a quantile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from nnperm_mlflow.analysis.statistics.stratified_variance import StratifiedDonors
from nnperm_mlflow.analysis.statistics.summary_columns import QUANTILES, SURE_QUANTILES
from nnperm_mlflow.analysis.statistics.variance import variance

LEVEL = 0.95
"""How often an interval shall hold what it is of."""

FEWEST_ROWS = 30
"""Rows below which nothing is said of how sure a number is."""

REACH = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""Standard errors from the middle of an interval to its ends."""


@dataclass(frozen=True)
class Sample:
    """What is known of a perturbation on the rows of a shuffle block.

    Attributes
    ----------
    deviations : ndarray of shape (n_repeats, n_known), float32
        NaN where a row is left out.
    moved, fell, flipped : ndarray of shape (n_repeats, n_known), bool
        Whether the feature's value changed, the prediction fell, the decision is another one; False for a row that is
        left out.
    receivers : list of ndarray of shape (n_known,), StratifiedDonors, or None
        As `receivers_of` returns them; who received whose value within strata; None where rows receive nothing from
        each other.
    n_rows : int
        Rows of the data.
    """

    deviations: np.ndarray
    moved: np.ndarray
    fell: np.ndarray
    flipped: np.ndarray
    receivers: list[np.ndarray] | StratifiedDonors | None
    n_rows: int

    @cached_property
    def known(self) -> np.ndarray:
        """Where a row is not left out."""
        return ~np.isnan(self.deviations)

    def error(self, values: np.ndarray, among: np.ndarray | None = None, least: float = 1.0) -> float:
        """Return the standard error that the mean of such values has over all rows of the data."""
        among = self.known if among is None else among
        return math.sqrt(variance(values, among, self.receivers, least=least) / self.n_rows)

    def quantile_error(self, value: float, among: np.ndarray | None = None) -> float:
        """Return the standard error of the share of deviations that do not exceed a value."""
        with np.errstate(invalid="ignore"):
            return self.error(self.deviations <= np.float64(value), among)


def ranks_of(sample: Sample, found: Mapping[str, float], n_kept: int, n_moved: int) -> dict[str, tuple[int, int]]:
    """Return for each quantile between which ranks it lies.

    Parameters
    ----------
    sample : Sample
    found : mapping of str to float
        The statistics of all deviations.
    n_kept, n_moved : int
        How many of these are not left out, and in how many the feature's value changed.

    Returns
    -------
    dict of str to (int, int)
        From 0, among all deviations that are not left out.
    """
    ranks = {
        name: quantile_ranks(QUANTILES[name], sample.quantile_error(found[name]), n_kept) for name in SURE_QUANTILES
    }
    if not math.isnan(found["changed_median"]):
        low, high = quantile_ranks(0.5, sample.quantile_error(found["changed_median"], sample.moved), n_moved)
        ranks["changed_median"] = (n_kept - n_moved + low, n_kept - n_moved + high)
    return ranks


def ends_of(sample: Sample, found: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return for each mean and share between which numbers it lies.

    Parameters
    ----------
    sample : Sample
    found : mapping of str to float
        The statistics of all deviations; NaN where there is none.

    Returns
    -------
    dict of str to (float, float)
    """
    reach = REACH * sample.error(sample.deviations)
    ends = {"mean": (max(0.0, found["mean"] - reach), found["mean"] + reach)}
    if not math.isnan(found["shift"]):
        signed = np.where(sample.fell, -sample.deviations, sample.deviations)
        # as a receiver a row may lose what it adds as a donor, and n rows show a variance of 0 up to such an error
        reach = REACH * sample.error(signed, least=math.sqrt(8 / signed.shape[1]))
        ends["shift"] = (found["shift"] - reach, found["shift"] + reach)
    if not math.isnan(found["flipped_share"]):
        ends["flipped_share"] = share_ends(found["flipped_share"], _alike_rows(sample))
    return ends


def _alike_rows(sample: Sample) -> float:
    """Return how many independent rows would tell as much of the share of flipped decisions.

    Few flips hardly show how much they have in common. So one more is counted, with as much in common as can be: a row
    that flips whether it receives or gives.
    """
    n_known = np.count_nonzero(sample.known)
    if n_known == 0:
        return 1.0
    share = np.count_nonzero(sample.flipped) / n_known
    worst = (1 if sample.receivers is None else 2) * sample.known.size / n_known
    varied = sample.n_rows * sample.error(sample.flipped) ** 2
    return sample.n_rows * (sample.n_rows * share * (1 - share) + 1) / (sample.n_rows * varied + worst)


def quantile_ranks(share: float, error: float, n_values: int) -> tuple[int, int]:
    """Return the ranks of the values between which a quantile lies with 95 % confidence.

    The share of values that do not exceed the quantile has a standard error; the interval goes from the quantile at
    1.96 errors less to that at as much more (Woodruff, 1952).

    Parameters
    ----------
    share : float
        Of the values that shall not exceed the quantile: 0.5 for the median.
    error : float
        Standard error of that share.
    n_values : int

    Returns
    -------
    low, high : int
        From 0.

    Examples
    --------
    >>> quantile_ranks(0.5, 0.05, 100)
    (39, 60)
    """
    reach = min(1.0, REACH * error)
    low, high = math.floor(n_values * (share - reach)) - 1, math.ceil(n_values * (share + reach))
    return max(0, low), min(n_values - 1, high)


def share_ends(share: float, n_rows: float) -> tuple[float, float]:
    """Return the numbers between which a share lies with 95 % confidence (Wilson, 1927).

    Parameters
    ----------
    share : float
    n_rows : float
        Independent rows that it is the share of.

    Returns
    -------
    low, high : float
        Not the share itself even where it is 0 or 1.

    Examples
    --------
    >>> low, high = share_ends(0, 200)
    >>> low, round(high, 4)
    (0.0, 0.0188)
    """
    squared = REACH**2 / n_rows
    middle = (share + squared / 2) / (1 + squared)
    reach = math.sqrt(share * (1 - share) * squared + squared**2 / 4) / (1 + squared)
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))
