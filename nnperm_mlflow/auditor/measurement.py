"""The measurement of an audit: every row disturbed and predicted, and what a reader of the numbers should know."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pandas as pd

from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.analysis.engine.progress import Progress, nobody
from nnperm_mlflow.analysis.interactions.group_effects import group_effects
from nnperm_mlflow.analysis.interactions.interactions import find_interactions
from nnperm_mlflow.analysis.out_of_data.disturbed_rows import with_out_of_data
from nnperm_mlflow.analysis.profiles.accumulated import find_effects
from nnperm_mlflow.analysis.profiles.profiles import find_profiles
from nnperm_mlflow.analysis.profiles.value_intervals import accumulated_features
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.score_columns import with_scores, with_segment_scores
from nnperm_mlflow.analysis.repeats.stopping_rule import named, sure_enough
from nnperm_mlflow.analysis.repeats.subgroup_sizes import with_subgroups
from nnperm_mlflow.analysis.statistics.summary_columns import OUT_OF_DATA
from nnperm_mlflow.auditor.elsewhere import AuditElsewhere
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.auditor.remarks import point_out
from nnperm_mlflow.auditor.resources import check_room
from nnperm_mlflow.auditor.sampling import look_at, looks, on_batches, rows_of_looks
from nnperm_mlflow.basics.audit_files import TABLE_FILE
from nnperm_mlflow.basics.errors import NonFinitePredictionError, name_list
from nnperm_mlflow.config.interactions_config import interactions_of
from nnperm_mlflow.config.profile_config import accumulated_of, dependence_of

logger = logging.getLogger(__name__)

Lacks = Callable[[Plan, Findings], str]
"""Returns in words what keeps a look at a growing sample from being the last; nothing where its rows are enough."""


def measure(
    plan: Plan,
    table: Path,
    progress: Progress = nobody,
    journal: Journal | None = None,
    *,
    lacks: Lacks | None = None,
    at_look: int | None = None,
) -> tuple[Plan, Findings]:
    """Disturb, predict, and describe what came out, on as many rows as are asked for, or as are enough.

    Where their number is to be found out, each look is an audit of a sample by itself; of the rows that the one before
    had the journal knows all. So what comes of the last is what an audit of a sample of its size gives. The interval at
    a stop by its width is the ordinary one, which keeps its coverage as that width becomes small. Where checks decide
    when to stop, each look is judged at its share of the level: the number of looks is fixed before any row is read, so
    that a limit is kept by chance alone at one of them no more often than at a single look (Lan and DeMets, 1983).

    Parameters
    ----------
    plan : Plan
    table : Path
        File for the deviation table.
    progress : callable, optional
        Is told the rows done and the rows in all.
    journal : Journal, optional
        Where finished blocks are kept, and found.
    lacks : callable, optional
        Tells where a number of rows is to be found out what keeps a look from being the last, see `Lacks`.
    at_look : int, optional
        Make that look alone, counted from 1, whatever comes of it: as an audit that stopped there is made again.

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
    Lan and DeMets, "Discrete Sequential Boundaries for Clinical Trials", Biometrika, 1983.
    """
    if plan.elsewhere is not None:
        found = _find_elsewhere(plan, table.parent, progress)
    elif plan.used.analysis.rows == "auto" and at_look is None:
        plan, found = _look_by_look(plan, table, progress, journal, lacks=lacks or _wide)
    else:
        plan = plan if at_look is None else look_at(plan, at_look)
        found = find_out(plan, table, progress, journal)
    found = _with_out_of_data(plan, found)
    point_out(plan, found)
    return plan, found


def _look_by_look(
    plan: Plan, table: Path, progress: Progress, journal: Journal | None, *, lacks: Lacks
) -> tuple[Plan, Findings]:
    """Audit growing samples until one is enough, and return the plan on its rows and what came of them."""
    work = table.parent if journal is None else journal.folder.parent
    stopped: dict[int, int] = {}
    for look in looks(plan):
        check_room(look, table.parent, work)
        narrowed = replace(look, job=replace(look.job, stopped=stopped))
        found = replace(find_out(narrowed, table, progress, journal), watched=plan.watched)
        if look.used.analysis.stops_by_verdict:  # a check may rest on it
            found = _with_out_of_data(look, found)
        lacking = lacks(look, found)
        if not lacking:
            logger.info("%s are enough%s", look.dataset.in_words, _of_fewer(narrowed))
            return look, found
        logger.info("%s%s: %s", look.dataset.in_words, _of_fewer(narrowed), lacking)
        stopped = {**dict.fromkeys(_sure_enough(look, found), len(look.job.deal.sizes)), **stopped}
    logger.warning("%s, the most there are or allowed: %s", look.dataset.in_words, lacking)
    return look, found


def _with_out_of_data(plan: Plan, found: Findings) -> Findings:
    """Add how far disturbed rows lie outside of the data, where that is asked for and not told yet."""
    if not plan.used.analysis.out_of_data or OUT_OF_DATA in found.summary:
        return found
    return with_out_of_data(found, plan.job)


def expect_rows(asked: Plan) -> int | None:
    """Return how many rows the look has at which intervals will be narrow enough; None where no width is asked for.

    Those of one batch, which is audited for it, are taken to narrow as the root of the rows.
    """
    if asked.rows_precision is None:
        return None
    batch = on_batches(asked, 1)
    with tempfile.TemporaryDirectory() as folder:
        found = replace(find_out(batch, Path(folder) / TABLE_FILE), watched=asked.watched)
    widest = 0.0 if found.widths.empty else found.widest
    needed = batch.dataset.n_rows * (widest / asked.rows_precision) ** 2
    *fewer, most = rows_of_looks(asked)
    return next((n_rows for n_rows in fewer if n_rows >= needed), most)


def _wide(plan: Plan, found: Findings) -> str:
    """Return in words which intervals are still wider than asked."""
    asked, widths = plan.rows_precision or 0.0, found.widths
    wide = widths[widths["width"] > asked]
    if wide.empty:
        return ""
    return f"intervals are up to {wide['width'].max():.3g} wide, not {asked:.3g}: {name_list(named(wide))}"


def _sure_enough(plan: Plan, found: Findings) -> list[int]:
    """Return the positions of the perturbations that need not be audited on more rows.

    With drops in score, and with segments, all go on: a score is of the same rows as the model's own, and what each
    segment needs another perturbation does not tell.
    """
    analysis, width = plan.used.analysis, plan.rows_precision
    if width is None or analysis.scores or analysis.segments or plan.dataset.n_rows < plan.used.policy.least_rows:
        return []
    names = set(sure_enough(found.summary, plan.order_by, plan.watched, width))
    return [place for place, done in enumerate(plan.job.perturbations) if (done.name, done.way) in names]


def _of_fewer(plan: Plan) -> str:
    """Return in words how many perturbations were sure enough on fewer rows; nothing where none was."""
    n_stopped, n_all = len(plan.job.stopped), len(plan.job.perturbations)
    return f" ({n_stopped:,} of {n_all:,} perturbations were sure enough on fewer)" if n_stopped else ""


def find_out(plan: Plan, table: Path, progress: Progress = nobody, journal: Journal | None = None) -> Findings:
    """Disturb and predict the rows of one plan, see `measure`, without a word on what came out."""
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
    found = _marked(plan, found)
    if scored is not None and not in_each_pass:
        found = scored(found)
    found = with_subgroups(found, job)
    found = replace(found, groups=group_effects(replace(job, repeats=found.repeats), table))
    if found.segments is not None and plan.scores is not None:
        found = with_segment_scores(found, job, plan.scores, plan.segmentations)
    return found


def _find_elsewhere(plan: Plan, folder: Path, progress: Progress) -> Findings:
    there = cast("AuditElsewhere", plan.elsewhere)  # as `RowsElsewhere.bind` gave it
    found = there.find(
        plan.job,
        plan.block_rows,
        folder,
        progress,
        reference=plan.reference,
        exact=plan.used.analysis.exact,
        order_by=plan.order_by,
        watched=plan.watched,
    )
    return _marked(plan, found)


def _marked(plan: Plan, found: Findings) -> Findings:
    """Add to a summary what is measurable, and what was tested; refuse one of nothing."""
    if not found.tally.n_kept.any():
        raise NonFinitePredictionError(
            f"{plan.job.model} predicts none of the {plan.dataset.n_rows:,} rows: something that it needs is missing "
            "in each. Fill in what is missing, or give rows that lack nothing."
        )
    found.summary["measurable"] = found.summary["max"] > plan.noise.largest
    found.summary["tested"] = found.summary["changed_share"] != 0
    return found


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
