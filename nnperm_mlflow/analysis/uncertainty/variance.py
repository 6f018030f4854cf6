"""How much a mean varies over rows that receive values from each other, or belong together.

Each row receives a value and gives one, in each repeat, and the rows of a cluster are alike. So neither rows nor
repeats are independent of each other: what counts for the variance is, of each unit (a row, or a cluster of rows), all
that it has a part in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from nnperm_mlflow.analysis.statistics.sums import sum_of_products
from nnperm_mlflow.analysis.uncertainty.error_moments import UNKNOWN, ErrorMoments, beyond_the_largest


class Dependence(Protocol):
    """Which rows have to do with each other, and so how a mean errs."""

    @property
    def values_of_unit(self) -> float:
        """In how many values a unit may show, for each repeat: those of its rows, and of the rows that they give to."""

    def moments(self, values: np.ndarray, known: np.ndarray) -> ErrorMoments:
        """Return how the mean of some values errs.

        Parameters
        ----------
        values : ndarray of shape (n_repeats, n_rows)
            Numbers or booleans, of rows with all of their donors. Not modified.
        known : ndarray of shape (n_repeats, n_rows), bool
            Which of them the mean is of.

        Returns
        -------
        ErrorMoments
            `UNKNOWN` where no value is known.
        """

    def count_units(self, known: np.ndarray) -> int:
        """Return how many rows have a value that is known, or as how many clusters they count, see `count_clusters`.

        `known` has the shape (n_repeats, n_rows).
        """


class KnownDependence(Dependence, Protocol):
    """One of which it is known who receives from whom."""

    def among(self, rows: np.ndarray) -> tuple[np.ndarray, KnownDependence]:
        """Return what has to do with the values of some rows: these and their donors.

        Parameters
        ----------
        rows : ndarray of int
            Positions of the rows, ascending.

        Returns
        -------
        used : ndarray of int
            Positions of all that are left, ascending.
        KnownDependence
            Of these. A row that is not among `rows` is its own donor there: no value of it is to be known.
        """


@dataclass(frozen=True)
class UnitSums:
    """What units add to the error of a mean.

    Attributes
    ----------
    units : ndarray of shape (n_units,)
        What each row, or cluster, adds with all that it has a part in.
    squares, cubes : float
        Sums over the values that are in two units at once, a receiver and a donor.
    """

    units: np.ndarray
    squares: float
    cubes: float

    def moments(self) -> ErrorMoments:
        """Return how the mean errs."""
        of_units = sum_of_products(self.units, self.units)
        third = sum_of_products(np.square(self.units), self.units) - self.cubes
        second = of_units - self.squares
        beyond = beyond_the_largest(self.units, max(second, self.squares))
        return ErrorMoments(second, self.squares, third, beyond)


@dataclass(frozen=True)
class Exchange:
    """Rows that receive from each other, whichever they are, or from none; and clusters of rows.

    Attributes
    ----------
    donors : sequence of ndarray of shape (n_rows,), int, or None
        For each repeat the position of each row's donor; None where rows receive nothing from each other.
    clusters : ndarray of shape (n_rows,), int, or None
        Number of each row's cluster, from 0; None where each row stands for itself.
    """

    donors: Sequence[np.ndarray] | None = None
    clusters: np.ndarray | None = None

    def moments(self, values: np.ndarray, known: np.ndarray) -> ErrorMoments:
        """Return how the mean of some values errs, see `Dependence`.

        A mean over pairs errs by what a row adds as a receiver and as a donor (Hoeffding, 1948), and by what only the
        pair has, which fades with the repeats. The sum of a row's two parts holds each pair twice; one of the two is
        taken off. Where rows are left out the mean is a ratio, so that each value adds by how much it lies off the
        mean, and a row that is left out adds nothing. What the rows of a cluster add is summed up, and so is what two
        clusters have between them, in all repeats (Aronow, Samii and Assenova, 2015).
        """
        n_known = int(np.count_nonzero(known))
        if n_known == 0:
            return UNKNOWN
        return self.sums(what_values_add(values, known, n_known)).moments()

    def sums(self, parts: Iterable[np.ndarray]) -> UnitSums:
        """Return what each unit adds to the error of a mean, from what the values of each repeat add."""
        if self.clusters is None:
            return self._of_rows(parts)
        return self._of_clusters(np.stack(list(parts)), self.clusters)

    def count_units(self, known: np.ndarray) -> int:
        """Return how many rows have a value that is known, or as how many clusters they count."""
        rows = known.any(axis=0)
        return int(np.count_nonzero(rows)) if self.clusters is None else count_clusters(self.clusters[rows])

    def among(self, rows: np.ndarray) -> tuple[np.ndarray, Exchange]:
        """Return what has to do with the values of some rows, see `KnownDependence`."""
        used, donors = rows_with_donors(rows, self.donors or ())
        clusters = None if self.clusters is None else np.unique(self.clusters[used], return_inverse=True)[1]
        return used, Exchange(donors or None, clusters)

    @property
    def values_of_unit(self) -> float:
        """In how many values a row, or a cluster of middling size, may show, for each repeat."""
        return (1 if self.donors is None else 2) * rows_of_cluster(self.clusters)

    def _of_rows(self, parts: Iterable[np.ndarray]) -> UnitSums:
        """Return what rows add that stand for themselves, from what the values of each repeat add."""
        units, squares, cubes = np.zeros(1), 0.0, 0.0
        for repeat, off in enumerate(parts):
            units = units + off
            if self.donors is not None:
                units += np.bincount(self.donors[repeat], weights=off, minlength=len(off))
                squares += sum_of_products(off, off)
                cubes += sum_of_products(np.square(off), off)
        return UnitSums(units, squares, cubes)

    def _of_clusters(self, off: np.ndarray, clusters: np.ndarray) -> UnitSums:
        """Return what clusters add, from what the value of each row in each repeat adds."""
        n_clusters = int(clusters.max()) + 1
        units = np.bincount(clusters, weights=off.sum(axis=0), minlength=n_clusters)
        few = math.sqrt(n_clusters / max(1, n_clusters - 1))  # the mean that they lie off was found from them
        if self.donors is None:
            return UnitSums(few * units, 0.0, 0.0)
        for each, donors in zip(off, self.donors, strict=True):
            units += np.bincount(clusters[donors], weights=each, minlength=n_clusters)
        numbers, within = self._pairs
        pairs = np.bincount(numbers, weights=off.ravel(), minlength=len(within))
        inside = within >= 0
        units[within[inside]] -= pairs[inside]  # a cluster has these both as a receiver and as a donor
        apart = few * pairs[~inside]
        return UnitSums(few * units, sum_of_products(apart, apart), sum_of_products(np.square(apart), apart))

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The number of each value's two clusters, repeat by repeat; for each number the cluster, or -1 for two."""
        clusters = np.asarray(self.clusters, dtype=np.int64)
        given = np.stack([clusters[donors] for donors in self.donors or ()])
        keys = np.minimum(clusters, given) * (clusters.max() + 1) + np.maximum(clusters, given)
        found, numbers = np.unique(keys, return_inverse=True)
        low, high = np.divmod(found, clusters.max() + 1)
        return numbers.ravel(), np.where(low == high, low, -1)


def rows_with_donors(rows: np.ndarray, donors: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the positions of rows and their donors, ascending, and for each repeat the donors among these.

    A donor that is not among the rows is its own.

    >>> rows_with_donors(np.array([0, 3]), [np.array([2, 3, 1, 0])])
    (array([0, 2, 3]), [array([1, 1, 0])])
    """
    if not donors:
        return rows, []
    used = np.zeros(len(donors[0]), dtype=bool)
    used[rows] = True
    for each in donors:
        used[each[rows]] = True
    (positions,) = np.nonzero(used)
    place = np.cumsum(used) - 1
    own = np.arange(len(positions))
    among = [own.copy() for _ in donors]
    for each, found in zip(donors, among, strict=True):
        found[place[rows]] = place[each[rows]]
    return positions, among


def rows_of_cluster(clusters: np.ndarray | None) -> float:
    """Return how many rows a cluster has, as its rows see it: the mean over rows; 1 without clusters."""
    if clusters is None:
        return 1.0
    sizes = np.bincount(clusters).astype(np.float64)
    return sum_of_products(sizes, sizes) / float(sizes.sum())


def count_clusters(clusters: np.ndarray) -> int:
    """Return as how many clusters of equal size the clusters of some rows count.

    Where one holds most of the rows, a mean is that of this one, and the others do not tell how it errs. So clusters
    count by the square of the sum of their sizes over the sum of the squares (Kish, 1965).

    Parameters
    ----------
    clusters : ndarray of shape (n_rows,), int
        Number of each row's cluster.

    Examples
    --------
    >>> count_clusters(np.repeat(np.arange(100), 12))
    100
    >>> count_clusters(np.array([0] * 360 + list(range(1, 41))))
    1
    """
    return round(len(clusters) / rows_of_cluster(clusters)) if len(clusters) else 0


def what_values_add(values: np.ndarray, known: np.ndarray, n_known: int) -> Iterable[np.ndarray]:
    """Yield for each repeat what its values add to the error of the mean of so many."""
    mean = float((values if n_known == values.size else values[known]).sum(dtype=np.float64)) / n_known
    for each, where in zip(values, known, strict=True):
        off = np.subtract(each, mean, dtype=np.float64)
        if n_known < values.size:
            off[~where] = 0
        off /= n_known
        yield off
