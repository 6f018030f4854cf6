"""Sums of columns: what several features tell of one together, which splits by one column at a time hardly find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnperm_mlflow.analysis.perturbation.subgroups.columns import Column, WeightedSum
from nnperm_mlflow.analysis.perturbation.subgroups.learning_rows import DIGITS, LearningRows
from nnperm_mlflow.inputs.slots import Feature

_MOST_SUMS = 4  # that are offered, one for each number that describes the feature
_COUNTS, _TELLS = 0.15, 0.1  # of the largest weight, for a column to be in a sum; of the variance, for a sum to be used
_RIDGE = 1e-3  # of a variance, so that columns that tell the same can be weighted
_NUMBERS = ("value", "mean", "first", "last")  # what may be summed up


def sums_for(half: LearningRows, parts: Sequence[Feature], given: Sequence[Feature]) -> list[WeightedSum]:
    """Return for each number that describes a feature what others tell of it together, where that is something.

    Splits by one column at a time need many of them for what is told by a sum.

    Parameters
    ----------
    half : LearningRows
    parts : sequence of Feature
        The feature, or a group's members.
    given : sequence of Feature
        The others.

    Returns
    -------
    list of WeightedSum
    """
    described = [each for part in parts for each in (*half.ordinal_of(part), *half.columns[part.name])]
    sums = [_sum_for(half, column, given) for column in described[:_MOST_SUMS]]
    return [found for found in sums if found is not None]


def _sum_for(half: LearningRows, target: Column, given: Sequence[Feature]) -> WeightedSum | None:
    """Return the least-squares prediction of a column, but for a constant, from the closest number of each feature."""
    columns = [each for each in (_closest(half, target, other) for other in given) if each is not None]
    if len(columns) < 2:
        return None
    covariances = np.array([[half.covariance(one, other) for other in columns] for one in columns])
    with_target = np.array([half.covariance(each, target) for each in columns])
    weights = np.linalg.solve(covariances + _RIDGE * np.eye(len(columns)), with_target)
    counts = np.abs(weights) >= _COUNTS * np.abs(weights).max()
    if np.count_nonzero(counts) < 2 or float(np.sum(weights * with_target)) < _TELLS:
        return None
    kept = [columns[place] for place in np.flatnonzero(counts)]
    unit, spreads = half.standardized(target)[1], (half.standardized(each)[1] for each in kept)
    scaled = (float(f"{weight * unit / spread:.3g}") for weight, spread in zip(weights[counts], spreads, strict=True))
    return WeightedSum(tuple(kept), tuple(scaled))


def _closest(half: LearningRows, target: Column, other: Feature) -> Column | None:
    """Return the number of a feature that goes with a column most; None where it has none."""
    numbers = [each for each in half.numbers_of(other) if each.what in _NUMBERS]
    return max(numbers, key=lambda each: round(abs(half.covariance(each, target)), DIGITS), default=None)
