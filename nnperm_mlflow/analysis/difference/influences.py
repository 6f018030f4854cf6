"""How sure the difference is between what two audits say of one perturbation.

A statistic errs by the mean of what each deviation adds to it, its influence: for a mean how far the deviation lies off
it, for a median whether it lies below it, divided by the density of deviations there (Bahadur, 1966). So the difference
between two statistics of the same rows errs by the mean of the difference of influences, in which all that the two
audits have in common cancels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nnperm_mlflow.analysis.statistics.intervals import REACH
from nnperm_mlflow.analysis.statistics.variance import variance

Statistic = Literal["median", "mean"]

Varies = Callable[[np.ndarray], float]
"""Returns, for values of shape (n_repeats, n_rows), the number of rows times the variance of their mean."""


@dataclass(frozen=True)
class Errors:
    """Standard errors of a statistic in two audits, and of the difference between the two.

    Attributes
    ----------
    a, b, difference : float
    """

    a: float
    b: float
    difference: float

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
    varies : callable
    n_rows : int
        Rows of the data.
    """

    median: np.ndarray
    mean: np.ndarray
    jumps: bool
    varies: Varies
    n_rows: int

    def error(self, influence: np.ndarray) -> float:
        """Return the standard error of a mean of such influences over all rows of the data."""
        return math.sqrt(self.varies(influence) / self.n_rows)


def paired_errors(a: Influences, b: Influences) -> dict[Statistic, Errors]:
    """Return the errors where both audits disturbed the same rows, in the same order, with the same donors."""
    mean = Errors(a.error(a.mean), b.error(b.mean), a.error(b.mean - a.mean))
    median = Errors(a.error(a.median), b.error(b.median), a.error(b.median - a.median))
    if (a.jumps or b.jumps) and mean.difference > 0:
        median = _apart(median.a, median.b)  # what they have in common is not known
    return {"median": median, "mean": mean}


def unpaired_errors(a: Influences, b: Influences) -> dict[Statistic, Errors]:
    """Return the errors where two audits have nothing in common."""
    return {
        "median": _apart(a.error(a.median), b.error(b.median)),
        "mean": _apart(a.error(a.mean), b.error(b.mean)),
    }


def _apart(a: float, b: float) -> Errors:
    """Return errors that are independent of each other: variances add up."""
    return Errors(a, b, math.hypot(a, b))


def known_variance(receivers: Sequence[np.ndarray] | None, influence: np.ndarray) -> float:
    """Return the number of rows times the variance of a mean, where donors are known or there are none."""
    return variance(influence, np.ones(influence.shape, dtype=bool), receivers)


def largest_variance(influence: np.ndarray) -> float:
    """Return the most that the number of rows times the variance of a mean can be, whatever the donors.

    What a pair adds is h(receiver) + g(donor) + a rest, uncorrelated with each other, so that their variances sum up to
    that of all pairs. A row adds h + g, and Var(h + g) <= 2 Var(h) + 2 Var(g); the rest fades with the repeats.
    """
    return 2 * float(np.mean(np.square(influence)))


def find_influences(
    deviations: np.ndarray, median: float, ends: tuple[float, float], varies: Varies, n_rows: int
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
    varies : callable
        For these rows and their donors.
    n_rows : int
        Rows of the data.

    Returns
    -------
    Influences
    """
    known = ~np.isnan(deviations)
    with np.errstate(invalid="ignore"):
        below = _off(deviations <= np.float64(median), known)
    reach = REACH * math.sqrt(varies(below) / n_rows)
    values, jumps = deviations[known], _jumps(deviations, median, ends)
    if varies is largest_variance:  # which may be larger than the one behind the interval
        inside = _share_below(values, ends[1]) - _share_below(values, ends[0])
        reach = min(reach, inside / 2) if inside > 0 else reach
    slope = (ends[1] - ends[0]) / (2 * reach) if reach > 0 else 0 * (ends[1] - ends[0])
    return Influences(-slope * below, _off(deviations, known), jumps, varies, n_rows)


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
