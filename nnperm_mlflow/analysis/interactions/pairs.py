"""Pairs of features: what is done to rows for them, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.kinds import SharedShuffle
from nnperm_mlflow.inputs.slots import Feature

Pair = tuple[Feature, Feature]


@dataclass(frozen=True)
class SecondDifferences:
    """What came of some pairs.

    Attributes
    ----------
    values : ndarray of shape (n_pairs, n_rows), float32
        D = f(both) - f(first) - f(second) + f, both features from one donor; NaN where one of these is not known.
    baseline : ndarray of shape (n_rows,), float64
        f, on the scale that was asked for.
    rounding : ndarray of shape (n_pairs,)
        What rounding can make of the mean |D| of each pair.
    """

    values: np.ndarray
    baseline: np.ndarray
    rounding: np.ndarray


def joint(pair: Pair) -> Feature:
    """Return two features as one, which are given one donor's values together."""
    first, second = pair
    return Feature(f"{first.name} x {second.name}", (*first.slots, *second.slots), "group", (first.name, second.name))


def shared_job(job: Job, pairs: Sequence[Pair]) -> Job:
    """Return what is done to each block of rows for some pairs: each feature alone once, and each pair together."""
    alone = {feature.name: feature for pair in pairs for feature in pair}
    done = [SharedShuffle(feature) for feature in (*alone.values(), *map(joint, pairs))]
    return replace(job, perturbations=done, repeats=1, first_repeat=0, keeps_predictions=True)
