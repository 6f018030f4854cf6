"""How a mean errs: its moments, and what one unit more than was seen may add to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_RANK = 3  # of the unit that the largest is held against
_NOTHING = 0.01  # of a unit more, which is then less than a thousandth of an error of the mean
_SURELY_NOTHING = 0.99 * _NOTHING  # by which parts are passed over that are not worth the sum
_MATTERS = 0.2  # share of the variance from which on a unit tells that there may be larger ones


@dataclass(frozen=True)
class ErrorMoments:
    """How a mean errs.

    Attributes
    ----------
    second : float
        Its variance.
    of_pairs : float
        What its variance were if no two values had anything in common; 0 where units receive nothing from each other.
    third : float
        Its third central moment: positive where it errs further to the right than to the left.
    beyond : (float, float)
        What one unit more may add to either side, as a size, see `beyond_the_largest`.
    """

    second: float
    of_pairs: float
    third: float
    beyond: tuple[float, float] = (0.0, 0.0)

    def variance(self, least: float = 1.0) -> float:
        """Return its variance, but no less than so large a share of what it were without anything in common."""
        return max(self.second, least * self.of_pairs)

    def of_more_rows(self, times: float) -> ErrorMoments:
        """Return the moments that the mean has over so many times as many rows that are like these."""
        below, above = self.beyond
        beyond = below / times, above / times
        return ErrorMoments(self.second / times, self.of_pairs / times, self.third / times**2, beyond)


UNKNOWN = ErrorMoments(math.inf, 0.0, 0.0)
"""Of a mean of nothing."""


def beyond_the_largest(units: np.ndarray, variance: float) -> tuple[float, float]:
    """Return what one unit more may add to either side.

    As far beyond the largest as that lies beyond the third largest, where the square of the largest makes a fifth of
    the variance or more; else as much less as that makes less, since of many units that are alike no further one
    matters.

    Parameters
    ----------
    units : ndarray of shape (n_units,)
        What each adds to the error of a mean.
    variance : float
        Of the mean.

    Returns
    -------
    below, above : float
        As sizes.
    """
    return beyond_the_largest_of_parts(units, np.array([0, len(units)]), np.array([variance]))[0]


def beyond_the_largest_of_parts(
    units: np.ndarray, ends: np.ndarray, variances: np.ndarray
) -> list[tuple[float, float]]:
    """Return for each part what one unit more may add to either side, see `beyond_the_largest`.

    Parameters
    ----------
    units : ndarray of shape (n_units,)
        Those of the first part first.
    ends : ndarray of shape (n_parts + 1,), int
        Where among these the parts begin, and the last one ends.
    variances : ndarray of shape (n_parts,)
        Of the mean of each part.
    """
    enough = np.flatnonzero(np.diff(ends) >= _RANK)
    found = np.zeros((2, len(variances)))
    if len(enough):
        bounds, of_parts = ends[[enough, enough + 1]].T, variances[enough]
        inside = bounds[bounds < len(units)]
        farthest = -np.minimum.reduceat(units, inside)[::2], np.maximum.reduceat(units, inside)[::2]
        for side, largest, beyond in zip((-1, 1), farthest, found, strict=True):
            for place in np.flatnonzero((largest > 0) & (largest**2 > _SURELY_NOTHING * _MATTERS * of_parts)):
                first, last = bounds[place]
                beyond[enough[place]] = _beyond(float(largest[place]), side * units[first:last], float(of_parts[place]))
    return list(zip(*found.tolist(), strict=True))


def _beyond(largest: float, units: np.ndarray, variance: float) -> float:
    """Return what one unit more may add to a side, and overwrite the two units that lie farthest there."""
    matters = min(1.0, largest**2 / (_MATTERS * variance)) if largest > 0 and variance > 0 else 0.0
    if matters < _NOTHING:
        return 0.0
    for _ in range(_RANK - 1):  # three passes are several times as fast as a partition
        units[units.argmax()] = -math.inf
    return max(0.0, 2 * largest - float(units.max())) * matters


def as_correlations(products: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """Return the correlations of the errors of parts.

    Parameters
    ----------
    products : ndarray of shape (n_parts, n_parts)
        Sums over units of products of what each adds to two parts.
    alone : ndarray of shape (n_parts,)
        What the diagonal holds twice, see `variance.UnitSums`.
    """
    variances = np.maximum(np.diag(products) - alone, alone)
    scale = np.sqrt(np.outer(variances, variances))
    return np.clip(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0), -1, 1)
