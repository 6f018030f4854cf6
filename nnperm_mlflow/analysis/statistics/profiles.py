"""The mean prediction when everybody's value of a feature is set to each of a grid of values.

This is a partial dependence curve (Friedman, "Greedy Function Approximation: A Gradient Boosting Machine", Annals of
Statistics 29, 2001).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.engine.progress import Progress, nobody, reporting
from nnperm_mlflow.analysis.perturbation.kinds import SetTo
from nnperm_mlflow.analysis.perturbation.value_counts import distinct_values, shortest
from nnperm_mlflow.analysis.statistics.intervals import LEVEL
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.configuration import Scalar
from nnperm_mlflow.inputs.binding import BoundInputs
from nnperm_mlflow.inputs.slots import Feature, read_slot

GRID = 20
"""Values of a number at which the mean prediction is told."""

MOST_CATEGORIES = 50
"""Values of a category at which it is told; the most frequent of them, where there are more."""

_REACH = (0.05, 0.95)  # quantiles between which the grid of a number lies

PROFILE_COLUMNS = ("feature", "kind", "value", "mean", "low", "high", "share", "baseline")


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
        for the rows as they are.

    Raises
    ------
    ConfigError
        If a feature is a series, or a distance between several outputs is followed.
    """
    grids = _grids(job, names)
    done = _settings(job, grids)
    own = _doing(job, done)
    baselines = np.empty(job.inputs.n_rows)
    shifts = np.empty((len(done), job.inputs.n_rows), dtype=np.float32)
    for result in reporting(run_blocks(own, block_rows, journal), job.inputs.n_rows, progress):
        baselines[result.rows] = result.baseline[:, 0]
        shifts[:, result.rows] = np.where(result.fell[0], -result.deviations[0], result.deviations[0])
    rows = []
    for set_to, moved in zip(done, shifts, strict=True):
        name, kind = set_to.feature.name, set_to.feature.kind
        known = np.isfinite(moved)
        mean, error = _mean_and_error(baselines[known] + moved[known])
        share, baseline = grids[name][set_to.value], _mean_and_error(baselines[np.isfinite(baselines)])[0]
        rows.append((name, kind, set_to.value, mean, mean - error, mean + error, share, baseline))
    profiles = pd.DataFrame(rows, columns=list(PROFILE_COLUMNS))
    profiles["value"] = pd.Series([row[2] for row in rows], dtype=object)
    return profiles


def profile_job(job: Job, names: Sequence[str]) -> Job:
    """Return what is done to each block of rows for profiles, beside what a job does.

    Parameters
    ----------
    job, names
        As for `find_profiles`.
    """
    return _doing(job, _settings(job, _grids(job, names)))


def check_profiles(names: Sequence[str], job: Job) -> None:
    """Refuse profiles that have no mean prediction or no values to set.

    Raises
    ------
    ConfigError
        If a feature is a series, or a distance between several outputs is followed.
    """
    for name in names:
        if job.inputs.features[name].kind == "series":
            raise ConfigError(
                f"analysis: profile: '{name}' is a series, which has no grid of values; use 'windows' to see when it "
                "matters."
            )
    if names and job.measure.distance is not None:
        raise ConfigError(
            f"analysis: profile tells the mean of one output, but the distance '{job.measure.distance}' follows "
            "several. Choose an output."
        )


def _grids(job: Job, names: Sequence[str]) -> dict[str, dict[Scalar, float]]:
    return {name: _grid(job.inputs.features[name], job.inputs) for name in names}


def _settings(job: Job, grids: Mapping[str, Mapping[Scalar, float]]) -> list[SetTo]:
    return [SetTo(job.inputs.features[name], value) for name, grid in grids.items() for value in grid]


def _doing(job: Job, done: list[SetTo]) -> Job:
    return replace(job, perturbations=done, repeats=1, first_repeat=0, keeps_predictions=False)


def _grid(feature: Feature, inputs: BoundInputs) -> dict[Scalar, float]:
    """Return the values to set, ascending, each with its share of the rows."""
    counts = distinct_values(feature, inputs, GRID if feature.kind == "number" else None)
    if counts is None:
        return _quantile_grid(feature, inputs)
    kept = sorted(counts, key=lambda value: -counts[value])[:MOST_CATEGORIES]
    kept.sort(key=lambda value: (isinstance(value, str), value))
    shares = [counts[value] / inputs.n_rows for value in kept]
    return dict(zip(kept, shares if feature.kind == "category" else np.cumsum(shares).tolist(), strict=True))


def _quantile_grid(feature: Feature, inputs: BoundInputs) -> dict[Scalar, float]:
    values = read_slot(inputs.sources, feature.slots[0], np.arange(inputs.n_rows)).ravel()
    ordered = np.sort(values[~np.isnan(values)])
    grid = np.unique(np.quantile(ordered, np.linspace(*_REACH, GRID), method="inverted_cdf"))
    shares = np.searchsorted(ordered, grid, side="right") / inputs.n_rows
    return dict(zip(map(shortest, grid), shares.tolist(), strict=True))


def _mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Return a mean, whatever the order of the values, and how far the true one may be from it."""
    if not len(values):
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum(np.square(values - mean)) / max(1, len(values) - 1))
    return mean, NormalDist().inv_cdf((1 + LEVEL) / 2) * spread / math.sqrt(len(values))
