"""What each row adds to the error of a score, for scores of which that is known in closed form.

A score S of n rows errs by the mean of its influence values: S - true score = mean of v + a rest that fades faster. For
a mean of losses v is how far a row's loss lies off it; for the area under the ROC curve v is how far a row's placement
among the rows of the other class lies off it (DeLong, DeLong and Clarke-Pearson, 1988).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from nnperm_mlflow.analysis.scores._stand_ins import StandIn


@dataclass(frozen=True)
class ScoreInfluence:
    """How a score follows from rows.

    Attributes
    ----------
    values : ndarray of shape (n_rows,)
        With mean 0; the variance of the score is that of their mean.
    decisive : ndarray of shape (n_rows,), bool
        The rows of the class that has fewest, where each class counts alike; else all rows.
    doubt : float
        By how much the mean of the decisive rows could be off by one row more than was seen, times their number; 0 for
        what is no share.
    counts : bool
        Whether it counts decisions, which are the same in most rows for two models that are alike.
    """

    values: np.ndarray
    decisive: np.ndarray
    doubt: float = 0.0
    counts: bool = False


def influence_of(name: str, stand_in: StandIn, predictions: np.ndarray, labels: np.ndarray) -> ScoreInfluence | None:
    """Return what each row adds to the error of a score; None where that is not known in closed form.

    Parameters
    ----------
    name : str
        Of the scorer, as scikit-learn lists it.
    stand_in : StandIn
        Makes of predictions what the scorer takes.
    predictions : ndarray of shape (n_rows, n_outputs), float64
    labels : ndarray of shape (n_rows,)
        Numbers of classes, or numbers.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson, "Comparing the Areas under Two or More Correlated Receiver Operating
    Characteristic Curves", Biometrics, 1988.
    """
    if labels.ndim > 1 or len(labels) < 2 or name not in _INFLUENCES:
        return None
    return _INFLUENCES[name](stand_in, predictions, labels)


def _of_area(stand_in: StandIn, predictions: np.ndarray, labels: np.ndarray) -> ScoreInfluence | None:
    """Return the influences on the area under the ROC curve of one class against the other, by placements."""
    if stand_in.n_classes != 2:
        return None
    ranked = stand_in.evidence(predictions)
    ranks, positive = rankdata(ranked), labels == 1
    values, sizes = np.empty(len(labels)), {side: int(np.count_nonzero(positive == side)) for side in (False, True)}
    for side in (False, True):
        own = positive == side
        below = (ranks[own] - rankdata(ranked[own])) / sizes[not side]
        placements = below if side else 1 - below
        values[own] = (placements - placements.mean()) * _unbiased(sizes[side]) * len(labels) / sizes[side]
    rarest = min(sizes, key=sizes.__getitem__)
    return ScoreInfluence(values, positive == rarest, doubt=0.5)  # one that is placed by chance


def _unbiased(n_rows: int) -> float:
    """Return what a class's values are multiplied by for its variance to be without bias."""
    return float(np.sqrt(n_rows / max(1, n_rows - 1)))


def _of_accuracy(stand_in: StandIn, predictions: np.ndarray, labels: np.ndarray) -> ScoreInfluence:
    right = (stand_in.predict(predictions) == labels).astype(float)
    every = np.ones(len(labels), dtype=bool)
    return ScoreInfluence(right - right.mean(), every, doubt=1.0, counts=True)


def _of_balanced_accuracy(stand_in: StandIn, predictions: np.ndarray, labels: np.ndarray) -> ScoreInfluence:
    right = (stand_in.predict(predictions) == labels).astype(float)
    there, sizes = np.unique(labels, return_counts=True)
    values = np.empty(len(labels))
    for label, size in zip(there, sizes, strict=True):
        own = labels == label
        values[own] = (right[own] - right[own].mean()) * len(labels) / size / len(there)
    rarest = labels == there[sizes.argmin()]
    return ScoreInfluence(values, rarest, doubt=1 / len(there), counts=True)


def _of_log_loss(stand_in: StandIn, predictions: np.ndarray, labels: np.ndarray) -> ScoreInfluence:
    smallest = np.finfo(np.float64).eps
    probabilities = np.clip(stand_in.predict_proba(predictions), smallest, 1 - smallest)
    return _of_mean(np.log(probabilities[np.arange(len(labels)), labels]))


def _of_brier_score(stand_in: StandIn, predictions: np.ndarray, labels: np.ndarray) -> ScoreInfluence:
    off = stand_in.predict_proba(predictions).copy()
    off[np.arange(len(labels)), labels] -= 1
    return _of_mean(-np.square(off).sum(axis=1) / (2 if stand_in.n_classes == 2 else 1))


def _of_squared_error(stand_in: StandIn, predictions: np.ndarray, labels: np.ndarray) -> ScoreInfluence:
    return _of_mean(-np.square(stand_in.predict(predictions) - labels))


def _of_root_squared_error(stand_in: StandIn, predictions: np.ndarray, labels: np.ndarray) -> ScoreInfluence | None:
    squares = np.square(stand_in.predict(predictions) - labels)
    root = float(np.sqrt(squares.mean()))
    return _of_mean(-squares / (2 * root)) if root > 0 else None


def _of_absolute_error(stand_in: StandIn, predictions: np.ndarray, labels: np.ndarray) -> ScoreInfluence:
    return _of_mean(-np.abs(stand_in.predict(predictions) - labels))


def _of_explained_share(stand_in: StandIn, predictions: np.ndarray, labels: np.ndarray) -> ScoreInfluence | None:
    """Return the influences on R2, a ratio: 1 less the mean squared error over the variance of the labels."""
    squares, spread = np.square(stand_in.predict(predictions) - labels), np.square(labels - labels.mean())
    if spread.mean() == 0:
        return None
    return _of_mean(-(squares - squares.mean() / spread.mean() * spread) / spread.mean())


def _of_mean(values: np.ndarray) -> ScoreInfluence:
    return ScoreInfluence(values - values.mean(), np.ones(len(values), dtype=bool))


_INFLUENCES: dict[str, Callable[[StandIn, np.ndarray, np.ndarray], ScoreInfluence | None]] = {
    "roc_auc": _of_area,
    "accuracy": _of_accuracy,
    "balanced_accuracy": _of_balanced_accuracy,
    "neg_log_loss": _of_log_loss,
    "neg_brier_score": _of_brier_score,
    "neg_mean_squared_error": _of_squared_error,
    "neg_root_mean_squared_error": _of_root_squared_error,
    "neg_mean_absolute_error": _of_absolute_error,
    "r2": _of_explained_share,
}
"""For the name of each scorer."""
