"""All pairs of features ranked on a few rows: so many small changes that several go into the rows of one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job, choose_block_rows
from nnperm_mlflow.analysis.interactions.pair_choice import all_pairs
from nnperm_mlflow.analysis.interactions.pairs import Pair, joint
from nnperm_mlflow.analysis.interactions.scales import on_scale
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, cycle_positions
from nnperm_mlflow.analysis.perturbation.sample import drawn_rows
from nnperm_mlflow.config.interactions_config import Scale
from nnperm_mlflow.inputs.slots import Change, Feature, in_all_rows

RANKING_ROWS = 128
"""Rows on which all pairs are ranked."""

_RANKING = "the rows on which pairs are ranked"


def rank_pairs(job: Job, features: Sequence[Feature], scale: Scale) -> list[tuple[Pair, float]]:
    """Rank all pairs of some features by their mean |D| on 128 rows, which the seed alone draws.

    Parameters
    ----------
    job : Job
    features : sequence of Feature
    scale : {"prediction", "logit"}

    Returns
    -------
    list of ((Feature, Feature), float)
        All pairs that may interact, the largest mean |D| first. Donors are others of these rows, whatever the strata.
    """
    pairs = all_pairs(job, features, scale)
    if not pairs:
        return []
    alone = {feature.name: feature for pair in pairs for feature in pair}
    place = {name: number for number, name in enumerate(alone)}
    before, after = _predictions(job, [*alone.values(), *map(joint, pairs)], scale)
    means = []
    for number, (first, second) in enumerate(pairs):
        found = after[len(place) + number] - after[place[first.name]] - after[place[second.name]] + before
        known = np.abs(found[np.isfinite(found)])
        means.append(float(known.mean()) if len(known) else 0.0)
    order = sorted(range(len(pairs)), key=lambda number: -means[number])
    return [(pairs[number], means[number]) for number in order]


def _predictions(job: Job, features: Sequence[Feature], scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Return predictions of the rows as they are, and with each feature of their donors: (n_features, n_rows)."""
    rows = drawn_rows(job.inputs.n_rows, RANKING_ROWS, job.seed, _RANKING)
    drawn = ShuffleBlock(0, rows)
    donors = cycle_positions(drawn, job.seed, _RANKING, 0, np.zeros(len(rows), dtype=np.int64))
    own = job.inputs.read(rows)
    given = {name: array[donors] for name, array in own.items()}
    copies = max(1, choose_block_rows(job, "auto") // len(rows))
    tiled = {name: np.concatenate([array] * copies) for name, array in own.items()}
    calls = list(_calls(features, copies))
    block = job.predictor.begin([tiled])[0]
    after = np.empty((len(features), len(rows)))
    changes = (_change([features[number] for number in call], tiled, given) for call in calls)
    for call, predicted in zip(calls, block.predict(changes), strict=True):
        on_rows = on_scale(job.measure.pick(predicted)[:, 0], scale).reshape(copies, len(rows))
        after[call] = on_rows[: len(call)]
    return on_scale(job.measure.pick(block.baseline)[: len(rows), 0], scale), after


def _calls(features: Sequence[Feature], most: int) -> Iterator[list[int]]:
    """Yield the positions of features that go into one call: of the same inputs, so that no others are run again."""
    of_inputs: dict[tuple[str, ...], list[int]] = {}
    for number, feature in enumerate(features):
        of_inputs.setdefault(tuple(sorted({slot.input for slot in feature.slots})), []).append(number)
    for numbers in of_inputs.values():
        yield from (numbers[start : start + most] for start in range(0, len(numbers), most))


def _change(features: Sequence[Feature], tiled: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]) -> Change:
    """Return the change of copies of some rows, in each of which another feature has its donors' values."""
    inputs = dict.fromkeys(slot.input for feature in features for slot in feature.slots)
    arrays = {name: tiled[name].copy() for name in inputs}
    for copy, feature in enumerate(features):
        for slot in feature.slots:
            n_rows = len(given[slot.input])
            part = arrays[slot.input][copy * n_rows : (copy + 1) * n_rows]
            part[in_all_rows(slot.index)] = given[slot.input][in_all_rows(slot.index)]
    return Change.of(arrays)
