"""What a reader of the numbers should know, said in the log of an audit."""

from __future__ import annotations

import logging

from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.statistics.order import CONDITIONAL, FAR, out_of_data
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.basics.errors import name_list

logger = logging.getLogger(__name__)

_HALVES = 2  # of the rows, each of which is one subgroup where nothing tells rows apart
_FEW_ROWS = 2.5  # times as far up as down reaches the interval of a mean that few rows make


def point_out(plan: Plan, found: Findings) -> None:
    """Say what a reader of the numbers should know."""
    _point_out_numbers(found, plan.noise.largest)
    _tell_own_scores(found)
    _tell_what_conditional_tests_test(found)
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


def _tell_what_conditional_tests_test(found: Findings) -> None:
    """Say of which p-values others' effect may be a part: of shuffles within subgroups that others tell apart."""
    p_values = [f"{score}_p" for score in found.own_scores if f"{score}_p" in found.summary]
    if found.subgroups is None or not p_values:
        return
    n_subgroups = found.subgroups.groupby("feature", sort=False).size()
    among_all = set(n_subgroups.index[n_subgroups <= _HALVES])
    tested = found.summary[found.summary["way"] == CONDITIONAL].dropna(subset=p_values, how="all")
    told_apart = [name for name in tested["feature"] if name not in among_all]
    if told_apart:
        logger.warning(
            "the p-values of conditional shuffles tell whether labels and feature belong together within the subgroups "
            "that were learned, and ties to others that are left inside of these count as the feature's own: a model "
            "that reads it in the place of another one may be found to need it. It is so of %s. Look at how far the "
            "score drops as well (docs/method.md)",
            name_list(told_apart),
        )


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
            summary["rows"].max(),
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
