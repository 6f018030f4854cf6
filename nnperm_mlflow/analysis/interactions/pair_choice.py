"""Which pairs are followed on all rows: those named, or those that lead on a few."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.interactions.pairs import Pair
from nnperm_mlflow.analysis.perturbation.kinds import Shuffle
from nnperm_mlflow.basics.errors import ConfigError, UnknownFeatureError, did_you_mean, name_list
from nnperm_mlflow.config.interactions_config import InteractionsConfig, Scale
from nnperm_mlflow.inputs.slots import Feature
from nnperm_mlflow.models.separability import never_interact

logger = logging.getLogger(__name__)

TOP = 20
"""Pairs that are followed on all rows, where all are ranked."""

MOST_FEATURES = 200
"""Features whose pairs are ranked, those that lead by themselves; of more there are too many pairs."""

_KINDS = ("number", "category", "series")


def check_interactions(asked: InteractionsConfig | None, job: Job) -> list[Pair]:
    """Return the pairs that are named, none where nothing is asked for or all are to be ranked.

    Raises
    ------
    UnknownFeatureError
        If a name is none of what the job shuffles.
    ConfigError
        If the features of a pair lie in the same place, donors hold one of them already, too few features are left to
        pair, or a distance between several outputs is followed.
    """
    if asked is None:
        return []
    if job.measure.distance is not None:
        raise ConfigError(
            f"analysis: interactions are told of one output, but the distance '{job.measure.distance}' follows "
            "several. Choose an output."
        )
    if asked.pairs == "auto":
        if len(pairable(job)) < 2:
            raise ConfigError("analysis: interactions: auto needs two features that are shuffled, and there are fewer.")
        return []
    shuffled = {each.name: each.feature for each in job.perturbations if each.way == Shuffle.way}
    pairs = []
    for names in asked.pairs:
        for name in names:
            if name not in shuffled:
                raise UnknownFeatureError(
                    f"analysis: interactions: '{name}' is no feature that is shuffled: {name_list(shuffled)}."
                    f"{did_you_mean(name, shuffled)}"
                )
            if _is_held(job, shuffled[name]):
                raise ConfigError(
                    f"analysis: interactions: '{name}' is one of the columns of 'within', in which a donor holds the "
                    "same value: take it out of one of the two."
                )
        first, second = (shuffled[name] for name in names)
        cells = _cells(job, (first, second))
        if not cells[first.name].isdisjoint(cells[second.name]):
            raise ConfigError(
                f"analysis: interactions: '{first.name}' and '{second.name}' have values in common: name two features "
                "that lie apart."
            )
        pairs.append((first, second))
    return pairs


def pairable(job: Job) -> list[Feature]:
    """Return the features of which all pairs are ranked: the columns and channels that a job shuffles."""
    shuffled = [each.feature for each in job.perturbations if each.way == Shuffle.way]
    return [each for each in shuffled if each.kind in _KINDS and not _is_held(job, each)]


def all_pairs(job: Job, features: Sequence[Feature], scale: Scale) -> list[Pair]:
    """Return all pairs of features that lie apart and may interact."""
    cells = _cells(job, features)
    apart = [pair for pair in combinations(features, 2) if cells[pair[0].name].isdisjoint(cells[pair[1].name])]
    return [pair for pair in apart if not never_interact(job.predictor, *pair, scale=scale)]


def leading_features(features: Sequence[Feature], order: Sequence[str]) -> list[Feature]:
    """Return the features whose pairs are ranked: all, of too many those that lead by themselves."""
    if len(features) <= MOST_FEATURES:
        return [*features]
    logger.warning(
        "the pairs of %d of %d features are ranked, those that lead by themselves: name others under "
        "'analysis: interactions'",
        MOST_FEATURES, len(features),
    )  # fmt: skip
    place = {name: number for number, name in enumerate(order)}
    return sorted(features, key=lambda feature: place.get(feature.name, len(place)))[:MOST_FEATURES]


def _is_held(job: Job, feature: Feature) -> bool:
    """Tell whether a feature is one of the columns in which donors are alike."""
    return job.strata is not None and job.strata.holds(feature)


def _cells(job: Job, features: Iterable[Feature]) -> dict[str, set[tuple[str, int]]]:
    """Return for each feature the cells of the model's inputs that it takes."""
    sources = job.inputs.sources
    empty = {name: np.zeros(source.take(np.arange(1)).shape[1:], dtype=bool) for name, source in sources.items()}
    found: dict[str, set[tuple[str, int]]] = {}
    for feature in features:
        found[feature.name] = set()
        for slot in feature.slots:
            taken = empty[slot.input].copy()
            taken[slot.index] = True
            found[feature.name].update((slot.input, cell) for cell in np.flatnonzero(taken).tolist())
    return found
