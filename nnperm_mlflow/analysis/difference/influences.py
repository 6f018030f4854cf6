"""How sure the difference is between what two audits say of one perturbation.

A statistic errs by the mean of what each deviation adds to it, its influence: for a mean how far the deviation lies off
it, for a median whether it lies below it, divided by the density of deviations there (Bahadur, 1966). So the difference
between two statistics of the same rows errs by the mean of the difference of influences, in which all that the two
audits have in common cancels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from nnperm_mlflow.analysis.uncertainty.error_moments import ErrorMoments
from nnperm_mlflow.analysis.uncertainty.skewness import errors_to_the_end, reaches
from nnperm_mlflow.analysis.uncertainty.variance import Dependence, Exchange, rows_of_cluster

Statistic = Literal["median", "mean"]


@dataclass(frozen=True)
class UnknownDonors:
    """Rows that receive from each other, nobody knows which from which.

    Attributes
    ----------
    clusters : ndarray of shape (n_rows,), int64, or None
        Number of each row's cluster, from 0.
    """

    clusters: np.ndarray | None = None

    @property
    def values_of_unit(self) -> float:
        """In how many values a row, or a cluster of middling size, may show, for each repeat."""
        return 2 * rows_of_cluster(self.clusters)

    def moments(self, values: np.ndarray, known: np.ndarray) -> ErrorMoments:
        """Return the largest variance that there can be, whatever the donors, of values with mean 0.

        What a pair adds is h(receiver) + g(donor) + a rest, uncorrelated with each other, so that their variances sum
        up to that of all pairs. A row adds h + g, and Var(h + g) <= 2 Var(h) + 2 Var(g); the rest fades with the
        repeats. Of a cluster is known what its rows add as receivers; as donors they add at most as much as if all of
        them added the same.
        """
        of_pairs = float(np.mean(np.square(values))) / values.shape[1]
        if self.clusters is None:
            return ErrorMoments(2 * of_pairs, 0.0, 0.0)
        received = Exchange(None, self.clusters).moments(values, known).second
        return ErrorMoments(2 * (received + rows_of_cluster(self.clusters) * of_pairs), 0.0, 0.0)

    def count_units(self, known: np.ndarray) -> int:
        """Return how many rows, or clusters, have a value that is known."""
        return Exchange(None, self.clusters).count_units(known)


@dataclass(frozen=True)
class Errors:
    """How a statistic errs in two audits, and the difference between the two.

    Attributes
    ----------
    a, b, difference : float
        Standard errors.
    below, above : float
        How far the interval of the difference goes, with 95 % confidence.
    """

    a: float
    b: float
    difference: float
    below: float
    above: float

    @property
    def correlation(self) -> float:
        """How far the two err together; 0 where one of them does not err."""
        if self.a * self.b == 0:
            return 0.0
        shared = (self.a**2 + self.b**2 - self.difference**2) / (2 * self.a * self.b)
        return min(1.0, max(-1.0, shared))


@dataclass(frozen=True)
class Influences:
    """What each deviation of a perturbation adds to the errors of its statistics.

    Attributes
    ----------
    median, mean : ndarray of shape (n_repeats, n_known)
        With mean 0; 0 where a row is left out, and for the median everywhere where it is known exactly.
    jumps : bool
        Whether so many deviations are equal where the median may lie that there is no density.
    dependence : Dependence
        Which of the rows have to do with each other.
    n_units : int
        How many rows, or clusters of rows, these are of.
    n_rows : float
        Rows of the data, of which those that are known are a part.
    """

    median: np.ndarray
    mean: np.ndarray
    jumps: bool
    dependence: Dependence
    n_units: int
    n_rows: float

    def moments(self, influence: np.ndarray) -> ErrorMoments:
        """Return how a mean of such influences errs over all rows of the data."""
        found = self.dependence.moments(influence, np.ones(influence.shape, dtype=bool))
        return found.of_more_rows(self.n_rows / influence.shape[1])

    def error(self, influence: np.ndarray) -> float:
        """Return the standard error of a mean of such influences over all rows of the data."""
        return math.sqrt(self.moments(influence).variance())


def paired_errors(a: Influences, b: Influences) -> dict[Statistic, Errors]:
    """Return the errors where both audits disturbed the same rows, in the same order, with the same donors."""
    n_units = min(a.n_units, b.n_units)
    moments = a.moments(b.mean - a.mean)
    mean = Errors(a.error(a.mean), b.error(b.mean), math.sqrt(moments.variance()), *reaches(moments, n_units))
    median = _even(a.error(a.median), b.error(b.median), a.error(b.median - a.median), n_units)
    if (a.jumps or b.jumps) and mean.difference > 0:
        median = _apart(median.a, median.b, n_units)  # what they have in common is not known
    return {"median": median, "mean": mean}


def unpaired_errors(a: Influences, b: Influences) -> dict[Statistic, Errors]:
    """Return the errors where two audits have nothing in common."""
    n_units, (of_a, of_b) = min(a.n_units, b.n_units), (each.moments(each.mean) for each in (a, b))
    beyond = max(of_b.beyond[0], of_a.beyond[1]), max(of_b.beyond[1], of_a.beyond[0])
    both = ErrorMoments(of_a.variance() + of_b.variance(), 0.0, of_b.third - of_a.third, beyond)
    first, second, difference = (math.sqrt(each.variance()) for each in (of_a, of_b, both))
    return {
        "median": _apart(a.error(a.median), b.error(b.median), n_units),
        "mean": Errors(first, second, difference, *reaches(both, n_units)),
    }


def _apart(a: float, b: float, n_units: int) -> Errors:
    """Return errors that are independent of each other: variances add up."""
    return _even(a, b, math.hypot(a, b), n_units)


def _even(a: float, b: float, difference: float, n_units: int) -> Errors:
    """Return errors that go as far down as up."""
    reach = errors_to_the_end(n_units) * difference
    return Errors(a, b, difference, reach, reach)


def find_influences(
    deviations: np.ndarray, median: float, ends: tuple[float, float], dependence: Dependence, n_rows: float
) -> Influences:
    """Find what each deviation adds to the errors of median and mean.

    How much the median rises with the share of deviations below it is found from its interval, which goes as far as
    that share errs.

    Parameters
    ----------
    deviations : ndarray of shape (n_repeats, n_known), float32
        NaN where a row is left out.
    median : float
        Of all deviations.
    ends : (float, float)
        Of its interval.
    dependence : Dependence
        Which of these rows have to do with each other.
    n_rows : float
        Rows of the data, of which those that are known are a part.

    Returns
    -------
    Influences
    """
    known = ~np.isnan(deviations)
    with np.errstate(invalid="ignore"):
        below = _off(deviations <= np.float64(median), known)
    found = Influences(
        below,
        _off(deviations, known),
        _jumps(deviations, median, ends),
        dependence,
        dependence.count_units(known),
        n_rows,
    )
    reach = sum(reaches(found.moments(below), found.n_units)) / 2
    if isinstance(dependence, UnknownDonors):  # of which the error may be larger than the one behind the interval
        values = deviations[known]
        inside = _share_below(values, ends[1]) - _share_below(values, ends[0])
        reach = min(reach, inside / 2) if inside > 0 else reach
    slope = (ends[1] - ends[0]) / (2 * reach) if reach > 0 else 0 * (ends[1] - ends[0])
    return replace(found, median=-slope * below)


def _share_below(values: np.ndarray, value: float) -> float:
    """Return the share of values below another one, with half of those that equal it."""
    counts = np.count_nonzero(values < np.float64(value)) + np.count_nonzero(values <= np.float64(value))
    return counts / 2 / max(1, len(values))


def _jumps(deviations: np.ndarray, median: float, ends: tuple[float, float]) -> bool:
    """Tell whether most of the deviations where the median may lie are the same."""
    low, high = map(np.float64, ends)
    inside = np.count_nonzero((deviations >= low) & (deviations <= high))
    tied = max(np.count_nonzero(deviations == value) for value in (low, np.float64(median), high))
    return bool(low < high) and 2 * tied > inside


def _off(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return how far values lie off the mean of those that are known, per share of these; 0 for the others."""
    if not known.any():
        return np.full(values.shape, math.nan)
    off = np.subtract(values, values[known].mean(dtype=np.float64), dtype=np.float64)
    off[~known] = 0
    return off / known.mean()
