"""How much of what two features do together on average is no sum of what each does alone: Friedman and Popescu's H.

References
----------
Friedman and Popescu, "Predictive Learning via Rule Ensembles", Annals of Applied Statistics 2, 2008.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.interactions.pairs import Pair, joint
from nnperm_mlflow.analysis.interactions.scales import on_scale, rounding_on
from nnperm_mlflow.analysis.perturbation.sample import drawn_rows
from nnperm_mlflow.config.interactions_config import Scale
from nnperm_mlflow.inputs.slots import Change, Feature, in_all_rows
from nnperm_mlflow.models.predictor import Block

H_ROWS = 200
"""Rows of which each gives its values to all; so many squared are predictions of a pair."""

_DRAWN = "the rows of H"


def h_statistics(job: Job, pairs: Sequence[Pair], scale: Scale) -> dict[tuple[str, str], float]:
    """Return H of some pairs on at most 200 rows, which the seed alone draws.

    Parameters
    ----------
    job : Job
    pairs : sequence of (Feature, Feature)
    scale : {"prediction", "logit"}

    Returns
    -------
    dict of (str, str) to float
        The root of the share: 0 where the partial dependence of the pair is the sum of both, 1 where neither has any of
        its own. NaN where the pair does not move the mean prediction, or one is not known.
    """
    inputs = job.inputs.read(drawn_rows(job.inputs.n_rows, H_ROWS, job.seed, _DRAWN))
    block = job.predictor.begin([inputs])[0]
    least = float(np.nanmax(rounding_on(job.measure.pick(block.baseline)[:, 0], scale)))
    alone = {feature.name: feature for pair in pairs for feature in pair}
    curves = {name: _dependence(job, block, inputs, feature, scale) for name, feature in alone.items()}
    found = {}
    for first, second in pairs:
        both = _dependence(job, block, inputs, joint((first, second)), scale)
        found[first.name, second.name] = _h(both, curves[first.name] + curves[second.name], least)
    return found


def _h(both: np.ndarray, apart: np.ndarray, least: float) -> float:
    """Return H from centred partial dependences at the rows' own values, each of shape (n_rows,)."""
    whole = math.fsum(np.square(both))
    if not whole > len(both) * least**2:  # or NaN
        return math.nan
    return math.sqrt(math.fsum(np.square(both - apart)) / whole)


def _dependence(job: Job, block: Block, inputs: Mapping[str, np.ndarray], feature: Feature, scale: Scale) -> np.ndarray:
    """Return the centred mean prediction with all rows given one row's values, for each row: shape (n_rows,)."""
    held = [inputs[slot.input][in_all_rows(slot.index)] for slot in feature.slots]
    n_rows = len(held[0])
    changes = (
        Change(feature.slots, tuple(np.repeat(values[[row]], n_rows, axis=0) for values in held))
        for row in range(n_rows)
    )
    predictions = (job.measure.pick(predicted)[:, 0] for predicted in block.predict(changes))
    means = np.array([math.fsum(on_scale(each, scale)) / n_rows for each in predictions])
    return means - math.fsum(means) / n_rows
