"""How the means of several parts of the rows err after one shuffle, in which each row has one donor and gives once.

Each row is then a unit of its own part, by what it receives, and of its receiver's, by what it gives. The two are one
where both rows are of one part. Sums over units are so sums over rows and their donors, and no unit needs to be looked
up: half of the time of the way for any number of shuffles (`parts._Rows`), which gives the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nnperm_mlflow.analysis.uncertainty.error_moments import (
    UNKNOWN,
    ErrorMoments,
    as_correlations,
    beyond_the_largest_of_parts,
)


class PartsOfOneShuffle:
    """Rows that stand for themselves, after one shuffle; see `parts.Parted`.

    Parameters
    ----------
    parts : ndarray of shape (n_rows,), int
        For each row the number of its part.
    n_parts : int
    known : ndarray of shape (n_rows,), bool
        Which values means are of.
    donors : ndarray of shape (n_rows,), int
        For each row the position of its donor; each row gives once.
    values_of_unit : float
        In how many values a row may show.
    """

    def __init__(
        self, parts: np.ndarray, n_parts: int, known: np.ndarray, donors: np.ndarray, values_of_unit: float
    ) -> None:
        self.parts, self.n_parts, self.donors = parts, n_parts, donors
        self._known = None if known.all() else known
        self._values_of_unit = values_of_unit
        self.counts = self.of_parts(known) if self._known is not None else np.bincount(parts, minlength=n_parts)
        self._shares = (1 / np.maximum(1, self.counts))[parts]  # what a value counts for in the mean of its part
        self.of_donors = parts[donors]
        self.within = self.of_donors == parts
        units = np.concatenate([parts, parts[~self.within]])
        self.order = units.astype(np.min_scalar_type(n_parts)).argsort(kind="stable")  # small numbers sort faster
        self.n_used = np.bincount(units, minlength=n_parts)

    def sums(self, values: np.ndarray) -> _SumsOfOneShuffle:
        """Return what units add to the errors of means, of values of shape (1, n_rows)."""
        (each,) = values.astype(np.float64)
        if self._known is not None:
            each[~self._known] = 0.0
        means = self.of_parts(each) / np.maximum(1, self.counts)
        each -= means[self.parts]
        each *= self._shares
        if self._known is not None:
            each[~self._known] = 0.0
        return _SumsOfOneShuffle(self, each)

    def count_units(self) -> list[int]:
        """Return how many rows of each part have a value that is known."""
        return [int(count) for count in self.counts]

    def values_of_unit(self, part: int) -> float:
        """Return in how many values a row may show."""
        return self._values_of_unit

    def of_parts(self, of_rows: np.ndarray) -> np.ndarray:
        """Return sums over the rows of each part."""
        return np.bincount(self.parts, weights=of_rows, minlength=self.n_parts)


@dataclass(frozen=True)
class _SumsOfOneShuffle:
    """What rows add to the errors of the means of parts.

    Attributes
    ----------
    rows : PartsOfOneShuffle
    off : ndarray of shape (n_rows,)
        What each row adds by the value that it received, and its donor by having given it.
    """

    rows: PartsOfOneShuffle
    off: np.ndarray

    def moments(self) -> list[ErrorMoments]:
        """Return how the mean of each part errs."""
        both, rows = self._of_donors + self.off, self.rows
        third = rows.of_parts(self._squared * self.off + 3 * self._products * both * rows.within)
        units = np.concatenate([self.off, self.off[~rows.within]])
        units[rows.donors[rows.within]] += self.off[rows.within]
        ends = np.concatenate([[0], rows.n_used.cumsum()])
        sides = beyond_the_largest_of_parts(units[rows.order], ends, np.maximum(self._second, self._squares))
        told = zip(self._second.tolist(), self._squares.tolist(), third.tolist(), sides, rows.counts, strict=True)
        return [ErrorMoments(*moments) if count else UNKNOWN for *moments, count in told]

    def variances(self) -> list[ErrorMoments]:
        """Return how the mean of each part errs, without what tells of skewness."""
        told = zip(self._second.tolist(), self._squares.tolist(), self.rows.counts, strict=True)
        return [ErrorMoments(second, of_pairs, 0.0) if count else UNKNOWN for second, of_pairs, count in told]

    def correlations(self) -> np.ndarray:
        """Return the correlations of the errors: each row adds to its own part, and as a donor to others."""
        rows = self.rows
        pairs = rows.of_donors * rows.n_parts + rows.parts
        across = np.bincount(pairs, weights=self._products * ~rows.within, minlength=rows.n_parts**2)
        across = across.reshape(rows.n_parts, rows.n_parts)
        return as_correlations(across + across.T + np.diag(self._second + self._squares), self._squares)

    @cached_property
    def _of_donors(self) -> np.ndarray:
        return self.off[self.rows.donors]

    @cached_property
    def _products(self) -> np.ndarray:
        return self.off * self._of_donors

    @cached_property
    def _squared(self) -> np.ndarray:
        return np.square(self.off)

    @cached_property
    def _squares(self) -> np.ndarray:
        return self.rows.of_parts(self._squared)

    @cached_property
    def _second(self) -> np.ndarray:
        return self._squares + 2 * self.rows.of_parts(self._products * self.rows.within)
