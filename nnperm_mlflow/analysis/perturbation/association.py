"""Which features go together: how far the value of one tells that of another, and the groups that this makes.

Features that go together share their effect, so that a shuffle of one alone says little of either.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, combinations_with_replacement, count

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

FEWEST_ROWS = 3
"""Rows complete in both features below which nothing is said of a pair: any two rows lie on a line."""

_MEASURES = ("spearman", "correlation_ratio", "cramers_v")  # of none, one and both that are categories
_ROUNDING = 1e-12  # of distances that are averaged, which would part pairs that are exactly at the limit


@dataclass(frozen=True)
class Association:
    """How far two features go together.

    Attributes
    ----------
    first, second : str
        Names of the features.
    measure : {"spearman", "cramers_v", "correlation_ratio"}
        Of two numbers, of two categories, and of a number and a category.
    value : float
        0 where one tells nothing of the other. Spearman's is in [-1, 1], the others are in [0, 1].
    """

    first: str
    second: str
    measure: str
    value: float


@dataclass(frozen=True, eq=False)
class Associations:
    """How far each of some features goes with each other one.

    Iterating over them gives each pair once, in the order of `names`: of 1,500 features more than a million.

    Attributes
    ----------
    names : tuple of str
    categories : frozenset of str
        Features whose values are names.
    values : ndarray of shape (n_features, n_features)
        Symmetric; the diagonal has no meaning.
    """

    names: tuple[str, ...]
    categories: frozenset[str]
    values: np.ndarray

    def __iter__(self) -> Iterator[Association]:
        return (self.pair(*places) for places in combinations(range(len(self.names)), 2))

    def pair(self, one: int, other: int) -> Association:
        """Return the association of two features, by their positions."""
        first, second = self.names[one], self.names[other]
        measure = _MEASURES[(first in self.categories) + (second in self.categories)]
        return Association(first, second, measure, float(self.values[one, other]))

    def strong(self, limit: float) -> list[Association]:
        """Return the pairs whose value is `limit` or more, or as far below 0: strongest first, ties in order."""
        sizes = np.abs(self.values)
        places = np.argwhere(np.triu(sizes >= limit, 1))
        strongest = np.argsort(-sizes[tuple(places.T)], kind="stable")
        return [self.pair(*pair) for pair in places[strongest].tolist()]


def associate(columns: Mapping[str, np.ndarray], categories: Collection[str]) -> Associations:
    """Measure how far each feature goes with each other one.

    Parameters
    ----------
    columns : mapping of str to ndarray of shape (n_rows,)
        What each feature holds. None and NaN are missing, and so is infinity among numbers: a pair is told by the
        rows complete in both. Not modified.
    categories : collection of str
        Features whose values are names (codes, text, yes and no); all others are numbers.

    Returns
    -------
    Associations
        In the order of `columns`. 0 where a feature is constant, or fewer than `FEWEST_ROWS` rows are complete.

    Notes
    -----
    Numbers have Spearman's rank correlation, with average ranks for ties. Categories have Cramer's V as Bergsma
    corrects it: that of independent ones is near 0, however many names they have. A number and a category have the
    correlation ratio, the root of the share of the number's variance that lies between the categories. It is not
    corrected: of n rows, k names that say nothing of the number have a ratio of about the root of (k - 1) / (n - 1).

    References
    ----------
    W. Bergsma, "A bias-correction for Cramer's V and Tschuprow's T", 2013.

    Examples
    --------
    >>> columns = {"age": np.array([20, 30, 40]), "debt": np.array([9, 5, 1]), "area": np.array(["N", "S", "S"])}
    >>> for found in associate(columns, {"area"}):
    ...     print(found.first, found.second, found.measure, round(found.value, 3))
    age debt spearman -1.0
    age area correlation_ratio 0.866
    debt area correlation_ratio 0.866
    """
    codes = {name: pd.factorize(column)[0] for name, column in columns.items() if name in categories}
    numbers = {name: column.astype(np.float64) for name, column in columns.items() if name not in categories}
    place = {name: position for position, name in enumerate(columns)}
    values = np.zeros((len(columns), len(columns)))
    among_numbers = [place[name] for name in numbers]
    values[np.ix_(among_numbers, among_numbers)] = _rank_correlations([*numbers.values()])
    mixed = {(name, other): _correlation_ratio(codes[name], numbers[other]) for name in codes for other in numbers}
    named = {(one, other): _cramers_v(codes[one], codes[other]) for one, other in combinations(codes, 2)}
    for (one, other), value in (mixed | named).items():
        values[place[one], place[other]] = values[place[other], place[one]] = value
    return Associations(tuple(columns), frozenset(codes), values)


def _rank_correlations(numbers: Sequence[np.ndarray]) -> np.ndarray:
    """Return Spearman's correlation of all pairs; columns that miss the same rows are done at once."""
    levels = [_levels(column) for column in numbers]
    alike: dict[bytes, list[int]] = defaultdict(list)
    for place, column in enumerate(levels):
        alike[(column >= 0).tobytes()].append(place)
    found = np.zeros((len(numbers), len(numbers)))
    for ours, others in combinations_with_replacement(alike.values(), 2):
        rows = (levels[ours[0]] >= 0) & (levels[others[0]] >= 0)
        one = np.array([_centred_ranks(levels[place][rows]) for place in ours])
        other = one if ours is others else np.array([_centred_ranks(levels[place][rows]) for place in others])
        correlations = _correlations(one, other)
        found[np.ix_(ours, others)] = correlations
        found[np.ix_(others, ours)] = correlations.T
    return found


def _levels(column: np.ndarray) -> np.ndarray:
    """Return for each number how many smaller ones there are, equal ones counted once; -1 where it is missing."""
    return pd.factorize(np.where(np.isfinite(column), column, np.nan), sort=True)[0]


def _centred_ranks(levels: np.ndarray) -> np.ndarray:
    """Return average ranks less their mean; any rows are ranked by counting, since all were sorted once."""
    sizes = np.bincount(levels)
    return (np.cumsum(sizes) - (sizes + len(levels)) / 2)[levels]


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the correlation of each row of `one` with each of `other`, arrays (n_columns, n_rows) of mean 0.

    Sums of squared ranks are exact up to some 300,000 rows, so that the order of the columns changes no bit.
    """
    products, found = one @ other.T, np.zeros((len(one), len(other)))
    if one.shape[1] < FEWEST_ROWS:
        return found
    scale = np.sqrt(np.outer(np.square(one).sum(axis=1), np.square(other).sum(axis=1)))
    return np.clip(np.divide(products, scale, out=found, where=scale > 0), -1, 1)


def _cramers_v(one: np.ndarray, other: np.ndarray) -> float:
    """Return the corrected V of two categories, given by codes from 0, or -1 where missing."""
    complete = (one >= 0) & (other >= 0)
    one, other = one[complete], other[complete]
    n_rows = len(one)
    if n_rows < FEWEST_ROWS:
        return 0.0
    margins, other_margins = np.bincount(one), np.bincount(other)
    cells, names = pd.factorize(one * len(other_margins) + other)  # a table of all cells may not fit into memory
    products = margins[names // len(other_margins)] * other_margins[names % len(other_margins)]
    phi_squared = float(np.sum(np.bincount(cells) ** 2 / products)) - 1
    free, other_free = np.count_nonzero(margins) - 1, np.count_nonzero(other_margins) - 1
    excess = phi_squared - free * other_free / (n_rows - 1)
    most = min(size - size**2 / (n_rows - 1) for size in (free, other_free))
    return math.sqrt(excess / most) if excess > 0 and most > 0 else 0.0


def _correlation_ratio(codes: np.ndarray, numbers: np.ndarray) -> float:
    """Return the correlation ratio of numbers in a category, given by codes from 0, or -1 where missing."""
    complete = (codes >= 0) & np.isfinite(numbers)
    codes, numbers = codes[complete], numbers[complete]
    if len(codes) < FEWEST_ROWS or _is_constant(codes) or _is_constant(numbers):
        return 0.0
    numbers = numbers / np.abs(numbers).max()  # so that no square overflows, or vanishes
    sizes = np.bincount(codes)
    means = np.bincount(codes, numbers) / np.maximum(sizes, 1)
    between = float(np.sum(sizes * np.square(means - numbers.mean())))
    within = float(np.sum(np.square(numbers - means[codes])))
    return math.sqrt(between / (between + within))


def _is_constant(values: np.ndarray) -> bool:
    return bool((values == values[0]).all())


def propose_groups(associations: Associations, limit: float) -> dict[str, list[str]]:
    """Return groups of features that go together, for shuffles with one donor for the whole group.

    Two groups are joined as long as the mean association of the features of one with those of the other is `limit` or
    more (average linkage): a chain of features does not make a group of its two ends.

    Parameters
    ----------
    associations : Associations
        The order of their features changes no group.
    limit : float
        Between 0 and 1.

    Returns
    -------
    dict of str to list of str
        For each group of two or more its features in their order; groups are in the order of their first
        feature. No group is called as another one or as a feature.

    Examples
    --------
    >>> values = np.array([[1, 0.2, 0], [0.2, 1, -0.9], [0, -0.9, 1]])
    >>> propose_groups(Associations(("LIMIT", "PAY", "BILL"), frozenset(), values), 0.7)
    {'PAY and BILL': ['PAY', 'BILL']}
    """
    groups: dict[str, list[str]] = {}
    for members in _clusters(associations, limit):
        if len(members) > 1:
            groups[_free_name(_joined(members), {*associations.names, *groups})] = members
    return groups


def _clusters(associations: Associations, limit: float) -> list[list[str]]:
    """Return the features of each cluster in their order."""
    names = associations.names
    if len(names) < 2:
        return []
    by_name = sorted(range(len(names)), key=names.__getitem__)  # ties are then joined in one way only
    distances = 1 - np.abs(associations.values[np.ix_(by_name, by_name)])
    np.fill_diagonal(distances, 0)
    labels = np.empty(len(names), dtype=int)
    labels[by_name] = fcluster(linkage(squareform(distances), "average"), 1 - limit + _ROUNDING, "distance")
    clusters = defaultdict(list)
    for name, label in zip(names, labels.tolist(), strict=True):
        clusters[label].append(name)
    return list(clusters.values())


def _joined(members: Sequence[str]) -> str:
    """Return a legible name of a group of two or more.

    >>> _joined(["PAY", "BILL", "LIMIT"]), _joined(["PAY", "BILL", "LIMIT", "AGE"])
    ('PAY, BILL and LIMIT', 'PAY and 3 others')
    """
    if len(members) > 3:
        return f"{members[0]} and {len(members) - 1} others"
    return f"{', '.join(members[:-1])} and {members[-1]}"


def _free_name(name: str, taken: Collection[str]) -> str:
    """Return the name, numbered where it is taken."""
    numbered = (f"{name} ({number})" for number in count(2))
    return next(free for free in chain([name], numbered) if free not in taken)


Groups = Mapping[str, Sequence[str]]
"""For the name of each group its features."""
