"""What a score comes to without a model: the best that the same prediction for every row can do."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

BY_CHANCE = ("roc_auc", "balanced_accuracy", "r2")
"""Scores that guessing brings to a number known beforehand, whatever the labels."""


def guess_of(name: str, labels: np.ndarray) -> float:
    """Return the score of the best guess that is the same for all rows; NaN for a score of which it is not known.

    Parameters
    ----------
    name : str
        Of the scorer, as scikit-learn lists it.
    labels : ndarray of shape (n_rows,)
        Numbers of classes, or numbers.

    Examples
    --------
    >>> guess_of("accuracy", np.array([0, 0, 0, 1])), guess_of("roc_auc", np.array([0, 0, 0, 1]))
    (0.75, 0.5)
    """
    return float(_GUESSES[name](labels)) if name in _GUESSES and labels.ndim == 1 else math.nan


def _shares(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_counts=True)[1] / len(labels)


def _brier_score(labels: np.ndarray) -> float:
    shares = _shares(labels)
    return -float(1 - shares @ shares) / (2 if len(shares) <= 2 else 1)


_GUESSES: dict[str, Callable[[np.ndarray], float]] = {
    "roc_auc": lambda labels: 0.5,
    "balanced_accuracy": lambda labels: 1 / len(_shares(labels)),
    "r2": lambda labels: 0.0,
    "accuracy": lambda labels: _shares(labels).max(),
    "neg_log_loss": lambda labels: _shares(labels) @ np.log(_shares(labels)),
    "neg_brier_score": _brier_score,
    "neg_mean_squared_error": lambda labels: -np.var(labels),
    "neg_root_mean_squared_error": lambda labels: -np.std(labels),
    "neg_mean_absolute_error": lambda labels: -np.abs(labels - np.median(labels)).mean(),
}
"""For the name of each scorer, of the labels: classes by their shares, numbers by mean or median."""
