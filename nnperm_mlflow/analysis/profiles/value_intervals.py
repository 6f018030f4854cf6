"""Along whose values accumulated local effects are told, and the intervals that these are cut into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.edges import levels_of
from nnperm_mlflow.analysis.perturbation.kinds import Shuffle, ToEdge
from nnperm_mlflow.analysis.profiles.profile_grids import GRID
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.slots import Feature, read_slot

_KINDS = ("number", "window")
_CHUNK_ROWS = 1 << 18  # rows of a feature read in one go


@dataclass(frozen=True)
class Edges:
    """The intervals of a feature, and where its rows lie.

    Attributes
    ----------
    feature : Feature
    levels : ndarray of shape (n_rows,), float64
        NaN where something is missing.
    edges : ndarray of shape (n_intervals + 1,), float64
    """

    feature: Feature
    levels: np.ndarray
    edges: np.ndarray


def accumulated_features(job: Job, names: Sequence[str] | None) -> list[Feature]:
    """Return the features whose accumulated local effects are told.

    Parameters
    ----------
    job : Job
    names : sequence of str or None
        Numbers, windows or series; empty for all numbers and windows that the job shuffles, None for none.

    Raises
    ------
    ConfigError
        If a feature has no order of values, none is left, or a distance between several outputs is followed.
    """
    if names is None:
        return []
    shuffled = {each.name: each.feature for each in job.perturbations if each.way == Shuffle.way}
    known = {**job.inputs.features, **shuffled}
    wanted = [known[name] for name in names] or [each for each in shuffled.values() if each.kind in _KINDS]
    if not wanted:
        raise ConfigError(
            "analysis: profile: {kind: ale} needs a number, or a window of a series ('windows'), and there is none."
        )
    for feature in wanted:
        if feature.kind not in (*_KINDS, "series"):
            raise ConfigError(
                f"analysis: profile: '{feature.name}' is a {feature.kind}, along whose values nothing goes up or down: "
                "{kind: ale} takes numbers, windows and series. A list of features tells the mean prediction instead."
            )
    if job.measure.distance is not None:
        raise ConfigError(
            f"analysis: profile tells how one output goes, but the distance '{job.measure.distance}' follows several. "
            "Choose an output."
        )
    return wanted


def edges_job(job: Job, features: Sequence[Feature]) -> Job:
    """Return what is done to each block of rows for accumulated local effects, beside what a job does."""
    return job_of(job, edges_of(job.inputs, features))


def job_of(job: Job, edges: Mapping[str, Edges]) -> Job:
    """Return a job that does nothing but move each row to both ends of its intervals."""
    moves = [
        ToEdge(each.feature, tuple(each.edges.tolist()), upper) for each in edges.values() for upper in (False, True)
    ]
    return replace(job, perturbations=moves, repeats=1, first_repeat=0, keeps_predictions=False)


def edges_of(inputs: BoundInputs, features: Sequence[Feature]) -> dict[str, Edges]:
    """Return the intervals of features that vary, between quantiles of the values that rows hold."""
    found = {}
    for feature in features:
        levels = _levels(feature, inputs)
        ordered = np.sort(levels[~np.isnan(levels)])
        shares = np.linspace(0, 1, GRID + 1)
        edges = np.unique(np.quantile(ordered, shares, method="inverted_cdf")) if len(ordered) else ordered
        if len(edges) > 1:
            found[feature.name] = Edges(feature, levels, edges)
    return found


def _levels(feature: Feature, inputs: BoundInputs) -> np.ndarray:
    starts = range(0, inputs.n_rows, _CHUNK_ROWS)
    rows = (np.arange(start, min(start + _CHUNK_ROWS, inputs.n_rows)) for start in starts)
    return np.concatenate([levels_of(read_slot(inputs.sources, feature.slots[0], each)) for each in rows])
