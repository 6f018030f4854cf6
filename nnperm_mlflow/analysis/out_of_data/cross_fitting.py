"""How well a learner tells two kinds of rows apart, on rows that it was not fitted to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier

from nnperm_mlflow.analysis.uncertainty.skewness import errors_to_the_end

FEWEST_UNITS = 50
"""Rows with their twins below which nothing is told."""

_FOLDS, _TREES, _LEAF = 5, 50, 5


@dataclass(frozen=True)
class Separability:
    """An area under the ROC curve with its 95 % interval: 0.5 where nothing tells the two apart, 1 where all does.

    Attributes
    ----------
    value, low, high : float
        NaN where there are too few rows.
    """

    value: float
    low: float
    high: float


UNKNOWN = Separability(math.nan, math.nan, math.nan)


def separability(rows: np.ndarray, twins: np.ndarray) -> Separability:
    """Return how well a learner tells rows from their twins, row and twin always in one fold.

    Parameters
    ----------
    rows, twins : ndarray of shape (n_units, n_columns), float32
        What describes each row, and what describes the same row disturbed. Units are in random order and have no row in
        common, donors included.

    Returns
    -------
    Separability
        The mean over five folds of the area under the ROC curve of a forest that was fitted to the others. Its error is
        that of the units of each fold, as the placements of row and twin among the others tell it (DeLong, DeLong and
        Clarke-Pearson, 1988), with the forests as they are.

    References
    ----------
    Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017. Kim, Ramdas, Singh and Wasserman,
    "Classification Accuracy as a Proxy for Two-Sample Testing", Annals of Statistics, 2021.
    """
    n_units = len(rows)
    if n_units < FEWEST_UNITS:
        return UNKNOWN
    folds = np.arange(n_units) % _FOLDS
    areas, variances = [], []
    for fold in range(_FOLDS):
        inside, outside = folds == fold, folds != fold
        forest = RandomForestClassifier(_TREES, min_samples_leaf=_LEAF, random_state=0, n_jobs=1)
        n_fitted = np.count_nonzero(outside)
        forest.fit(np.concatenate([rows[outside], twins[outside]]), np.repeat([0, 1], n_fitted))
        before, after = (forest.predict_proba(each[inside])[:, 1] for each in (rows, twins))
        area, variance = _area(before, after)
        areas.append(area)
        variances.append(variance)
    value = float(np.mean(areas))
    reach = errors_to_the_end(n_units) * math.sqrt(sum(variances)) / _FOLDS
    return Separability(value, max(0.0, value - reach), min(1.0, value + reach))


def _area(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Return the area under the ROC curve of scores of rows and of their twins, and its variance over such pairs."""
    n_units = len(before)
    together = rankdata(np.concatenate([before, after]))
    above = (together[n_units:] - rankdata(after)) / n_units  # share of rows that a twin stands above
    below = 1 - (together[:n_units] - rankdata(before)) / n_units  # share of twins that a row stands below
    added = above + below
    return float(above.mean()), float(added.var(ddof=1)) / n_units
