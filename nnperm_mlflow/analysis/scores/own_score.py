"""A score of undisturbed predictions, how sure it is, and how far two models' scores on the same rows differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nnperm_mlflow.analysis.statistics.sums import sum_of_products
from nnperm_mlflow.analysis.uncertainty.error_moments import ErrorMoments, beyond_the_largest
from nnperm_mlflow.analysis.uncertainty.skewness import reaches

SHARES = ("roc_auc", "accuracy", "balanced_accuracy")
"""Scores that lie between 0 and 1 as a share of rows, or of pairs of rows, does, and have its interval."""


@dataclass(frozen=True)
class OwnScore:
    """What a scorer says of a model as it is.

    Attributes
    ----------
    value : float
        As scikit-learn has it; greater is better.
    low, high : float
        95 % interval, where rows (or clusters) are a sample; NaN where it cannot be told.
    rows : int
        Rows that it is of.
    parts : tuple of float
        What each of some groups of rows adds to the error of the score, with sum 0: see `score_difference`. The same
        rows are in the same groups whatever the model. Empty where it cannot be told.
    step : float
        By how much a row can change the score at most, where it counts decisions; else 0.
    guess : float
        What the best guess scores that is the same for all rows; NaN where that is not known.
    no_better : bool
        Whether the model does no better than that, as far as can be told.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    rows: int = 0
    parts: tuple[float, ...] = ()
    step: float = 0.0
    guess: float = math.nan
    no_better: bool = False

    @property
    def has_interval(self) -> bool:
        """Whether it is known how sure the score is."""
        return not math.isnan(self.low)

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})" if self.has_interval else f"{self.value:.4g}"


def score_difference(a: OwnScore, b: OwnScore) -> tuple[float, float, float]:
    """Return the score of `b` less that of `a`, of the same rows, and its 95 % interval.

    A score errs by the sum of what groups of rows add to its error, so that the difference errs by the sum of the
    differences: what is peculiar to these rows is in both and cancels. With G groups this is the delete-a-group
    jackknife (Kott, 2001), with G - 1 degrees of freedom and the interval of a mean (`skewness.reaches`). Where scores
    count decisions, one row more than was seen is taken to differ: none of n rows being decided otherwise does not mean
    that no row ever is.

    Parameters
    ----------
    a, b : OwnScore

    Returns
    -------
    value, low, high : float
        Both ends NaN where one of the two has no interval, or other groups.

    References
    ----------
    Kott, "The Delete-a-Group Jackknife", Journal of Official Statistics, 2001.
    """
    difference, n_groups = b.value - a.value, len(a.parts)
    if n_groups < 2 or len(b.parts) != n_groups:
        return difference, math.nan, math.nan
    apart = np.subtract(b.parts, a.parts)
    variance = n_groups / (n_groups - 1) * sum_of_products(apart, apart)
    step = max(a.step, b.step) ** 2
    moments = ErrorMoments(variance + step, 0.0, float((apart**3).sum()), beyond_the_largest(apart, variance))
    below, above = reaches(moments, n_groups)
    return difference, difference - below, difference + above


def score_differences(
    a: Mapping[str, OwnScore], b: Mapping[str, OwnScore], *, paired: bool
) -> dict[str, tuple[float, float, float]]:
    """Return for each score that both have that of `b` less that of `a`, and its 95 % interval.

    Where they are not of the same rows, the distances of both intervals' ends from their scores add up as those of
    independent numbers do (Zou and Donner, 2008).

    References
    ----------
    Zou and Donner, "Construction of Confidence Limits about Effect Measures: A General Approach", Statistics in
    Medicine, 2008.
    """
    compare = score_difference if paired else _apart
    return {name: compare(score, b[name]) for name, score in a.items() if name in b}


def _apart(a: OwnScore, b: OwnScore) -> tuple[float, float, float]:
    difference = b.value - a.value
    below = math.hypot(b.value - b.low, a.high - a.value)
    return difference, difference - below, difference + math.hypot(b.high - b.value, a.value - a.low)
