"""Puts drops in score beside the deviations: what labels add to an audit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.findings import Findings
from nnperm_mlflow.analysis.job import Job
from nnperm_mlflow.analysis.perturbations import Perturbation, SetTo
from nnperm_mlflow.analysis.predictions import Predictions
from nnperm_mlflow.analysis.scores import Drop, Scores, adjust, p_value, score_drops
from nnperm_mlflow.analysis.shuffling import shuffle_blocks


def with_scores(found: Findings, job: Job, scores: Scores, p_values: bool) -> Findings:
    """Add drops in score to a summary.

    Parameters
    ----------
    found : Findings
        With predictions.
    job : Job
    scores : Scores
    p_values : bool
        Whether to test them as well.

    Returns
    -------
    Findings
        With the columns `<score>_drop` and `<score>_drop_error`, the drop's standard error. If tested, also
        `<score>_p`, that of a permutation test, and `<score>_q`, adjusted for the number of features (Benjamini and
        Hochberg, 1995); NaN for set values, which draw nothing at random.
    """
    if found.predictions is None:
        raise RuntimeError("drops in score need the predictions that they are computed from")
    done = replace(job, repeats=found.repeats)
    drops = {
        perturbation.name: _drops(number, perturbation, done, found.predictions, scores)
        for number, perturbation in enumerate(job.perturbations)
    }
    summary = found.summary.copy()
    at_random = summary["way"] != SetTo.way
    for score in scores.names:
        each = [drops[name][score] for name in summary["perturbation"]]
        summary[f"{score}_drop"] = [drop.mean for drop in each]
        summary[f"{score}_drop_error"] = [drop.error for drop in each]
        if p_values:
            found_p = np.array([p_value(drop) for drop in each])
            summary[f"{score}_p"] = np.where(at_random, found_p, np.nan)
            adjusted = pd.Series(np.nan, index=summary.index)
            adjusted[at_random] = adjust(found_p[at_random])
            summary[f"{score}_q"] = adjusted
    return replace(found, summary=summary)


def _drops(
    number: int, perturbation: Perturbation, job: Job, predictions: Predictions, scores: Scores
) -> dict[str, Drop]:
    """Return the drop in each score; a set value is the same in all repeats, so that one will do."""
    repeats = 1 if isinstance(perturbation, SetTo) else job.repeats
    perturbed = islice(predictions.of(number), repeats)
    return score_drops(scores, predictions.baseline, perturbed, _donors(perturbation, job))


def _donors(perturbation: Perturbation, job: Job) -> Iterator[np.ndarray] | None:
    """Yield for each repeat the position in the data of each row's donor; None where rows have none."""
    blocks = list(shuffle_blocks(job.inputs.n_rows, job.seed))
    if job.donors(blocks[0], perturbation, 0) is None:
        return None

    def all_rows(repeat: int) -> np.ndarray:
        donors = np.empty(job.inputs.n_rows, dtype=np.int64)
        for block in blocks:
            positions = job.donors(block, perturbation, repeat)
            donors[block.rows] = block.rows[positions]
        return donors

    return (all_rows(repeat) for repeat in range(job.repeats))
