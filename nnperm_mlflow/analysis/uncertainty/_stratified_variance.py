"""How much a mean varies over rows that receive values from rows of their own stratum.

Rows are drawn, and with each the stratum that it lies in. So the mean of a stratum lies off that of all rows by an
amount that each of its rows brings along once, while what a row adds within its stratum counts twice, as a receiver and
as a donor. In small strata the same two rows meet in several repeats, and few rows tell both at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nnperm_mlflow.analysis.uncertainty.error_moments import UNKNOWN, ErrorMoments, beyond_the_largest
from nnperm_mlflow.analysis.uncertainty.variance import rows_with_donors, what_values_add


@dataclass(frozen=True)
class StratifiedExchange:
    """Rows that receive from rows of their own stratum.

    Attributes
    ----------
    donors : sequence of ndarray of shape (n_rows,), int
        For each repeat the position of each row's donor.
    strata : ndarray of shape (n_rows,), int
        The number of each row's stratum, from 0.
    """

    donors: Sequence[np.ndarray]
    strata: np.ndarray

    def moments(self, values: np.ndarray, known: np.ndarray) -> ErrorMoments:
        """Return how the mean of some values errs, see `variance.Dependence`.

        The square of a stratum's sum has the variance of the sum and, once for each two rows, the square of what the
        stratum lies off. Of the latter only one for each row is to count. The rest is taken off, as the product of two
        values without a common row tells it. Strata of two or three rows have no such values; of these nothing is
        taken off, as if whole strata had been drawn, which is too much rather than too little.
        """
        n_known = int(np.count_nonzero(known))
        if n_known == 0:
            return UNKNOWN
        off = np.stack(list(what_values_add(values, known, n_known)))
        times = known.sum(axis=0, dtype=np.float64)
        sums, counts = self.sums(off.sum(axis=0)), self.sums(times)
        apart = counts**2 - self.meetings(known)
        squares = np.divide(sums**2 - self.meetings(off), apart, out=np.zeros_like(sums), where=apart > 0)
        too_often = counts**2 - self.sums(times**2)
        units = self._units(off, np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0))
        third = float(np.sum(units**3) - np.sum(off**3))
        second, of_pairs = float(np.sum(sums**2 - too_often * squares)), float(np.sum(np.square(off)))
        return ErrorMoments(second, of_pairs, third, beyond_the_largest(units, max(second, of_pairs)))

    def _units(self, off: np.ndarray, of_strata: np.ndarray) -> np.ndarray:
        """Return what each row adds as a receiver and as a donor, and once what its stratum lies off."""
        units = off.sum(axis=0)
        for each, donors in zip(off, self.donors, strict=True):
            units += np.bincount(donors, weights=each, minlength=len(donors))
        return units - len(off) * of_strata[self.strata]

    def count_units(self, known: np.ndarray) -> int:
        """Return how many rows have a value that is known."""
        return int(np.count_nonzero(known.any(axis=0)))

    def among(self, rows: np.ndarray) -> tuple[np.ndarray, StratifiedExchange]:
        """Return what has to do with the values of some rows, see `variance.KnownDependence`."""
        used, donors = rows_with_donors(rows, self.donors)
        return used, StratifiedExchange(donors, self.strata[used])

    @property
    def values_of_unit(self) -> float:
        """In how many values a row may show, for each repeat."""
        return 2.0

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
