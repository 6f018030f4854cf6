"""How the means of several parts of the rows err, each over the rows of its own, whose donors come from all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from nnperm_mlflow.analysis.uncertainty._parts_of_one_shuffle import PartsOfOneShuffle
from nnperm_mlflow.analysis.uncertainty.error_moments import (
    UNKNOWN,
    ErrorMoments,
    as_correlations,
    beyond_the_largest_of_parts,
)
from nnperm_mlflow.analysis.uncertainty.variance import Exchange, KnownDependence


class PartSums(Protocol):
    """What units add to the errors of the means of some values, one for each part."""

    def moments(self) -> list[ErrorMoments]:
        """Return how the mean of each part errs."""

    def variances(self) -> list[ErrorMoments]:
        """Return the same without what tells of skewness, which shares do not need."""

    def correlations(self) -> np.ndarray:
        """Return the correlations of these errors, of shape (n_parts, n_parts)."""


class Parted(Protocol):
    """Which rows have to do with each other, as seen from each of several parts of them.

    Attributes
    ----------
    n_used : ndarray of shape (n_parts,), int
        How many rows are of a part, or give to one that is.
    """

    n_used: np.ndarray

    def sums(self, values: np.ndarray) -> PartSums:
        """Return what units add to the errors of means.

        Parameters
        ----------
        values : ndarray of shape (n_repeats, n_rows)
            Numbers or booleans. Not modified.
        """

    def count_units(self) -> list[int]:
        """Return for each part as how many units its rows count of which a value is known."""

    def values_of_unit(self, part: int) -> float:
        """Return in how many values of a part a unit may show, for each repeat."""


def parted(dependence: KnownDependence, parts: np.ndarray, n_parts: int, known: np.ndarray) -> Parted:
    """Return which rows have to do with each other, as seen from each part.

    Parameters
    ----------
    dependence : KnownDependence
    parts : ndarray of shape (n_rows,), int
        For each row the number of its part.
    n_parts : int
    known : ndarray of shape (n_repeats, n_rows), bool
        Which values means are of.
    """
    if not isinstance(dependence, Exchange):
        return _Each(dependence, parts, n_parts, known)
    if dependence.clusters is not None:
        return _Clusters(dependence, parts, n_parts, known)
    if dependence.donors is not None and len(dependence.donors) == 1 and _gives_once(dependence.donors[0]):
        return PartsOfOneShuffle(parts, n_parts, known[0], dependence.donors[0], dependence.values_of_unit)
    return _Rows(dependence, parts, n_parts, known)


def _gives_once(donors: np.ndarray) -> bool:
    return bool((np.bincount(donors, minlength=len(donors)) == 1).all())


class _Rows:
    """Rows that stand for themselves: all parts in one go, which is many times as fast as one after the other."""

    def __init__(self, dependence: Exchange, parts: np.ndarray, n_parts: int, known: np.ndarray) -> None:
        self._dependence, self._parts, self._n_parts, self._known = dependence, parts, n_parts, known
        n_rows = len(parts)
        starts = parts.astype(np.int64) * n_rows
        keys = [starts + np.arange(n_rows), *(starts + donors for donors in dependence.donors or ())]
        used = np.zeros(n_parts * n_rows, dtype=bool)
        for each in keys:
            used[each] = True
        units = np.flatnonzero(used)
        place = np.empty(n_parts * n_rows, dtype=np.int32)
        place[units] = np.arange(len(units), dtype=np.int32)
        self._receivers, *self._givers = (place[each] for each in keys)
        self._ends = np.searchsorted(units, np.arange(n_parts + 1) * n_rows).astype(np.int32)
        self.n_used = np.diff(self._ends)
        self._rows = (units % n_rows).astype(np.int32)
        self._all_known = bool(known.all())
        self._counts = self._of_parts(known.sum(axis=0))
        self._shares = (1 / np.maximum(1, self._counts))[parts]  # what a value counts for in the mean of its part

    def sums(self, values: np.ndarray) -> _RowSums:
        """Return what units add to the errors of means, see `Parted`."""
        values = values if self._all_known else np.where(self._known, values, 0)
        totals = values.sum(axis=0, dtype=np.float64)
        means = (self._of_parts(totals) / np.maximum(1, self._counts))[self._parts]
        units, squares, cubes = np.zeros(len(self._rows)), np.zeros(len(means)), np.zeros(len(means))
        for repeat, (each, where) in enumerate(zip(values, self._known, strict=True)):
            off = (each - means) * self._shares
            if not self._all_known:
                off[~where] = 0.0
            units[self._receivers] += off
            if self._givers:
                units += np.bincount(self._givers[repeat], weights=off, minlength=len(units))
                squared = np.square(off)
                squares += squared
                cubes += squared * off
        of_units = csr_array((units, self._rows, self._ends), shape=(self._n_parts, len(means)))
        return _RowSums(of_units, self._counts, self._of_parts(squares), self._of_parts(cubes))

    def count_units(self) -> list[int]:
        """Return how many rows of each part have a value that is known."""
        return [int(count) for count in self._of_parts(np.any(self._known, axis=0))]

    def values_of_unit(self, part: int) -> float:
        """Return in how many values a row may show, for each repeat."""
        return self._dependence.values_of_unit

    def _of_parts(self, of_rows: np.ndarray) -> np.ndarray:
        return np.bincount(self._parts, weights=of_rows, minlength=self._n_parts)


@dataclass(frozen=True)
class _RowSums:
    """What rows add, part by part.

    Attributes
    ----------
    units : sparse array of shape (n_parts, n_rows)
        What each row adds to a part with all that it has in it.
    counts, squares, cubes : ndarray of shape (n_parts,)
        Values that are known, and sums over the values that are in two units at once, see `variance.UnitSums`.
    """

    units: csr_array
    counts: np.ndarray
    squares: np.ndarray
    cubes: np.ndarray

    def moments(self) -> list[ErrorMoments]:
        """Return how the mean of each part errs."""
        units = self.units.data
        second, third = self._second, self._of_parts(np.square(units) * units) - self.cubes
        sides = beyond_the_largest_of_parts(units, self.units.indptr, np.maximum(second, self.squares))
        told = zip(second.tolist(), self.squares.tolist(), third.tolist(), sides, self.counts.tolist(), strict=True)
        return [ErrorMoments(*moments) if count else UNKNOWN for *moments, count in told]

    def variances(self) -> list[ErrorMoments]:
        """Return how the mean of each part errs, without what tells of skewness."""
        told = zip(self._second.tolist(), self.squares.tolist(), self.counts.tolist(), strict=True)
        return [ErrorMoments(second, of_pairs, 0.0) if count else UNKNOWN for second, of_pairs, count in told]

    def correlations(self) -> np.ndarray:
        """Return the correlations of the errors: each row adds to its own part, and as a donor to others."""
        return as_correlations((self.units @ self.units.T).toarray(), self.squares)

    @property
    def _second(self) -> np.ndarray:
        return self._of_parts(np.square(self.units.data)) - self.squares

    def _of_parts(self, of_units: np.ndarray) -> np.ndarray:
        """Return sums over each part; one after the other, which is three times as fast as counting bins."""
        each = csr_array((of_units, self.units.indices, self.units.indptr), shape=self.units.shape)
        return np.asarray(each @ np.ones(self.units.shape[1]))


class _Each:
    """Strata, or other units of which all parts in one go would not be simpler: one part after the other."""

    def __init__(self, dependence: KnownDependence, parts: np.ndarray, n_parts: int, known: np.ndarray) -> None:
        self.dependence, self.parts, self.known = dependence, parts, known
        rows = [np.flatnonzero(parts == number) for number in range(n_parts)]
        self._used, self._dependences = zip(*(dependence.among(each) for each in rows), strict=True)
        own = (np.isin(used, each, assume_unique=True) for used, each in zip(self._used, rows, strict=True))
        self._own = [known[:, used] & of_part for used, of_part in zip(self._used, own, strict=True)]
        self.n_used = np.array([len(used) for used in self._used])

    def sums(self, values: np.ndarray) -> _EachSums:
        """Return what units add to the errors of means, see `Parted`."""
        return _EachSums(self, values)

    def count_units(self) -> list[int]:
        """Return as how many units the rows of each part count."""
        return [each.count_units(own) for each, own in zip(self._dependences, self._own, strict=True)]

    def values_of_unit(self, part: int) -> float:
        """Return in how many values of a part a unit may show, for each repeat."""
        return self._dependences[part].values_of_unit

    def moments(self, values: np.ndarray) -> list[ErrorMoments]:
        """Return how the mean of each part errs."""
        of_parts = zip(self._dependences, self._used, self._own, strict=True)
        return [each.moments(values[:, used], own) for each, used, own in of_parts]

    def correlations(self, values: np.ndarray) -> np.ndarray:
        """Return the worst that can be: how much of what a stratum lies off two parts have in common is not told."""
        n_parts = len(self.n_used)
        return np.full((n_parts, n_parts), -1.0)


class _Clusters(_Each):
    """Clusters of rows, which may lie across parts."""

    dependence: Exchange

    def correlations(self, values: np.ndarray) -> np.ndarray:
        """Return the correlations of the errors: each cluster adds to the parts that its rows are of or give to."""
        units, alone = [], []
        for number in range(len(self.n_used)):
            own = self.known & (self.parts == number)
            n_own = max(1, np.count_nonzero(own))
            off = np.where(own, values - values[own].sum(dtype=np.float64) / n_own, 0.0) / n_own
            found = self.dependence.sums(off)
            units.append(found.units)
            alone.append(found.squares)
        of_parts = np.stack(units)
        return as_correlations(of_parts @ of_parts.T, np.array(alone))


@dataclass(frozen=True)
class _EachSums:
    parted: _Each
    values: np.ndarray

    def moments(self) -> list[ErrorMoments]:
        """Return how the mean of each part errs."""
        return self.parted.moments(self.values)

    def variances(self) -> list[ErrorMoments]:
        """Return how the mean of each part errs."""
        return self.moments()

    def correlations(self) -> np.ndarray:
        """Return the correlations of these errors."""
        return self.parted.correlations(self.values)
