"""How much a mean varies over rows that receive values from rows of their own stratum.

Rows are drawn, and with each the stratum that it lies in. So the mean of a stratum lies off that of all rows by an
amount that each of its rows brings along once, while what a row adds within its stratum counts twice, as a receiver and
as a donor. In small strata the same two rows meet in several repeats, and few rows tell both at the same time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class StratifiedDonors:
    """Who received whose value, where donors come from the row's own stratum.

    Attributes
    ----------
    donors : sequence of ndarray of shape (n_rows,), int
        For each repeat the position of each row's donor.
    strata : ndarray of shape (n_rows,), int
        The number of each row's stratum, from 0.
    """

    donors: Sequence[np.ndarray]
    strata: np.ndarray

    def meetings(self, values: np.ndarray) -> np.ndarray:
        """Return for each stratum the sum of products of two values that have a row in common, itself included.

        Parameters
        ----------
        values : ndarray of shape (n_repeats, n_rows)
            What came of each row and its donor.

        Returns
        -------
        ndarray of shape (n_strata,), float64
        """
        pairs, of_strata = self._pairs
        of_rows = values.sum(axis=0, dtype=np.float64)
        for each, donors in zip(values, self.donors, strict=True):
            others = donors != np.arange(len(donors))
            of_rows += np.bincount(donors[others], weights=each[others], minlength=len(donors))
        both = np.bincount(pairs[pairs >= 0], weights=values[pairs >= 0], minlength=len(of_strata))
        return self.sums(of_rows**2) - self._sums(both**2, of_strata)

    def sums(self, of_rows: np.ndarray) -> np.ndarray:
        """Return sums over the rows of each stratum."""
        return self._sums(of_rows, self.strata)

    def _sums(self, values: np.ndarray, strata: np.ndarray) -> np.ndarray:
        return np.bincount(strata, weights=values, minlength=int(self.strata.max()) + 1)

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The number of each value's two rows, -1 where a row is its own donor; and the stratum of each such pair."""
        donors = np.asarray(self.donors, dtype=np.int64)
        rows = np.broadcast_to(np.arange(donors.shape[1]), donors.shape)
        named = np.minimum(rows, donors) * donors.shape[1] + np.maximum(rows, donors)
        others = rows != donors
        found, numbers = np.unique(named[others], return_inverse=True)
        pairs = np.full(donors.shape, -1, dtype=np.int64)
        pairs[others] = numbers
        return pairs, self.strata[found // donors.shape[1]]


def stratified_variance(values: np.ndarray, known: np.ndarray, exchange: StratifiedDonors, *, least: float) -> float:
    """Return the number of rows times the variance of the mean of some values.

    The square of a stratum's sum has the variance of the sum and, once for each two rows, the square of what the
    stratum lies off. Of the latter only one for each row is to count. The rest is taken off, as the product of two
    values without a common row tells it. Strata of two or three rows have no such values; of these nothing is taken
    off, as if whole strata had been drawn, which is too much rather than too little.

    Parameters
    ----------
    values : ndarray of shape (n_repeats, n_rows)
        Numbers or booleans. Not modified.
    known : ndarray of shape (n_repeats, n_rows), bool
        Which of them the mean is of.
    exchange : StratifiedDonors
    least : float
        The smallest variance to believe, as a share of what it were if no two values had anything in common.

    Returns
    -------
    float
        Infinite where no value is known.
    """
    n_rows, n_known = values.shape[1], np.count_nonzero(known)
    if n_known == 0:
        return math.inf
    mean = values[known].sum(dtype=np.float64) / n_known
    off = np.where(known, np.subtract(values, mean, dtype=np.float64), 0.0)
    times = known.sum(axis=0, dtype=np.float64)
    sums, counts = exchange.sums(off.sum(axis=0)), exchange.sums(times)
    apart = counts**2 - exchange.meetings(known)
    squares = np.divide(sums**2 - exchange.meetings(off), apart, out=np.zeros_like(sums), where=apart > 0)
    too_often = counts**2 - exchange.sums(times**2)
    scale = n_rows / n_known**2
    of_pairs = float(np.sum(np.square(off))) * scale
    return max(float(np.sum(sums**2 - too_often * squares)) * scale, least * of_pairs)
