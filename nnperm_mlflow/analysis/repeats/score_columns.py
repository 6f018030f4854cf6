"""Puts drops in score beside the deviations: what labels add to an audit."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock
from nnperm_mlflow.analysis.perturbation.kinds import Perturbation, SetTo
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.scores.decision_weight import decision_weight
from nnperm_mlflow.analysis.scores.own_scores import own_scores
from nnperm_mlflow.analysis.scores.p_values import SIGNIFICANT, adjust, in_reach, repeats_for
from nnperm_mlflow.analysis.scores.score_drops import NO_DROP, p_value, score_drops
from nnperm_mlflow.analysis.scores.scorers import Scores
from nnperm_mlflow.analysis.segments.segment_scores import score_segments
from nnperm_mlflow.analysis.segments.segmentation import Segmentation
from nnperm_mlflow.analysis.statistics.order import CONDITIONAL, ordered
from nnperm_mlflow.analysis.uncertainty.intervals import REACH
from nnperm_mlflow.basics.errors import ConfigError

logger = logging.getLogger(__name__)

_FEW_FLIPS = 20
"""Decisions below which the error of a share is that of what was not seen."""


def with_scores(found: Findings, job: Job, scores: Scores, p_values: bool) -> Findings:
    """Add drops in score to a summary, and the scores of the undisturbed predictions.

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
        Ordered anew, where a drop leads, with the columns `<score>_drop` and `<score>_drop_error`, the drop's standard
        error, which is NaN where rows belong to clusters. If tested, also `<score>_p`, that of a permutation test, and
        `<score>_q`, adjusted for the number of features (Benjamini and Hochberg, 1995), and NaN where so few repeats
        cannot bring it to 0.05; NaN for set values, which draw nothing at random.
    """
    if found.predictions is None:
        raise RuntimeError("drops in score need the predictions that they are computed from")
    before = found.predictions.baseline
    own = own_scores(scores, before, job.clusters)  # what a scorer cannot do it says before anything is compared
    done, blocks = replace(job, repeats=found.repeats), list(job.deal.blocks())
    if job.clusters is not None:
        logger.warning("drops in score have no interval: how sure they are is not known for clusters of rows")
    drops = {}
    for number, perturbation in enumerate(job.perturbations):
        repeats = 1 if isinstance(perturbation, SetTo) else done.repeats  # a set value is the same in all
        perturbed = islice(found.predictions.of(number), repeats)
        donors = _donors(perturbation, done, blocks)
        untouched = _untouched(perturbation, done, blocks) if done.draws_others(perturbation) else None
        try:
            drops[perturbation.name] = score_drops(scores, before, perturbed, donors, untouched)
        except ConfigError as error:
            logger.warning("once %s no drop in score is told: %s", perturbation, error)
            drops[perturbation.name] = dict.fromkeys(scores.names, NO_DROP)
    summary = found.summary.copy()
    at_random = summary["way"] != SetTo.way
    for score in scores.names:
        each = [drops[name][score] for name in summary["perturbation"]]
        summary[f"{score}_drop"] = [drop.mean for drop in each]
        # the groups of rows that are left out in turn do not keep clusters together
        errors = np.array([drop.error if job.clusters is None else math.nan for drop in each])
        summary[f"{score}_drop_error"] = _with_unseen_flips(errors, summary, scores, score, before)
        if p_values:
            found_p = np.array([p_value(drop) for drop in each])
            tested = at_random & summary[f"{score}_drop"].notna()
            summary[f"{score}_p"] = np.where(tested, found_p, np.nan)
            adjusted = pd.Series(np.nan, index=summary.index)
            for of_way in (summary["way"] != CONDITIONAL, summary["way"] == CONDITIONAL):  # two questions
                family = tested & of_way
                adjusted[family] = _adjusted(score, found_p[family], found.repeats)
            summary[f"{score}_q"] = adjusted
    return replace(found, summary=ordered(summary, found.order_by), own_scores=own)


def with_segment_scores(found: Findings, job: Job, scores: Scores, segmentations: Sequence[Segmentation]) -> Findings:
    """Add the scores of the undisturbed predictions of each segment to what is told of segments; see `with_scores`."""
    if found.predictions is None or found.segments is None:
        raise RuntimeError("scores of segments need the predictions that they are computed from, and segments")
    told = score_segments(scores, found.predictions.baseline, segmentations, job.clusters)
    return replace(found, segments=replace(found.segments, scores=told))


def _with_unseen_flips(
    errors: np.ndarray, summary: pd.DataFrame, scores: Scores, score: str, baseline: np.ndarray
) -> np.ndarray:
    """Return standard errors that are no smaller than what flips that were not seen could make of them.

    A score that counts decisions drops by chance as often as these flip. Where hardly any of the sample did, leaving
    rows out hardly changes anything, and the error would be 0 for want of flips.

    Parameters
    ----------
    errors : ndarray of shape (n_perturbations,)
        Of the drop. Not modified.
    summary : DataFrame
        With shares of decisions that flipped, and where these lie. Not modified.
    scores : Scores
    score : str
        Name of the scorer.
    baseline : ndarray of shape (n_rows, n_outputs)
        Undisturbed predictions.
    """
    kept = summary["rows"] - summary["skipped"]
    few = (summary["flipped_share"] * kept < _FEW_FLIPS) & summary["decisions_vary"] & np.isfinite(errors)
    if not few.any():
        return errors
    weight = decision_weight(scores, score, baseline)
    if weight is None:
        return errors
    unseen = weight * (summary["flipped_share_high"] - summary["flipped_share"]) / REACH
    return np.where(few, np.maximum(errors, unseen), errors)


def _adjusted(score: str, p_values: np.ndarray, repeats: int) -> np.ndarray:
    """Return adjusted p-values, NaN where so few repeats cannot bring them to 0.05, and say so."""
    if not len(p_values):
        return p_values
    reached = in_reach(p_values, repeats)
    if not reached.all():
        logger.warning(
            "%s_q is left empty for %d of %d features: after %d repeats no p-value is below %.3g, and for so many "
            "features none of these could come to %g. %d repeats are enough for a feature that alone has an effect",
            score, np.count_nonzero(~reached), len(p_values), repeats, 1 / (1 + repeats), SIGNIFICANT,
            repeats_for(len(p_values)),
        )  # fmt: skip
    return np.where(reached, adjust(p_values), np.nan)


def _donors(perturbation: Perturbation, job: Job, blocks: Sequence[ShuffleBlock]) -> Iterator[np.ndarray] | None:
    """Yield for each repeat the position in the data of each row's donor; None where rows have none."""
    if job.donors(blocks[0], perturbation, 0) is None:
        return None

    def all_rows(repeat: int) -> np.ndarray:
        donors = np.empty(job.inputs.n_rows, dtype=np.int64)
        for block in blocks:
            donors[block.rows] = block.rows[job.permutation(block, perturbation, repeat)]
        return donors

    return map(all_rows, range(job.repeats))


def _untouched(perturbation: Perturbation, job: Job, blocks: Sequence[ShuffleBlock]) -> Iterator[np.ndarray]:
    """Yield for each repeat which rows keep their value in the permutation that is tested, and received another."""
    for repeat in range(job.repeats):
        found = np.zeros(job.inputs.n_rows, dtype=bool)
        for block in blocks:
            donors = job.donors(block, perturbation, repeat)
            found[block.rows] = False if donors is None else donors != job.permutation(block, perturbation, repeat)
        yield found
