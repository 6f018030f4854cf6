"""The scores of the undisturbed predictions, each with the interval in which it lies for all rows there might be."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from nnperm_mlflow.analysis.scores._guessing import BY_CHANCE, guess_of
from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.scores.score_intervals import Units, score_rows
from nnperm_mlflow.analysis.scores.scorers import Scores

logger = logging.getLogger(__name__)


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
    units = Units.of(len(predictions), clusters)
    found = {name: score_rows(scores, name, predictions, rows, units) for name in scores.names}
    for name, told in found.items():
        if told.untold:
            logger.warning("'%s' of the model itself has no interval: %s", name, told.untold)
    return {name: _beside_a_guess(told.score, name, scores.labels(name, rows)) for name, told in found.items()}


def _beside_a_guess(score: OwnScore, name: str, labels: np.ndarray) -> OwnScore:
    """Return a score with what guessing comes to.

    Where that is known beforehand, the model has to be surely better; where it is the best for these labels, it has to
    be better on them.
    """
    guess = guess_of(name, labels)
    worst = score.low if name in BY_CHANCE and score.has_interval else score.value
    return replace(score, guess=guess, no_better=worst <= guess)
