"""p-values of many features at once, and how many repeats it takes for them to tell anything."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control

SIGNIFICANT = 0.05
"""Adjusted p-value up to which features are usually said to have an effect."""


def adjust(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the p-values of several features, raised for their number.

    Of the features whose value then is at most q, a share of at most q is expected to be without effect (Benjamini and
    Hochberg, "Controlling the False Discovery Rate", 1995).
    """
    return false_discovery_control(p_values)


def in_reach(p_values: Sequence[float] | np.ndarray, repeats: int) -> np.ndarray:
    """Tell which features' adjusted p-value could be 0.05, had no repeat scored as well as the data.

    Parameters
    ----------
    p_values : array-like of shape (n_features,)
        From so many repeats, so that none is below 1 / (1 + repeats).
    repeats : int

    Returns
    -------
    ndarray of shape (n_features,), bool

    Examples
    --------
    >>> in_reach([0.01, 0.5, 0.5, 0.5, 0.5, 0.5], repeats=99)
    array([False,  True,  True,  True,  True,  True])
    """
    found = np.asarray(p_values, dtype=float)
    reached = {}
    for own in np.unique(found):
        best = found.copy()
        best[np.argmax(found == own)] = 1 / (1 + repeats)
        reached[own] = adjust(best).min() <= SIGNIFICANT
    return np.array([reached[own] for own in found], dtype=bool)


def repeats_for(n_features: int) -> int:
    """Return the fewest repeats by which the adjusted p-value of one feature among others without effect can be 0.05.

    >>> repeats_for(1), repeats_for(20)
    (19, 399)
    """
    return round(n_features / SIGNIFICANT) - 1
