"""How far one decision moves a score that counts decisions: what few flips leave unknown about its drop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from nnperm_mlflow.analysis.scores._stand_ins import Classifier
from nnperm_mlflow.analysis.scores.scorers import Scores
from nnperm_mlflow.basics.errors import ConfigError

_MOST_TRIED = 50
"""Pairs of class and decision, of which two classes make four at most."""


def decision_weight(scores: Scores, name: str, predictions: np.ndarray) -> float | None:
    """Return by how much a score changes at most for each share of the rows that is decided otherwise.

    That is 1 for the accuracy, and more where a few rows make much of the score. Rows are tried by class and decision,
    one of each, with the prediction of a row that is decided otherwise.

    Parameters
    ----------
    scores : Scores
    name : str
        Of the scorer.
    predictions : ndarray of shape (n_rows, n_outputs)
        Of the undisturbed rows; those that are not finite are left out. Not modified.

    Returns
    -------
    float or None
        None of a score that does not follow from decisions alone. NaN where all rows are decided alike, so that no row
        shows what another decision would do.
    """
    stand_in, rows = scores.stand_in(name), np.flatnonzero(np.isfinite(predictions).all(axis=1))
    if not isinstance(stand_in, Classifier) or not len(rows):
        return None
    try:
        decided = stand_in.predict(predictions[rows].astype(np.float64))
    except ValueError:  # nothing tells how it decides
        return None
    example = {decision: rows[np.argmax(decided == decision)] for decision in np.unique(decided).tolist()}
    alike = predictions.copy()
    alike[rows] = predictions[[example[decision] for decision in decided.tolist()]]
    try:
        whole = scores.score(name, predictions, rows)
        if scores.score(name, alike, rows) != whole:
            return None
        changes = [
            abs(scores.score(name, changed, rows) - whole)
            for changed in _with_one_otherwise(predictions, rows, decided, scores.labels(name, rows), example)
        ]
    except ConfigError:
        return math.nan
    return len(rows) * max(changes, default=math.nan)


def _with_one_otherwise(
    predictions: np.ndarray, rows: np.ndarray, decided: np.ndarray, labels: np.ndarray, example: Mapping[int, int]
) -> Iterator[np.ndarray]:
    """Yield predictions in which one row is decided otherwise, one of each class and decision, the rarest first."""
    pairs, counts = np.unique(np.stack([labels, decided], axis=1), axis=0, return_counts=True)
    for label, decision in pairs[np.argsort(counts, kind="stable")][:_MOST_TRIED].tolist():
        others = sorted(set(example) - {decision}, key=lambda other: other != label)
        if others:
            changed = predictions.copy()
            changed[rows[np.argmax((labels == label) & (decided == decision))]] = predictions[example[others[0]]]
            yield changed
