"""Which features go together: how far the value of one tells that of another, and the groups that this makes.

Features that go together share their effect, so that a shuffle of one alone says little of either.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, combinations_with_replacement, count

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

FEWEST_ROWS = 3
"""Rows complete in both features below which nothing is said of a pair: any two rows lie on a line."""

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


def associate(columns: Mapping[str, np.ndarray], categories: Collection[str]) -> list[Association]:
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
    list of Association
        One for each pair, in the order of `columns`. 0 where a feature is constant, or fewer than `FEWEST_ROWS` rows
        are complete.

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
    correlations = _rank_correlations(numbers)
    found = []
    for first, second in combinations(columns, 2):
        if first in codes and second in codes:
            measure, value = "cramers_v", _cramers_v(codes[first], codes[second])
        elif first in codes:
            measure, value = "correlation_ratio", _correlation_ratio(codes[first], numbers[second])
        elif second in codes:
            measure, value = "correlation_ratio", _correlation_ratio(codes[second], numbers[first])
        else:
            measure, value = "spearman", correlations[first, second]
        found.append(Association(first, second, measure, value))
    return found


def _rank_correlations(numbers: Mapping[str, np.ndarray]) -> dict[tuple[str, str], float]:
    """Return Spearman's correlation of all pairs, both ways round; columns that miss the same rows are done at once."""
    levels = {name: _levels(column) for name, column in numbers.items()}
    alike: dict[bytes, list[str]] = defaultdict(list)
    for name, column in levels.items():
        alike[(column >= 0).tobytes()].append(name)
    found: dict[tuple[str, str], float] = {}
    for ours, others in combinations_with_replacement(alike.values(), 2):
        rows = (levels[ours[0]] >= 0) & (levels[others[0]] >= 0)
        one = np.array([_centred_ranks(levels[name][rows]) for name in ours])
        other = one if ours is others else np.array([_centred_ranks(levels[name][rows]) for name in others])
        for name, correlations in zip(ours, _correlations(one, other).tolist(), strict=True):
            for other_name, correlation in zip(others, correlations, strict=True):
                found[name, other_name] = found[other_name, name] = correlation
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


def strong(associations: Sequence[Association], limit: float) -> list[Association]:
    """Return the associations whose value is `limit` or more, or as far below 0: strongest first, ties as given."""
    found = [association for association in associations if abs(association.value) >= limit]
    return sorted(found, key=lambda association: -abs(association.value))


def propose_groups(associations: Sequence[Association], names: Sequence[str], limit: float) -> dict[str, list[str]]:
    """Return groups of features that go together, for shuffles with one donor for the whole group.

    Two groups are joined as long as the mean association of the features of one with those of the other is `limit` or
    more (average linkage): a chain of features does not make a group of its two ends.

    Parameters
    ----------
    associations : sequence of Association
        Pairs that are not among them are not associated.
    names : sequence of str
        The features that may be in groups. Their order changes no group.
    limit : float
        Between 0 and 1.

    Returns
    -------
    dict of str to list of str
        For each group of two or more its features in the order of `names`; groups are in the order of their first
        feature. No group is called as another one or as a feature.

    Examples
    --------
    >>> pairs = [Association("PAY", "LIMIT", "spearman", 0.2), Association("PAY", "BILL", "spearman", -0.9)]
    >>> propose_groups(pairs, ["LIMIT", "PAY", "BILL"], 0.7)
    {'PAY and BILL': ['PAY', 'BILL']}
    """
    groups: dict[str, list[str]] = {}
    for members in _clusters(associations, names, limit):
        if len(members) > 1:
            groups[_free_name(_joined(members), {*names, *groups})] = members
    return groups


def _clusters(associations: Sequence[Association], names: Sequence[str], limit: float) -> list[list[str]]:
    """Return the features of each cluster in the order of `names`."""
    if len(names) < 2:
        return []
    position = {name: place for place, name in enumerate(sorted(names))}  # ties are then joined in one way only
    distances = 1 - np.eye(len(names))
    for pair in associations:
        if pair.first in position and pair.second in position:
            one, other = position[pair.first], position[pair.second]
            distances[one, other] = distances[other, one] = 1 - abs(pair.value)
    labels = fcluster(linkage(squareform(distances), "average"), 1 - limit + _ROUNDING, "distance")
    clusters = defaultdict(list)
    for name in names:
        clusters[labels[position[name]]].append(name)
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
