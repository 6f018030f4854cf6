"""A score of undisturbed predictions, how sure it is, and how far two models' scores on the same rows differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from nnperm_mlflow.analysis.statistics.skewness import LEVEL


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
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    rows: int = 0
    parts: tuple[float, ...] = ()
    step: float = 0.0


def score_difference(a: OwnScore, b: OwnScore) -> tuple[float, float, float]:
    """Return the score of `b` less that of `a`, of the same rows, and its 95 % interval.

    A score errs by the sum of what groups of rows add to its error, so that the difference errs by the sum of the
    differences: what is peculiar to these rows is in both and cancels. With G groups this is the delete-a-group
    jackknife (Kott, 2001), with G - 1 degrees of freedom. Where scores count decisions, one row more than was seen is
    taken to differ: none of n rows being decided otherwise does not mean that no row ever is.

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
    variance = n_groups / (n_groups - 1) * float(apart @ apart) + max(a.step, b.step) ** 2
    reach = float(student.ppf((1 + LEVEL) / 2, n_groups - 1)) * math.sqrt(variance)
    return difference, difference - reach, difference + reach
