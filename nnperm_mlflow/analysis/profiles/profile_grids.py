"""The values of each feature that profiles are measured at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.kinds import SetTo
from nnperm_mlflow.analysis.perturbation.set_values import distinct_values, shortest
from nnperm_mlflow.analysis.perturbation.value_names import Value
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.slots import Feature, read_slot

GRID = 20
"""Values of a number at which the mean prediction is told."""

MOST_CATEGORIES = 50
"""Values of a category at which it is told; the most frequent of them, where there are more."""

_REACH = (0.05, 0.95)  # quantiles between which the grid of a number lies


def profile_job(job: Job, names: Sequence[str]) -> Job:
    """Return what is done to each block of rows for profiles, beside what a job does.

    Parameters
    ----------
    job, names
        As for `find_profiles`.
    """
    return profile_job_of(job, set_perturbations(job, value_grids(job, names)))


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


def value_grids(job: Job, names: Sequence[str]) -> dict[str, dict[Value, float]]:
    """Return for each feature the values to set, ascending, each with its share of the rows."""
    return {name: _grid(job.inputs.features[name], job.inputs) for name in names}


def set_perturbations(job: Job, grids: Mapping[str, Mapping[Value, float]]) -> list[SetTo]:
    """Return the perturbations that set each feature to each of its values."""
    return [SetTo(job.inputs.features[name], value) for name, grid in grids.items() for value in grid]


def profile_job_of(job: Job, done: list[SetTo]) -> Job:
    """Return a job that does nothing but these."""
    return replace(job, perturbations=done, repeats=1, first_repeat=0, keeps_predictions=False, stopped={})


def _grid(feature: Feature, inputs: BoundInputs) -> dict[Value, float]:
    """Return the values to set, ascending, each with its share of the rows."""
    counts = distinct_values(feature, inputs, GRID if feature.kind == "number" else None)
    if counts is None:
        return _quantile_grid(feature, inputs)
    kept = sorted(counts, key=lambda value: -counts[value])[:MOST_CATEGORIES]
    kept.sort(key=lambda value: (isinstance(value, str), value))
    shares = [counts[value] / inputs.n_rows for value in kept]
    return dict(zip(kept, shares if feature.kind == "category" else np.cumsum(shares).tolist(), strict=True))


def _quantile_grid(feature: Feature, inputs: BoundInputs) -> dict[Value, float]:
    values = read_slot(inputs.sources, feature.slots[0], np.arange(inputs.n_rows)).ravel()
    ordered = np.sort(values[~np.isnan(values)])
    grid = np.unique(np.quantile(ordered, np.linspace(*_REACH, GRID), method="inverted_cdf"))
    shares = np.searchsorted(ordered, grid, side="right") / inputs.n_rows
    return dict(zip(map(shortest, grid), shares.tolist(), strict=True))
