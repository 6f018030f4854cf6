"""The measurement of an audit: every row disturbed and predicted, and what a reader of the numbers should know."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.analysis.engine.progress import Progress, nobody
from nnperm_mlflow.analysis.interactions.interactions import find_interactions
from nnperm_mlflow.analysis.out_of_data.disturbed_rows import with_out_of_data
from nnperm_mlflow.analysis.profiles.accumulated import find_effects
from nnperm_mlflow.analysis.profiles.profiles import find_profiles
from nnperm_mlflow.analysis.profiles.value_intervals import accumulated_features
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.score_columns import with_scores, with_segment_scores
from nnperm_mlflow.analysis.repeats.stopping_rule import named
from nnperm_mlflow.analysis.repeats.subgroup_sizes import with_subgroups
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.statistics.order import FAR, out_of_data
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.auditor.resources import check_room
from nnperm_mlflow.auditor.sampling import looks
from nnperm_mlflow.basics.errors import NonFinitePredictionError, name_list
from nnperm_mlflow.config.interactions_config import interactions_of
from nnperm_mlflow.config.profile_config import accumulated_of, dependence_of

logger = logging.getLogger(__name__)

_FEW_ROWS = 2.5  # times as far up as down reaches the interval of a mean that few rows make


def measure(
    plan: Plan, table: Path, progress: Progress = nobody, journal: Journal | None = None
) -> tuple[Plan, Findings]:
    """Disturb, predict, and describe what came out, on as many rows as are asked for, or as are enough.

    Where their number is to be found out, each look is an audit of a sample by itself; of the rows that the one before
    had the journal knows all. So what comes of the last is what an audit of a sample of its size gives. The interval at
    a stop by its width is the ordinary one, which keeps its coverage as that width becomes small.

    Parameters
    ----------
    plan : Plan
    table : Path
        File for the deviation table.
    progress : callable, optional
        Is told the rows done and the rows in all.
    journal : Journal, optional
        Where finished blocks are kept, and found.

    Returns
    -------
    plan : Plan
        On the rows that were audited.
    findings : Findings
        Its summary also tells what is `measurable`, and drops in score where these are asked for.

    Raises
    ------
    PredictionError
        If the model fails, predicts NaN, or predicts nothing at all because every row lacks something.

    References
    ----------
    Chow and Robbins, "On the Asymptotic Theory of Fixed-Width Sequential Confidence Intervals for the Mean", Annals of
    Mathematical Statistics, 1965.
    """
    work = table.parent if journal is None else journal.folder.parent
    for look in looks(plan):
        if look.rows_precision is None:
            found = _find_out(look, table, progress, journal)
            break
        check_room(look, table.parent, work)
        found = replace(_find_out(look, table, progress, journal), watched=plan.watched)
        wide = found.widths[found.widths["width"] > look.rows_precision]
        if wide.empty:
            logger.info("%s are enough", look.dataset.in_words)
            break
        logger.info("%s: intervals are up to %.3g wide", look.dataset.in_words, wide["width"].max())
    else:
        _tell_wide(look, wide)
    if look.used.analysis.out_of_data:
        found = with_out_of_data(found, look.job)
    _point_out(look, found)
    return look, found


def _find_out(plan: Plan, table: Path, progress: Progress = nobody, journal: Journal | None = None) -> Findings:
    """Disturb and predict the rows of one plan, without a word on what came out."""
    job = plan.job
    logger.info(
        "%s: %s rows, %d features, %d perturbations, at most %s rows a block",
        job.model, f"{plan.dataset.n_rows:,}", len(job.inputs.features), len(job.perturbations), f"{plan.block_rows:,}",
    )  # fmt: skip
    if not plan.used.analysis.exact:
        logger.info("shortcuts were off by at most %.3g on the rows tried out", job.predictor.largest_difference)
    scored = None
    if plan.scores is not None:
        scored = partial(with_scores, job=job, scores=plan.scores, p_values=plan.used.analysis.p_values)
    precision = plan.precision
    in_each_pass = precision is not None and precision.rests_on_scores(plan.order_by)
    found = find(
        job,
        plan.block_rows,
        table,
        progress,
        row_ids=plan.dataset.row_ids,
        record=plan.record,
        precision=precision,
        journal=journal,
        order_by=plan.order_by,
        segmentations=plan.segmentations,
        scored=scored if in_each_pass else None,
    )
    if not found.tally.n_kept.any():
        raise NonFinitePredictionError(
            f"{job.model} predicts none of the {plan.dataset.n_rows:,} rows: something that it needs is missing in "
            "each. Fill in what is missing, or give rows that lack nothing."
        )
    found.summary["measurable"] = found.summary["max"] > plan.noise.largest
    found.summary["tested"] = found.summary["changed_share"] != 0
    if scored is not None and not in_each_pass:
        found = scored(found)
    found = with_subgroups(found, job)
    if found.segments is not None and plan.scores is not None:
        found = with_segment_scores(found, job, plan.scores, plan.segmentations)
    return found


def _tell_wide(plan: Plan, wide: pd.DataFrame) -> None:
    """Warn of intervals that stay wider than asked, with what they are of."""
    logger.warning(
        "%s, the most there are or allowed: intervals are up to %.3g wide, not %.3g: %s",
        plan.dataset.in_words, wide["width"].max(), plan.rows_precision, name_list(named(wide)),
    )  # fmt: skip


def profile(plan: Plan, progress: Progress = nobody, journal: Journal | None = None) -> pd.DataFrame | None:
    """Tell the mean prediction over values of the features that the configuration names; None where it names none.

    Parameters
    ----------
    plan, progress, journal
        As for `measure`.

    Returns
    -------
    DataFrame or None
        As `analysis.profiles.profiles.find_profiles` returns it.
    """
    names = dependence_of(plan.used.analysis.profile)
    if not names:
        return None
    logger.info("profiles of %s", name_list(names))
    return find_profiles(plan.job, plan.block_rows, names, progress, journal)


def accumulate_effects(plan: Plan, progress: Progress = nobody, journal: Journal | None = None) -> pd.DataFrame | None:
    """Tell how the prediction goes along the values of features (accumulated local effects); None where nobody asks.

    Parameters
    ----------
    plan, progress, journal
        As for `measure`.

    Returns
    -------
    DataFrame or None
        As `analysis.profiles.accumulated.find_effects` returns it.
    """
    features = accumulated_features(plan.job, accumulated_of(plan.used.analysis.profile))
    if not features:
        return None
    logger.info("accumulated local effects of %s", name_list([feature.name for feature in features]))
    return find_effects(plan.job, plan.block_rows, features, progress, journal)


def with_interactions(
    plan: Plan, found: Findings, progress: Progress = nobody, journal: Journal | None = None
) -> Findings:
    """Add what pairs of features do together, where the configuration asks for it.

    Parameters
    ----------
    plan : Plan
    found : Findings
        Of its rows.
    progress, journal
        As for `measure`.
    """
    asked = interactions_of(plan.used.analysis.interactions)
    if asked is None:
        return found
    logger.info("interactions of %s", "all pairs" if asked.pairs == "auto" else f"{len(asked.pairs)} pairs")
    order = [str(name) for name in found.summary["perturbation"]]
    told = find_interactions(plan.job, asked, plan.block_rows, order=order, progress=progress, journal=journal)
    skipped = int(told["skipped"].max()) if len(told) else 0
    if skipped:
        logger.warning("pairs were told of without rows that have no prediction, or no logit: up to %d", skipped)
    return replace(found, interactions=told)


def _point_out(plan: Plan, found: Findings) -> None:
    """Say what a reader of the numbers should know."""
    _point_out_numbers(found, plan.noise.largest)
    _tell_own_scores(found)
    if found.segments is not None:
        _tell_small_segments(found.segments)


def _tell_own_scores(found: Findings) -> None:
    """Say how good the model is, and where it is no better than guessing: wrong data show at once."""
    for name, score in found.own_scores.items():
        logger.info("the model itself: %s %s", name, score)
        if score.no_better:
            logger.warning(
                "'%s' of the model itself is %s, no better than guessing (%.4g): are these the data and the outcomes "
                "that it was made for?",
                name, score, score.guess,
            )  # fmt: skip


def _tell_small_segments(tables: SegmentTables) -> None:
    """Say which segments are below the floor."""
    if small := tables.too_small:
        logger.warning(
            "%d of %d segments are below %d rows (or clusters): they are counted and not judged: %s",
            len(small), tables.segments["segment"].nunique(), FEWEST_ROWS, name_list(small),
        )  # fmt: skip


def _point_out_numbers(found: Findings, noise: float) -> None:
    """Say what effects are none, and which numbers rest on few rows."""
    summary = found.summary
    untested = summary.loc[~summary["tested"], "perturbation"]
    if len(untested):
        logger.warning("not tested, since no row's value changed: %s", name_list(untested))
    silent = summary.loc[~summary["measurable"] & summary["tested"], "perturbation"]
    if len(silent):
        logger.info("no measurable effect (at most %.3g, the model's own noise): %s", noise, name_list(silent))
    skipped = summary.loc[summary["skipped"] > 0, "perturbation"]
    if len(skipped):
        most = int(summary["skipped"].max())
        logger.warning(
            "rows without a prediction, or without a donor in their stratum, were left out: up to %d of %d, of %s",
            most,
            summary["rows"][0],
            name_list(skipped),
        )
    far = out_of_data(summary)
    if len(far):
        logger.warning(
            "most of what the model was asked cannot occur, since a learner tells these disturbed rows from the data "
            "(out_of_data above %g): %s. Look at conditional shuffles as well (analysis: {donors: conditional}), or "
            "shuffle features that go together as a group",
            FAR, name_list(far["perturbation"]),
        )  # fmt: skip
    few = summary["mean_high"] - summary["mean"] > _FEW_ROWS * (summary["mean"] - summary["mean_low"])
    few &= summary["mean"] > 0
    if few.any():
        logger.warning(
            "few rows make most of the mean of %s: its interval reaches up to where one row more like them takes it",
            name_list(summary.loc[few, "perturbation"]),
        )
    unsteady = float(found.tally.unmoved_largest.max())
    if unsteady > 0:
        logger.warning(
            "rows whose value did not change moved by up to %.3g: the model mixes rows or draws random numbers, and "
            "deviations of that size mean nothing",
            unsteady,
        )
