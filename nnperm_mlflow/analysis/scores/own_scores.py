"""The scores of the undisturbed predictions, each with the interval in which it lies for all rows there might be."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace

import numpy as np

from nnperm_mlflow.analysis.scores._guessing import BY_CHANCE, guess_of
from nnperm_mlflow.analysis.scores._score_influences import ScoreInfluence
from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.scores.scorers import Scores
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS, share_ends
from nnperm_mlflow.analysis.uncertainty.skewness import errors_to_the_end, reaches
from nnperm_mlflow.analysis.uncertainty.variance import ErrorMoments, beyond_the_largest, count_clusters
from nnperm_mlflow.basics.errors import ConfigError

logger = logging.getLogger(__name__)

_GROUP_ROWS = 20  # of a group at least, where there are enough rows for ten: what is told of it tells of none of them
_FEWEST_GROUPS, _MOST_GROUPS = 10, 100
_JACKKNIFE_GROUPS = 20  # that are left out in turn, where a score has to be computed without each
_FEWEST_ALIKE = 2.5  # groups of equal weight that would vary as much as those left out; of 20 normal ones about 7


@dataclass(frozen=True)
class _Units:
    """What is drawn independently of each other: rows, or clusters of rows.

    Attributes
    ----------
    of_row : ndarray of shape (n_rows,), int64
        For each row that is scored the number of its unit.
    n_units : int
        Units of all rows, whether scored or not.
    group : ndarray of shape (n_rows,), int64
        For each row that is scored the number of the group that its unit is in.
    n_groups : int
    """

    of_row: np.ndarray
    n_units: int
    group: np.ndarray
    n_groups: int

    @classmethod
    def of(cls, rows: np.ndarray, n_rows: int, clusters: np.ndarray | None) -> _Units:
        """Deal all rows, or whole clusters, into groups; by their numbers alone, so that it is the same for any model.

        Parameters
        ----------
        rows : ndarray of int
            Positions of those that are scored.
        n_rows : int
            Of the data.
        clusters : ndarray of shape (n_rows,), int64, optional
        """
        every = np.arange(n_rows) if clusters is None else np.unique(clusters, return_inverse=True)[1]
        n_units = int(every.max(initial=-1)) + 1
        n_groups = max(_FEWEST_GROUPS, min(_MOST_GROUPS, n_units, n_rows // _GROUP_ROWS))
        places = np.argsort(np.argsort(np.random.Philox(key=0).random_raw(n_units), kind="stable"), kind="stable")
        return cls(every[rows], n_units, (places * n_groups // max(1, n_units))[every[rows]], n_groups)

    def count(self, among: np.ndarray) -> int:
        """Return as how many units the rows of a mask, of shape (n_rows,), count."""
        return count_clusters(self.of_row[among])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sum of values over the rows of each unit that is scored."""
        return np.bincount(np.unique(self.of_row, return_inverse=True)[1], weights=values)


def own_scores(scores: Scores, predictions: np.ndarray, clusters: np.ndarray | None = None) -> dict[str, OwnScore]:
    """Return every scorer's value for predictions as they are, with its interval.

    Where it is known in closed form what each row adds to the error of a score, shares (accuracy, balanced accuracy,
    the area under the ROC curve) have Wilson's interval for the number of independent rows that would tell as much,
    other scores one that is corrected for the skewness of their rows (Hall, 1992). Any other score is computed without
    each of 20 groups of rows (Kott, 2001).

    Parameters
    ----------
    scores : Scores
    predictions : ndarray of shape (n_rows, n_outputs)
        Of all rows; those that are not finite are left out. Not modified.
    clusters : ndarray of shape (n_rows,), int64, optional
        Which rows belong together; clusters are then the sample.

    Returns
    -------
    dict of str to OwnScore

    Raises
    ------
    ConfigError
        If a scorer cannot work with these predictions.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, Biometrics, 1988; with clusters Obuchowski, "Nonparametric Analysis of Clustered
    ROC Curve Data", Biometrics, 1997. Hall, "On the Removal of Skewness by Transformation", Journal of the Royal
    Statistical Society B, 1992.
    """
    rows = np.flatnonzero(np.isfinite(predictions).all(axis=1))
    units = _Units.of(rows, len(predictions), clusters)
    found = {name: _own_score(scores, name, predictions, rows, units) for name in scores.names}
    return {name: _beside_a_guess(score, name, scores.labels(name, rows)) for name, score in found.items()}


def _beside_a_guess(score: OwnScore, name: str, labels: np.ndarray) -> OwnScore:
    """Return a score with what guessing comes to.

    Where that is known beforehand, the model has to be surely better; where it is the best for these labels, it has to
    be better on them.
    """
    guess = guess_of(name, labels)
    worst = score.low if name in BY_CHANCE and score.has_interval else score.value
    return replace(score, guess=guess, no_better=worst <= guess)


def _own_score(scores: Scores, name: str, predictions: np.ndarray, rows: np.ndarray, units: _Units) -> OwnScore:
    value, n_scored = scores.score(name, predictions, rows), count_clusters(units.of_row)
    if n_scored < FEWEST_ROWS:
        _tell_of_none(name, f"they count as {n_scored} rows, or clusters of them: below {FEWEST_ROWS}")
        return OwnScore(value, rows=len(rows))
    influence = scores.influence(name, predictions, rows)
    if influence is None:
        return _by_leaving_out(scores, name, predictions, rows, units, value=value)
    n_decisive = units.count(influence.decisive)
    step = influence.doubt / n_decisive
    if influence.is_share:
        low, high = _share_ends(value, influence, units, step, n_decisive)
    else:
        low, high = _mean_ends(value, units.sums(influence.values) / len(rows))
    parts = np.bincount(units.group, weights=influence.values, minlength=units.n_groups) / len(rows)
    return OwnScore(value, low, high, len(rows), tuple(parts.tolist()), step if influence.counts else 0.0)


def _tell_of_none(name: str, why: str) -> None:
    logger.warning("'%s' of the model itself has no interval: %s", name, why)


def _share_ends(
    value: float, influence: ScoreInfluence, units: _Units, step: float, n_decisive: int
) -> tuple[float, float]:
    """Return Wilson's interval of a share, for as many independent rows as would tell as much.

    Where nearly all is as it should be, what is not hardly shows. So one more row (or cluster) than was seen is taken
    to be otherwise, of those that are decisive.
    """
    sums = units.sums(influence.values) / len(influence.values)
    unbiased = 1.0 if len(sums) == len(influence.values) else len(sums) / (len(sums) - 1)
    variance = unbiased * float(sums @ sums)
    alike = (value * (1 - value) + step) / (variance + step**2)
    return share_ends(value, alike, errors_to_the_end(n_decisive))


def _mean_ends(value: float, parts: np.ndarray) -> tuple[float, float]:
    """Return the interval of a mean, from what each unit adds to its error; with sum 0, of shape (n_units,)."""
    n_units = len(parts)
    variance = n_units / (n_units - 1) * float(parts @ parts)
    moments = ErrorMoments(variance, 0.0, float((parts**3).sum()), beyond_the_largest(parts, variance))
    below, above = reaches(moments, n_units)
    return value - below, value + above


def _by_leaving_out(
    scores: Scores, name: str, predictions: np.ndarray, rows: np.ndarray, units: _Units, *, value: float
) -> OwnScore:
    """Return a score whose interval stands on its values without each of some groups of rows.

    Where few rows make a score, as a largest error, or a share of hits that hardly occur, only one or two groups vary,
    or none, and nobody can tell.
    """
    n_groups = min(_JACKKNIFE_GROUPS, units.n_groups)
    group = units.group * n_groups // units.n_groups
    try:
        without = np.array([scores.score(name, predictions, rows[group != number]) for number in range(n_groups)])
    except ConfigError:
        _tell_of_none(name, "it is not defined without some of the rows")
        return OwnScore(value, rows=len(rows))
    parts = (n_groups - 1) / n_groups * (without.mean() - without)
    if (parts @ parts) ** 2 <= _FEWEST_ALIKE * float((parts**4).sum()):
        _tell_of_none(name, "few rows make it, and the others do not tell how sure it is")
        return OwnScore(value, rows=len(rows))
    reach = errors_to_the_end(n_groups) * math.sqrt(n_groups / (n_groups - 1) * float(parts @ parts))
    return OwnScore(value, value - reach, value + reach, len(rows), tuple(parts.tolist()))
