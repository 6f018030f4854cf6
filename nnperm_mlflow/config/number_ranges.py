"""What a number can be at all, whatever the model: known before any audit."""

from __future__ import annotations

import math

Range = tuple[float, float]
"""Least and largest value that a number can have."""

_ANY: Range = (-math.inf, math.inf)
_FROM_ZERO: Range = (0.0, math.inf)
_OF_ONE: Range = (0.0, 1.0)
_SHARES = ("share", "flipped_share", "out_of_data")
_ENDS_OF_P = ("_p", "_q")
_DROP = "_drop"

_SCORES: dict[str, Range] = {
    "r2": (-math.inf, 1.0),
    "explained_variance": (-math.inf, 1.0),
    "matthews_corrcoef": (-1.0, 1.0),
    "adjusted_rand_score": (-1.0, 1.0),
    "adjusted_mutual_info_score": (-1.0, 1.0),
    "mutual_info_score": _FROM_ZERO,
    "positive_likelihood_ratio": _FROM_ZERO,
    "rand_score": _OF_ONE,
    "completeness_score": _OF_ONE,
    "homogeneity_score": _OF_ONE,
    "v_measure_score": _OF_ONE,
    "normalized_mutual_info_score": _OF_ONE,
    "fowlkes_mallows_score": _OF_ONE,
}
"""Of scikit-learn's scorers that have no family of names."""

_FAMILIES: dict[str, Range] = {
    "neg_": (-math.inf, 0.0),
    "d2_": (-math.inf, 1.0),
    **dict.fromkeys(
        (
            "accuracy",
            "balanced_accuracy",
            "average_precision",
            "f1",
            "jaccard",
            "precision",
            "recall",
            "roc_auc",
            "top_k",
        ),
        _OF_ONE,
    ),
}
"""Of the others, by how their names begin."""


def statistic_range(statistic: str) -> Range:
    """Return what a statistic of deviations, a drop or a p-value can be."""
    if statistic in _SHARES or statistic.endswith(_ENDS_OF_P):
        return _OF_ONE
    if statistic.endswith(_DROP):
        return drop_range(statistic.removesuffix(_DROP))
    return _ANY if statistic == "shift" else _FROM_ZERO


def score_range(name: str) -> Range:
    """Return what one of scikit-learn's scorers can give; nothing is known of others."""
    if name in _SCORES:
        return _SCORES[name]
    return next((limits for begin, limits in _FAMILIES.items() if name.startswith(begin)), _ANY)


def drop_range(score: str) -> Range:
    """Return what the difference of two values of a score can be."""
    low, high = score_range(score)
    return low - high, high - low


def beyond(called: str, limits: Range, *, at_most: float | None = None, at_least: float | None = None) -> str | None:
    """Say why a number cannot miss a limit; None where it can.

    Parameters
    ----------
    called : str
        The number, in words.
    limits : (float, float)
        What it can be.
    at_most, at_least : float, optional
        What it must be.

    Examples
    --------
    >>> beyond("a share", statistic_range("share"), at_most=1.0)
    'a share lies between 0 and 1'
    >>> beyond("a share", statistic_range("share"), at_most=0.6)
    """
    low, high = limits
    if (at_most is None or at_most < high) and (at_least is None or at_least > low):
        return None
    if math.isfinite(low) and math.isfinite(high):
        return f"{called} lies between {low:g} and {high:g}"
    return f"{called} is never below {low:g}" if math.isfinite(low) else f"{called} is never above {high:g}"
