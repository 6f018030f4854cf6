"""What a scorer says of some rows, and how sure that is: what each row, or cluster, adds to the error of a score."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nnperm_mlflow.analysis.scores._score_influences import ScoreInfluence
from nnperm_mlflow.analysis.scores.own_score import SHARES, OwnScore
from nnperm_mlflow.analysis.scores.scorers import Scores
from nnperm_mlflow.analysis.statistics.sums import sum_of_products
from nnperm_mlflow.analysis.uncertainty.error_moments import ErrorMoments, beyond_the_largest
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS, share_ends
from nnperm_mlflow.analysis.uncertainty.skewness import errors_to_the_end, reaches
from nnperm_mlflow.analysis.uncertainty.variance import count_clusters
from nnperm_mlflow.basics.errors import ConfigError

_GROUP_ROWS = 20  # of a group at least, where there are enough rows for ten: what is told of it tells of none of them
_FEWEST_GROUPS, _MOST_GROUPS = 10, 100
_JACKKNIFE_GROUPS = 20  # that are left out in turn, where a score has to be computed without each
_FEWEST_ALIKE = 2.5  # groups of equal weight that would vary as much as those left out; of 20 normal ones about 7


@dataclass(frozen=True)
class Units:
    """What is drawn independently of each other: rows, or clusters of rows.

    Attributes
    ----------
    of_row : ndarray of shape (n_rows,), int64
        For each row the number of its unit.
    n_units : int
        Units of all rows of the data.
    group : ndarray of shape (n_rows,), int64
        For each row the number of the group that its unit is in.
    n_groups : int
    """

    of_row: np.ndarray
    n_units: int
    group: np.ndarray
    n_groups: int

    @classmethod
    def of(cls, n_rows: int, clusters: np.ndarray | None) -> Units:
        """Deal all rows, or whole clusters, into groups; by their numbers alone, so that it is the same for any model.

        Parameters
        ----------
        n_rows : int
            Of the data.
        clusters : ndarray of shape (n_rows,), int64, optional
        """
        every = np.arange(n_rows) if clusters is None else np.unique(clusters, return_inverse=True)[1]
        n_units = int(every.max(initial=-1)) + 1
        n_groups = max(_FEWEST_GROUPS, min(_MOST_GROUPS, n_units, n_rows // _GROUP_ROWS))
        places = np.argsort(np.argsort(np.random.Philox(key=0).random_raw(n_units), kind="stable"), kind="stable")
        return cls(every, n_units, (places * n_groups // max(1, n_units))[every], n_groups)

    def among(self, rows: np.ndarray) -> Units:
        """Return the units of some rows, by their positions among these, in the same groups."""
        return Units(self.of_row[rows], self.n_units, self.group[rows], self.n_groups)

    def count(self, among: np.ndarray) -> int:
        """Return as how many units the rows of a mask, of shape (n_rows,), count."""
        return count_clusters(_numbered(self.of_row[among]))

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of values over the rows of each unit that is scored."""
        return np.bincount(_numbered(self.of_row), weights=values)


def _numbered(units: np.ndarray) -> np.ndarray:
    """Return numbers from 0 for the units that are there, few of which may be those of some rows."""
    return np.unique(units, return_inverse=True)[1]


@dataclass(frozen=True)
class Scored:
    """What a scorer says of some rows.

    Attributes
    ----------
    score : OwnScore
        Its value is NaN where the score is not defined for these rows.
    n_units : int
        Rows, clusters or groups of rows, of the class that has fewest where each class counts alike, from which its
        interval is found; 0 without an interval.
    untold : str
        Why it has no interval, in words; "" where it has one.
    added : ndarray of shape (n_units_of_the_data,), or None
        What each unit adds to the error of the score, with sum 0; None where that is not known in closed form.
    """

    score: OwnScore
    n_units: int = 0
    untold: str = ""
    added: np.ndarray | None = None


def score_rows(scores: Scores, name: str, predictions: np.ndarray, rows: np.ndarray, every: Units) -> Scored:
    """Return what a scorer says of some rows, with its interval.

    Parameters
    ----------
    scores : Scores
    name : str
        Of the scorer.
    predictions : ndarray of shape (n_rows, n_outputs)
        Of all rows. Not modified.
    rows : ndarray of int
        Positions of those to be scored, whose predictions are finite.
    every : Units
        Of all rows.

    Raises
    ------
    ConfigError
        If the scorer cannot work with these predictions.
    """
    units = every.among(rows)
    value, n_scored = scores.score(name, predictions, rows), count_clusters(_numbered(units.of_row))
    if n_scored < FEWEST_ROWS:
        untold = f"they count as {n_scored} rows, or clusters of them: below {FEWEST_ROWS}"
        return Scored(OwnScore(value, rows=len(rows)), untold=untold)
    influence = scores.influence(name, predictions, rows)
    if influence is None:
        return _by_leaving_out(scores, name, predictions, rows, units, value=value)
    n_decisive = units.count(influence.decisive)
    step = influence.doubt / n_decisive
    if name in SHARES:
        low, high = _share_ends(value, influence, units, step, n_decisive)
    else:
        low, high = _mean_ends(value, units.sums(influence.values) / len(rows))
    of_groups, of_units = (
        np.bincount(of, weights=influence.values, minlength=n) / len(rows)
        for of, n in ((units.group, units.n_groups), (units.of_row, units.n_units))
    )
    step = step if influence.counts else 0.0
    return Scored(OwnScore(value, low, high, len(rows), tuple(of_groups.tolist()), step), n_decisive, added=of_units)


def _share_ends(
    value: float, influence: ScoreInfluence, units: Units, step: float, n_decisive: int
) -> tuple[float, float]:
    """Return Wilson's interval of a share, for as many independent rows as would tell as much.

    Where nearly all is as it should be, what is not hardly shows. So one more row (or cluster) than was seen is taken
    to be otherwise, of those that are decisive.
    """
    sums = units.sums(influence.values) / len(influence.values)
    unbiased = 1.0 if len(sums) == len(influence.values) else len(sums) / (len(sums) - 1)
    variance = unbiased * sum_of_products(sums, sums)
    alike = (value * (1 - value) + step) / (variance + step**2)
    return share_ends(value, alike, errors_to_the_end(n_decisive))


def _mean_ends(value: float, parts: np.ndarray) -> tuple[float, float]:
    """Return the interval of a mean, from what each unit adds to its error; with sum 0, of shape (n_units,)."""
    n_units = len(parts)
    variance = n_units / (n_units - 1) * sum_of_products(parts, parts)
    moments = ErrorMoments(variance, 0.0, float((parts**3).sum()), beyond_the_largest(parts, variance))
    below, above = reaches(moments, n_units)
    return value - below, value + above


def _by_leaving_out(
    scores: Scores, name: str, predictions: np.ndarray, rows: np.ndarray, units: Units, *, value: float
) -> Scored:
    """Return a score whose interval stands on its values without each of some groups of rows.

    Where few rows make a score, as a largest error, or a share of hits that hardly occur, only one or two groups vary,
    or none, and nobody can tell.
    """
    n_groups = min(_JACKKNIFE_GROUPS, units.n_groups)
    group = units.group * n_groups // units.n_groups
    try:
        without = np.array([scores.score(name, predictions, rows[group != number]) for number in range(n_groups)])
    except ConfigError:
        return Scored(OwnScore(value, rows=len(rows)), untold="it is not defined without some of the rows")
    parts = (n_groups - 1) / n_groups * (without.mean() - without)
    if sum_of_products(parts, parts) ** 2 <= _FEWEST_ALIKE * float((parts**4).sum()):
        untold = "few rows make it, and the others do not tell how sure it is"
        return Scored(OwnScore(value, rows=len(rows)), untold=untold)
    reach = errors_to_the_end(n_groups) * math.sqrt(n_groups / (n_groups - 1) * sum_of_products(parts, parts))
    return Scored(OwnScore(value, value - reach, value + reach, len(rows), tuple(parts.tolist())), n_groups)
