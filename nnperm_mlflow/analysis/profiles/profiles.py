"""The mean prediction when everybody's value of a feature is set to each of a grid of values, and single rows' changes.

The mean is a partial dependence curve, single rows' changes from the first value of the grid on are their centred ICE
curves. Where these go apart and their mean does not move, the feature counts by what else a row holds.

References
----------
Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", Annals of Statistics 29, 2001.
Goldstein, Kapelner, Bleich and Pitkin, "Peeking Inside the Black Box: Visualizing Statistical Learning With Plots of
Individual Conditional Expectation", Journal of Computational and Graphical Statistics 24, 2015.
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
from nnperm_mlflow.analysis.profiles.profile_grids import (
    profile_job_of,
    set_perturbations,
    value_grids,
)
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.analysis.uncertainty.skewness import errors_to_the_end
from nnperm_mlflow.analysis.uncertainty.variance import count_clusters

PROFILE_COLUMNS = (
    "feature", "kind", "value", "mean", "low", "high", "share", "baseline", "change_q05", "change_q95",
)  # fmt: skip

_MOST = (0.05, 0.95)
"""Quantiles between which the changes of nine in ten rows lie."""


def find_profiles(
    job: Job, block_rows: int, names: Sequence[str], progress: Progress = nobody, journal: Journal | None = None
) -> pd.DataFrame:
    """Tell the mean prediction over a grid of values of some features.

    Parameters
    ----------
    job : Job
        What perturbations it has does not matter.
    block_rows : int
    names : sequence of str
        Static features of the model.
    progress : callable, optional
    journal : Journal, optional
        Where finished blocks are kept, and those that were finished before are found: that of the audit.

    Returns
    -------
    DataFrame
        A row for each feature and value with the columns `PROFILE_COLUMNS`: `mean` is the mean prediction over all
        rows, between `low` and `high` with 95 % confidence as far as other rows are like these; `share` is the share of
        rows that hold the value, for a number of those that hold no larger one; `baseline` is the mean prediction
        for the rows as they are. Between `change_q05` and `change_q95` nine in ten rows' predictions change where the
        value is this one instead of the feature's first one.

    Raises
    ------
    ConfigError
        If a feature is a series, or a distance between several outputs is followed.
    """
    grids = value_grids(job, names)
    done = set_perturbations(job, grids)
    own = profile_job_of(job, done)
    baselines = np.empty(job.inputs.n_rows)
    shifts = np.empty((len(done), job.inputs.n_rows), dtype=np.float32)
    for result in reporting(run_blocks(own, block_rows, journal), job.inputs.n_rows, progress):
        baselines[result.rows] = result.baseline[:, 0]
        shifts[:, result.rows] = np.where(result.fell[0], -result.deviations[0], result.deviations[0])
    rows, first = [], shifts[:0]
    for position, (set_to, moved) in enumerate(zip(done, shifts, strict=True)):
        if position == 0 or set_to.feature != done[position - 1].feature:
            first = moved
        name, kind = set_to.feature.name, set_to.feature.kind
        known = np.isfinite(moved)
        clusters = None if job.clusters is None else job.clusters[known]
        mean, error = _mean_and_error(baselines[known] + moved[known], clusters)
        share, baseline = grids[name][set_to.value], _mean_and_error(baselines[np.isfinite(baselines)])[0]
        changes = _quantiles(moved[known].astype(np.float64) - first[known])
        rows.append((name, kind, set_to.value, mean, mean - error, mean + error, share, baseline, *changes))
    profiles = pd.DataFrame(rows, columns=list(PROFILE_COLUMNS))
    profiles["value"] = pd.Series([row[2] for row in rows], dtype=object)
    return profiles


def _quantiles(changes: np.ndarray) -> list[float]:
    known = changes[np.isfinite(changes)]
    return np.quantile(known, _MOST).tolist() if len(known) else [math.nan, math.nan]


def _mean_and_error(values: np.ndarray, clusters: np.ndarray | None = None) -> tuple[float, float]:
    """Return a mean, whatever the order of the values, and how far the true one may be from it."""
    if not len(values):
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    off = values - mean if clusters is None else np.bincount(clusters, weights=values - mean)
    n_units = len(values) if clusters is None else count_clusters(clusters)
    if clusters is not None and n_units < FEWEST_ROWS:
        return mean, math.nan
    variance = math.fsum(np.square(off)) * n_units / max(1, n_units - 1) / len(values) ** 2
    return mean, errors_to_the_end(n_units) * math.sqrt(variance)
