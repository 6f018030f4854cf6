"""How predictions go along the values of a feature, told from small steps of the rows that hold them.

These are accumulated local effects. Each row is moved to the two ends of the interval that its value lies in, so that
no row is asked for with a value that is far from its own.

References
----------
Apley and Zhu, "Visualizing the Effects of Predictor Variables in Black Box Supervised Learning Models", Journal of the
Royal Statistical Society B 82, 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.engine.progress import Progress, nobody, reporting
from nnperm_mlflow.analysis.perturbation.edges import interval_of
from nnperm_mlflow.analysis.perturbation.set_values import shortest
from nnperm_mlflow.analysis.profiles.value_intervals import Edges, edges_of, job_of
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.analysis.uncertainty.skewness import errors_to_the_end
from nnperm_mlflow.analysis.uncertainty.variance import count_clusters
from nnperm_mlflow.inputs.slots import Feature

EFFECT_COLUMNS = ("feature", "kind", "value", "effect", "low", "high", "share", "rows")


def find_effects(
    job: Job, block_rows: int, features: Sequence[Feature], progress: Progress = nobody, journal: Journal | None = None
) -> pd.DataFrame:
    """Tell how the prediction goes along the values of some features.

    Parameters
    ----------
    job : Job
        What perturbations it has does not matter.
    block_rows : int
    features : sequence of Feature
        As `accumulated_features` returns them.
    progress : callable, optional
    journal : Journal, optional
        As for `profiles.find_profiles`.

    Returns
    -------
    DataFrame
        For each feature a row for each end of an interval, ascending, with the columns `EFFECT_COLUMNS`: `effect` is by
        how much the prediction lies above its mean over the rows, as far as this feature goes, between `low` and `high`
        with 95 % confidence as far as other rows are like these and the intervals are taken as given; `share` is the
        share of rows that hold no larger value; `rows` lie in the interval that ends there. What is told of a series or
        window is its level, the mean of its steps. A feature that does not vary has no row.
    """
    edges = edges_of(job.inputs, features)
    own = job_of(job, edges)
    shifts = np.empty((len(own.perturbations), job.inputs.n_rows), dtype=np.float32)
    for result in reporting(run_blocks(own, block_rows, journal), job.inputs.n_rows, progress):
        shifts[:, result.rows] = np.where(result.fell[0], -result.deviations[0], result.deviations[0])
    told = []
    for each, lower, upper in zip(edges.values(), shifts[::2], shifts[1::2], strict=True):
        steps = upper.astype(np.float64) - lower
        known = np.isfinite(steps) & np.isfinite(each.levels)
        clusters = None if job.clusters is None else job.clusters[known]
        told.append(_effects_of(each, steps[known], each.levels[known], clusters))
    return pd.concat(told, ignore_index=True) if told else pd.DataFrame(columns=list(EFFECT_COLUMNS))


def accumulate(intervals: np.ndarray, steps: np.ndarray, n_intervals: int) -> np.ndarray:
    """Return accumulated local effects at the ends of intervals, centred so that their mean over the rows is 0.

    Parameters
    ----------
    intervals : ndarray of shape (n_rows,), int
        Of each row, from 0.
    steps : ndarray of shape (n_rows,), float64
        By how much its prediction at the upper end of its interval exceeds that at the lower end.
    n_intervals : int

    Returns
    -------
    ndarray of shape (n_intervals + 1,)
        The estimate of Apley and Zhu (2020): sums of the means over the intervals; a row counts in the centre by the
        upper end of its interval.

    Examples
    --------
    >>> accumulate(np.array([0, 1, 1]), np.array([1.0, 2.0, 4.0]), 2)
    array([-3., -2.,  1.])
    """
    raw = np.concatenate([[0.0], np.cumsum(_means(intervals, steps, n_intervals)[0])])
    return raw - math.fsum(raw[intervals + 1]) / max(1, len(intervals))


def _means(intervals: np.ndarray, steps: np.ndarray, n_intervals: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean step of each interval, 0 of one without rows, and how many rows it has."""
    counts = np.bincount(intervals, minlength=n_intervals)
    sums = np.bincount(intervals, weights=steps, minlength=n_intervals)
    return sums / np.maximum(1, counts), counts


def _effects_of(each: Edges, steps: np.ndarray, levels: np.ndarray, clusters: np.ndarray | None) -> pd.DataFrame:
    intervals, n_intervals = interval_of(levels, each.edges), len(each.edges) - 1
    effect = accumulate(intervals, steps, n_intervals)
    errors = _errors(intervals, steps, effect, clusters)
    ordered, counts = np.sort(levels), np.bincount(intervals, minlength=n_intervals)
    return pd.DataFrame(
        {
            "feature": each.feature.name,
            "kind": each.feature.kind,
            "value": [float(shortest(edge)) for edge in each.edges],
            "effect": effect,
            "low": effect - errors,
            "high": effect + errors,
            "share": np.searchsorted(ordered, each.edges, side="right") / max(1, len(levels)),
            "rows": [0, *counts.tolist()],
        }
    )


def _errors(intervals: np.ndarray, steps: np.ndarray, effect: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    """Return how far each effect may be from the true one, with 95 % confidence.

    A row adds to the mean step of its interval, and to the centre by where it lies.
    """
    n_rows, n_units = len(steps), len(steps) if clusters is None else count_clusters(clusters)
    if n_units < FEWEST_ROWS:
        return np.full(len(effect), math.nan)
    means, counts = _means(intervals, steps, len(effect) - 1)
    off = (steps - means[intervals]) / counts[intervals]
    beyond = 1 - (np.cumsum(counts) - counts) / n_rows  # share of rows that count in the centre what an interval adds
    centre = off * beyond[intervals] + effect[intervals + 1] / n_rows
    variances = []
    for edge in range(len(effect)):
        adds = np.where(intervals < edge, off, 0.0) - centre
        of_units = adds if clusters is None else np.bincount(clusters, weights=adds)
        variances.append(math.fsum(np.square(of_units)) * n_units / (n_units - 1))
    return errors_to_the_end(n_units) * np.sqrt(variances)
