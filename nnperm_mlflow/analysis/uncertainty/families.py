"""Several numbers judged at once: how far one may lie off by chance that is the worst of many.

That *all* of some numbers keep a limit is shown where each keeps it by its own interval: if one did not, its own
interval alone would have to be wrong (Berger, "Multiparameter Hypothesis Testing and Acceptance Sampling",
Technometrics 1982). That *some* number misses it is another claim: the worst of many lies far off by chance. So it is
made at a level that is shared among them (Bonferroni), whatever they have to do with each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri, stdtrit

from nnperm_mlflow.analysis.uncertainty.intervals import REACH
from nnperm_mlflow.analysis.uncertainty.skewness import LEVEL, errors_to_the_end


@dataclass(frozen=True)
class PairErrors:
    """How the differences between features err.

    Attributes
    ----------
    errors : mapping of str to mapping of str to float
        For each name and each other the standard error of the difference of their numbers.
    n_units : int
        Rows, or clusters of rows, that these were found from.
    """

    errors: Mapping[str, Mapping[str, float]]
    n_units: int


def family_reach(n: int, n_units: float = math.inf) -> float:
    """Return the standard errors that none of n numbers lies off in one direction, but for 2.5 of 100 audits.

    Parameters
    ----------
    n : int
        At least 1.
    n_units : float
        Rows, or clusters of rows, that the errors were found from.

    Examples
    --------
    >>> round(family_reach(1), 2), round(family_reach(150), 2), round(family_reach(150, 30), 2)
    (1.96, 3.59, 4.07)
    """
    level = 1 - (1 - LEVEL) / 2 / n
    return float(ndtri(level)) if math.isinf(n_units) else float(stdtrit(max(1, n_units - 1), level))


def family_width(n: int, n_units: float = math.inf) -> float:
    """Return how many times as wide as the interval of one number is one that is right of each of n at once.

    >>> family_width(1), round(family_width(150), 2)
    (1.0, 1.83)
    """
    if n == 1:
        return 1.0
    return family_reach(n, n_units) / (REACH if math.isinf(n_units) else errors_to_the_end(int(n_units)))


def family_ends(
    value: float, low: float, high: float, n: int, *, is_share: bool = False, n_units: float = math.inf
) -> tuple[float, float]:
    """Return the ends of an interval that is right of each of n numbers at once, from that of one of them.

    Parameters
    ----------
    value, low, high : float
        A number and its 95 % interval.
    n : int
        Numbers that are judged together.
    is_share : bool
        Whether it is a share with Wilson's interval (1927), whose ends lie 2 asinh(z / (2 sqrt(n p (1 - p)))) away from
        it in log odds (Newcombe, "Logit Confidence Intervals and the Inverse Sinh Transformation", 2001).
    n_units : float
        Rows, or clusters of rows, that the interval was found from, where these may be few.

    Returns
    -------
    low, high : float

    Examples
    --------
    >>> family_ends(0.5, 0.4, 0.7, 1)
    (0.4, 0.7)
    """
    if n == 1:
        return low, high
    wider = family_width(n, n_units)
    if is_share and 0 < value < 1:
        odds, ends = logit(value), logit([low, high])
        lowest, highest = expit(odds + 2 * np.arcsinh(wider * np.sinh((ends - odds) / 2)))
        return float(lowest), float(highest)
    return value - wider * (value - low), value + wider * (high - value)
