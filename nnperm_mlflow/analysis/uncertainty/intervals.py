"""How sure the statistics of a perturbation are, whatever the distribution of its deviations.

The rows are taken as a sample, and what is looked for is the statistic of all rows there might be. Each interval stands
on the variance of a mean (see `analysis.uncertainty.variance`): of the deviations, of their signs, or of who lies below
a quantile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from nnperm_mlflow.analysis.statistics.summary_columns import QUANTILES, SURE_QUANTILES
from nnperm_mlflow.analysis.uncertainty.error_moments import UNKNOWN, ErrorMoments
from nnperm_mlflow.analysis.uncertainty.skewness import LEVEL, errors_to_the_end, reaches
from nnperm_mlflow.analysis.uncertainty.variance import Dependence

FEWEST_ROWS = 30
"""Rows, or clusters of rows, below which nothing is said of how sure a number is."""

_ONE_SIDED = 0.01
"""Chance that all lie to one side of a quantile, above which they do not tell how far it may be."""

REACH = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""Standard errors from the middle of an interval to its ends, where the error is known."""


@dataclass(frozen=True)
class Sample:
    """What is known of a perturbation on the rows of whole shuffle blocks.

    Attributes
    ----------
    deviations : ndarray of shape (n_repeats, n_known), float32
        NaN where a row is left out.
    moved, fell, flipped : ndarray of shape (n_repeats, n_known), bool
        Whether the feature's value changed, the prediction fell, the decision is another one; False for a row that is
        left out.
    dependence : Dependence
        Which of the rows have to do with each other.
    n_rows : int
        Rows of the data.
    span : float
        How far the predictions of all rows as they are lie apart: so far might move a row that was not seen.
    """

    deviations: np.ndarray
    moved: np.ndarray
    fell: np.ndarray
    flipped: np.ndarray
    dependence: Dependence
    n_rows: int
    span: float

    @cached_property
    def known(self) -> np.ndarray:
        """Where a row is not left out."""
        return ~np.isnan(self.deviations)

    @cached_property
    def n_units(self) -> int:
        """How many rows, or clusters, are not left out altogether."""
        return self.dependence.count_units(self.known)

    @cached_property
    def reach(self) -> float:
        """Standard errors from the middle of an interval to its ends, where errors are found from so many units."""
        return errors_to_the_end(self.n_units)

    def error(self, values: np.ndarray, among: np.ndarray | None = None, least: float = 1.0) -> float:
        """Return the standard error that the mean of such values has over all rows of the data."""
        found = self.moments(values, among)
        return math.sqrt(found.variance(least))

    def moments(self, values: np.ndarray, among: np.ndarray | None = None) -> ErrorMoments:
        """Return how the mean of such values errs over all rows of the data."""
        found = self.dependence.moments(values, self.known if among is None else among)
        return found.of_more_rows(self.n_rows / self.known.shape[1])

    def share_moments(self, value: float, among: np.ndarray | None = None) -> ErrorMoments:
        """Return how the share of deviations errs that do not exceed a value."""
        with np.errstate(invalid="ignore"):
            return self.moments(self.deviations <= np.float64(value), among)


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
        From 0, among all deviations that are not left out. Without a quantile that so few may all lie to one side of.
    """
    n_units = sample.n_units * sample.n_rows / sample.known.shape[1]
    told = [name for name in SURE_QUANTILES if _has_both_sides(QUANTILES[name], n_units)]
    ranks = {name: _ranks(sample, QUANTILES[name], found[name], None, n_kept) for name in told}
    # a value that is given away moves two rows by as much: the one that gets it, and the one that gives it
    moving = n_moved / (len(sample.deviations) * sample.dependence.values_of_unit)
    if not math.isnan(found["changed_median"]) and _has_both_sides(0.5, moving):
        low, high = _ranks(sample, 0.5, found["changed_median"], sample.moved, n_moved)
        ranks["changed_median"] = (n_kept - n_moved + low, n_kept - n_moved + high)
    return ranks


def _has_both_sides(share: float, n_units: float) -> bool:
    """Tell whether so many units surely have some on either side of the quantile at a share."""
    return max(share, 1 - share) ** n_units <= _ONE_SIDED


def _ranks(sample: Sample, share: float, value: float, among: np.ndarray | None, n_values: int) -> tuple[int, int]:
    """Return the ranks between which a quantile lies, of whose error that of the share below it tells.

    A median is corrected for skewness, as few clusters bring it. Of a share near 1 skewness is no sign of what was not
    seen: the correction would make `q95` miss more often.
    """
    moments = sample.share_moments(value, among)
    if share == QUANTILES["median"]:
        below, above = reaches(moments, sample.n_units)
    else:
        below = above = sample.reach * math.sqrt(moments.variance())
    return quantile_ranks(share, (below, above), n_values)


@dataclass(frozen=True)
class Errors:
    """How the means and shares of a perturbation err over all rows of the data.

    Attributes
    ----------
    mean, shift, flips : ErrorMoments
        Of the deviations, of these with their signs, of the decisions that flipped.
    flipped : float
        Share of the decisions that flipped on the rows from which errors were found.
    n_units : int
        How many rows, or clusters, of these are not left out altogether.
    n_rows : float
        Rows of the data, with those that give to them.
    worst : float
        In how many of the values a unit may show, by how many rows there are for each that is known.
    span : float
        How far the predictions of all rows as they are lie apart.
    """

    mean: ErrorMoments
    shift: ErrorMoments
    flips: ErrorMoments
    flipped: float
    n_units: int
    n_rows: float
    worst: float
    span: float

    @property
    def reach(self) -> float:
        """Standard errors from the middle of an interval to its ends, where errors are found from so many units."""
        return errors_to_the_end(self.n_units)


def ends_of(sample: Sample, found: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return for each mean and share between which numbers it lies; see `ends_from`."""
    n_known = np.count_nonzero(sample.known)
    has_shift, decides = (not math.isnan(found[name]) for name in ("shift", "flipped_share"))
    signed = np.where(sample.fell, -sample.deviations, sample.deviations) if has_shift else None
    errors = Errors(
        mean=sample.moments(sample.deviations),
        shift=UNKNOWN if signed is None else sample.moments(signed),
        flips=sample.moments(sample.flipped) if decides else UNKNOWN,
        flipped=np.count_nonzero(sample.flipped) / n_known if n_known else 0.0,
        n_units=sample.n_units,
        n_rows=sample.n_rows,
        worst=sample.dependence.values_of_unit * sample.known.size / n_known if n_known else math.inf,
        span=sample.span,
    )
    return ends_from(errors, found)


def ends_from(errors: Errors, found: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return for each mean and share between which numbers it lies.

    Parameters
    ----------
    errors : Errors
    found : mapping of str to float
        The statistics of all deviations; NaN where there is none.

    Returns
    -------
    dict of str to (float, float)
        Where nothing moved, a mean reaches as far as if as many rows as can hide among so many moved over the whole
        span; NaN where no two predictions differ, so that nobody knows how far that is.
    """
    unseen = _unseen(errors) if found["mean"] == 0 else 0.0
    below, above = reaches(errors.mean, errors.n_units)
    above += unseen
    ends = {"mean": (max(0.0, found["mean"] - below), found["mean"] + above)}
    if not math.isnan(found["shift"]):
        # as a receiver a row may lose what it adds as a donor, and n units show a variance of 0 up to such an error
        below, above = reaches(errors.shift, errors.n_units, least=math.sqrt(8 / max(8, errors.n_units)))
        ends["shift"] = (found["shift"] - below - unseen, found["shift"] + above + unseen)
    if not math.isnan(found["flipped_share"]):
        n_alike = _alike_rows(errors, errors.flipped, errors.flips)
        ends["flipped_share"] = share_ends(found["flipped_share"], n_alike, errors.reach)
    return ends


_NOT_AT_ALL = ErrorMoments(0.0, 0.0, 0.0)
"""How the share errs of what was not seen once."""


def _unseen(errors: Errors) -> float:
    """Return how large a mean may be of which nothing was seen; NaN where no prediction tells how far is far."""
    n_alike = _alike_rows(errors, 0.0, _NOT_AT_ALL)
    return errors.span * share_ends(0.0, n_alike, errors.reach)[1] if errors.span > 0 else math.nan


def _alike_rows(errors: Errors, share: float, moments: ErrorMoments) -> float:
    """Return how many independent rows would tell as much of a share.

    Few flips hardly show how much they have in common. So one more is counted, with as much in common as can be: a row,
    or a cluster of rows, that flips whether it receives or gives.
    """
    if math.isinf(errors.worst):
        return 1.0
    varied = errors.n_rows * math.sqrt(moments.variance()) ** 2
    return errors.n_rows * (errors.n_rows * share * (1 - share) + 1) / (errors.n_rows * varied + errors.worst)


def quantile_ranks(share: float, reach: tuple[float, float], n_values: int) -> tuple[int, int]:
    """Return the ranks of the values between which a quantile lies with 95 % confidence.

    The share of values that do not exceed the quantile errs; the interval goes from the quantile at as much less as it
    may be too large to that at as much more as it may be too small (Woodruff, 1952).

    Parameters
    ----------
    share : float
        Of the values that shall not exceed the quantile: 0.5 for the median.
    reach : (float, float)
        How far below and above that share its interval goes, with 95 % confidence.
    n_values : int

    Returns
    -------
    low, high : int
        From 0.

    Examples
    --------
    >>> quantile_ranks(0.5, (0.1, 0.2), 100)
    (29, 60)
    """
    below, above = (min(1.0, each) for each in reach)
    low, high = math.floor(n_values * (share - above)) - 1, math.ceil(n_values * (share + below))
    return max(0, low), min(n_values - 1, high)


def share_ends(share: float, n_rows: float, reach: float = REACH) -> tuple[float, float]:
    """Return the numbers between which a share lies with 95 % confidence (Wilson, 1927).

    Parameters
    ----------
    share : float
    n_rows : float
        Independent rows that it is the share of.
    reach : float
        Standard errors from the middle of an interval to its ends.

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
    squared = reach**2 / n_rows
    middle = (share + squared / 2) / (1 + squared)
    off = math.sqrt(share * (1 - share) * squared + squared**2 / 4) / (1 + squared)
    return max(0.0, min(share, middle - off)), min(1.0, max(share, middle + off))
