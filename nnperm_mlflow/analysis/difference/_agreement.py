"""How far two audits agree: on the order of the features, and in the number that differs most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from nnperm_mlflow.analysis.difference.influences import Errors
from nnperm_mlflow.analysis.uncertainty.families import family_reach
from nnperm_mlflow.analysis.uncertainty.intervals import REACH
from nnperm_mlflow.analysis.uncertainty.skewness import LEVEL

_FEWEST = 3  # two are in one order or in the other
_DRAWS = 2_000


@dataclass(frozen=True)
class Interval:
    """A number, and between which numbers it lies with 95 % confidence.

    Attributes
    ----------
    value, low, high : float
        NaN where there is none.
    """

    value: float
    low: float
    high: float


NOTHING = Interval(math.nan, math.nan, math.nan)


def rank_correlation(a: np.ndarray, b: np.ndarray, errors: Sequence[Errors]) -> Interval:
    """Return Spearman's correlation between what two audits say of the same features.

    Its interval comes from numbers drawn around those found, as far off and as much together as these may be. The drawn
    are less in order than those found, about as much as those found are less in order than the true ones. So the
    interval goes from the lowest of such correlations as far beyond the one found as that lies below it.

    Parameters
    ----------
    a, b : ndarray of shape (n_features,)
    errors : sequence of Errors
        How sure these numbers are.

    Returns
    -------
    Interval
        NaN for fewer than three features, and where all numbers of an audit are the same.
    """
    value = float(_spearman(a, b)) if len(a) >= _FEWEST else math.nan
    if math.isnan(value):
        return NOTHING
    together = np.array([error.correlation for error in errors])
    noise = np.random.Generator(np.random.Philox(0)).standard_normal((2, _DRAWS, len(a)))
    noise[1] = together * noise[0] + np.sqrt(1 - together**2) * noise[1]
    drawn_a, drawn_b = (a + noise[0] * [error.a for error in errors], b + noise[1] * [error.b for error in errors])
    lowest, highest = np.nanquantile(_spearman(drawn_a, drawn_b), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low = min(value, float(lowest))
    return Interval(value, low, min(1.0, max(2 * value - low, float(highest))))


def largest_shift(differences: np.ndarray, low: np.ndarray, high: np.ndarray) -> Interval:
    """Return by how much two audits differ most in a number, whatever the sign.

    Parameters
    ----------
    differences, low, high : ndarray of shape (n_perturbations,)
        And between which numbers each lies.

    Returns
    -------
    Interval
        From the largest of the lower ends of all sizes, each as far down as the worst of so many may lie off by chance,
        to the largest of the upper ends; NaN where there are none.
    """
    if not len(differences):
        return NOTHING
    most = np.maximum(np.abs(low), np.abs(high))
    wider = family_reach(len(differences)) / REACH
    low, high = differences - wider * (differences - low), differences + wider * (high - differences)
    least = np.maximum(0, np.maximum(low, -high))
    return Interval(float(np.abs(differences).max()), float(least.max()), float(most.max()))


def _spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation along the last axis; ties share their mean rank, and NaN where all are alike."""
    ranks = [rankdata(values, axis=-1) for values in (a, b)]
    off = [each - each.mean(axis=-1, keepdims=True) for each in ranks]
    with np.errstate(invalid="ignore"):
        return (off[0] * off[1]).sum(-1) / np.sqrt(np.square(off[0]).sum(-1) * np.square(off[1]).sum(-1))
