"""What two features do together beyond what each does alone: how much, and how sure that is.

References
----------
Hooker, "Discovering Additive Structure in Black Box Functions", KDD 2004; Liu and Owen, "Estimating Mean Dimensionality
of Analysis of Variance Decompositions", Journal of the American Statistical Association 101, 2006.
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
from nnperm_mlflow.analysis.interactions.h_statistic import h_statistics
from nnperm_mlflow.analysis.interactions.interaction_columns import INTERACTION_COLUMNS
from nnperm_mlflow.analysis.interactions.interaction_numbers import tell_pairs
from nnperm_mlflow.analysis.interactions.pair_choice import (
    TOP,
    check_interactions,
    leading_features,
    pairable,
)
from nnperm_mlflow.analysis.interactions.pair_ranking import rank_pairs
from nnperm_mlflow.analysis.interactions.pairs import Pair, SecondDifferences, shared_job
from nnperm_mlflow.analysis.interactions.scales import on_scale, rounding_on
from nnperm_mlflow.config.interactions_config import InteractionsConfig, Scale
from nnperm_mlflow.models.separability import never_interact


def find_interactions(
    job: Job,
    asked: InteractionsConfig,
    block_rows: int,
    *,
    order: Sequence[str] = (),
    progress: Progress = nobody,
    journal: Journal | None = None,
) -> pd.DataFrame:
    """Tell of pairs of features what they do together beyond what each does alone.

    Parameters
    ----------
    job : Job
    asked : InteractionsConfig
    block_rows : int
    order : sequence of str
        Names of features, those first that lead by themselves.
    progress : callable, optional
    journal : Journal, optional
        Where finished blocks are kept, and found: that of the audit.

    Returns
    -------
    DataFrame
        A row for each pair that was followed, the largest `mean` first, with the columns `INTERACTION_COLUMNS`. With
        D = f(both) - f(first) - f(second) + f, both features from one donor for each row, `mean` is the mean of |D|,
        `share` the mean of D squared / 4, over the variance of f; each with its 95 % interval, the variance taken as
        it is. `interacts` says whether the mean is surely more than rounding. `h` is the H of Friedman and Popescu
        where it was asked for, `scale` that on which all of this is, `ranked_by` the mean of |D| on the rows on which
        all pairs were ranked. Of a pair that no step of the network can bring together all is 0, without a call.
    """
    named, ranks = check_interactions(asked, job), dict[tuple[str, str], float]()
    if asked.pairs == "auto":
        ranked = rank_pairs(job, leading_features(pairable(job), order), asked.scale)
        named = [pair for pair, mean in ranked[:TOP] if mean > 0]
        ranks = {(first.name, second.name): mean for (first, second), mean in ranked[:TOP]}
    called = [pair for pair in named if not never_interact(job.predictor, *pair, scale=asked.scale)]
    told = {}
    if called:
        found = second_differences(job, called, block_rows, asked.scale, progress=progress, journal=journal)
        told = tell_pairs(job, called, found)
    hs = h_statistics(job, called, asked.scale) if asked.h else {}
    nothing = {"mean": 0.0, "mean_low": 0.0, "mean_high": 0.0, "share": 0.0, "share_low": 0.0, "share_high": 0.0}
    none = {**nothing, "interacts": False, "rows": job.inputs.n_rows, "skipped": 0}
    rows = []
    for pair in named:
        key = (pair[0].name, pair[1].name)
        h = hs.get(key, math.nan if key in told or not asked.h else 0.0)
        names = {"first": key[0], "second": key[1]}
        rows.append(
            {**names, **told.get(key, none), "h": h, "scale": asked.scale, "ranked_by": ranks.get(key, math.nan)}
        )
    table = pd.DataFrame(rows, columns=list(INTERACTION_COLUMNS))
    return table.sort_values("mean", ascending=False, kind="stable").reset_index(drop=True)


def second_differences(
    job: Job,
    pairs: Sequence[Pair],
    block_rows: int,
    scale: Scale,
    *,
    progress: Progress = nobody,
    journal: Journal | None = None,
) -> SecondDifferences:
    """Find the second differences of some pairs on all rows of a job.

    Parameters
    ----------
    job : Job
        That follows one output; what perturbations it has does not matter.
    pairs : sequence of (Feature, Feature)
    block_rows : int
    scale : {"prediction", "logit"}
    progress : callable, optional
    journal : Journal, optional
        Where finished blocks are kept, and found.

    Returns
    -------
    SecondDifferences
        A row in which a feature of the pair holds its donor's value already has D = 0.
    """
    own, n_rows = shared_job(job, pairs), job.inputs.n_rows
    place = {name: number for number, name in enumerate(dict.fromkeys(each.name for pair in pairs for each in pair))}
    values = np.empty((len(pairs), n_rows), dtype=np.float32)
    baseline, rounding = np.empty(n_rows), np.zeros((len(pairs), n_rows), dtype=np.float32)
    for result in reporting(run_blocks(own, block_rows, journal), n_rows, progress):
        (predictions,), (moved,) = result.predictions or [[]], result.moved
        followed = [job.measure.pick(each)[:, 0] for each in (result.all_outputs, *predictions)]
        known = [on_scale(each, scale) for each in followed]
        errors = [rounding_on(each, scale) for each in followed]
        baseline[result.rows] = known[0]
        for number, pair in enumerate(pairs):
            one, other, both = (*(place[feature.name] for feature in pair), len(place) + number)
            found = known[1 + both] - known[1 + one] - known[1 + other] + known[0]
            still = np.isfinite(found) & ~(moved[one] & moved[other])
            values[number, result.rows] = np.where(still, 0.0, found)
            of_all = errors[1 + both] + errors[1 + one] + errors[1 + other] + errors[0]
            with np.errstate(over="ignore"):
                rounding[number, result.rows] = np.where(still, 0.0, of_all)
    return SecondDifferences(values, baseline, np.array([_mean(each) for each in rounding]))


def _mean(values: np.ndarray) -> float:
    """Return the mean of what is known, whatever the order of the rows."""
    known = values[np.isfinite(values)].astype(np.float64)
    return math.fsum(known) / len(known) if len(known) else math.nan
