"""How far the interval of a mean goes to either side, where a mean errs further to one side than to the other.

Few rows of a skewed column make most of its mean, and a sample that lacks them shows a mean and an error that are both
too small. So an interval that goes as far up as down misses far more often above than below.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import stdtrit

from nnperm_mlflow.analysis.uncertainty.error_moments import ErrorMoments

LEVEL = 0.95
"""How often an interval shall hold what it is of."""


@lru_cache(maxsize=1024)
def errors_to_the_end(n_units: int) -> float:
    """Return how many standard errors an interval goes to either side, the error being found from so many units."""
    return float(stdtrit(max(1, n_units - 1), (1 + LEVEL) / 2))


def reaches(moments: ErrorMoments, n_units: int, least: float = 1.0) -> tuple[float, float]:
    """Return how far below and above a mean its interval goes, with 95 % confidence.

    To each side one unit more is counted than was seen there, see `error_moments.beyond_the_largest`. What errs so is
    corrected for its skewness by Hall's cubic transformation of the studentized mean, which never turns back.

    Parameters
    ----------
    moments : ErrorMoments
    n_units : int
        Rows, or clusters, that they were found from.
    least : float
        The smallest variance to believe, see `ErrorMoments.variance`.

    Returns
    -------
    below, above : float

    References
    ----------
    Hall, "On the Removal of Skewness by Transformation", Journal of the Royal Statistical Society B 54 (1992).
    """
    errors, variance = errors_to_the_end(n_units), moments.variance(least)
    below, above = moments.beyond
    return _reach(variance, -moments.third, below, errors), _reach(variance, moments.third, above, errors)


def _reach(variance: float, third: float, beyond: float, errors: float) -> float:
    """Return how far an interval goes to the side on which one unit more adds `beyond`."""
    variance, third = variance + beyond**2, third + beyond**3
    if variance == 0 or math.isinf(variance):
        return variance
    turning = 3 * (math.sqrt(errors**2 + 2 / 3) - errors)  # beyond which the transformation tells nothing
    skewness = min(turning, max(-turning, third / variance**1.5))
    if abs(skewness) < _NONE:
        return beyond + math.sqrt(variance) * errors
    root = float(np.cbrt(1 - skewness * (errors + skewness / 6)))
    return beyond + math.sqrt(variance) * 3 / skewness * (1 - root)


_NONE = 1e-6  # a skewness that rounding may have made
