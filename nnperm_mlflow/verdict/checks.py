"""Applies one check to what an audit found: it holds, it fails, or it is undecided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import singledispatch

from nnperm_mlflow.analysis.difference.comparison_result import DIFFERENCE_OF, Agreement, Comparison
from nnperm_mlflow.analysis.difference.influences import Statistic
from nnperm_mlflow.analysis.uncertainty.families import PairErrors
from nnperm_mlflow.basics.errors import CheckError, MissingBaselineError, name_list
from nnperm_mlflow.config.checks import (
    SHARE,
    AgainstCheck,
    LimitCheck,
    PairCheck,
    RankCheck,
    ScoreAgainstCheck,
    ScoreCheck,
    SegmentCheck,
    SegmentDifferenceCheck,
    SegmentScoreCheck,
    SegmentScoreDifferenceCheck,
    UnusedCheck,
    names_of,
)
from nnperm_mlflow.verdict._estimates import (
    Estimate,
    State,
    estimates_of,
    rank_of,
    single_shuffles,
    untested_features,
    unused_features,
)
from nnperm_mlflow.verdict._informative import (
    refuse_any_number,
    refuse_any_place,
    refuse_p_values,
    refuse_uninformative,
    refuse_unreachable,
    refuse_untested_members,
)
from nnperm_mlflow.verdict._pair_checks import pair_limits
from nnperm_mlflow.verdict._score_checks import check_score, drop_estimate, score_estimate
from nnperm_mlflow.verdict._segment_checks import Pair, differences, limits, score_differences, score_limits
from nnperm_mlflow.verdict.audit_evidence import Baseline, Evidence
from nnperm_mlflow.verdict.check_targets import asked_of, choose
from nnperm_mlflow.verdict.verdict import Finding

_WORST_FIRST: tuple[State, ...] = ("fails", "undecided", "holds")
_SHIFT = "largest shift"


@singledispatch
def apply(check: object, evidence: Evidence) -> list[Finding]:
    """Apply a check.

    Parameters
    ----------
    check : one of the kinds in `config.checks`
    evidence : Evidence

    Returns
    -------
    list of Finding
        One, or one for each limit of a check against another version.

    Raises
    ------
    CheckError
        If it cannot be answered: a statistic that is not there or NaN, a version without an audit.
    UnknownFeatureError
        If it names a feature that was not audited.
    """
    raise TypeError(f"{type(check).__name__} is no check")


@apply.register
def _(check: LimitCheck, evidence: Evidence) -> list[Finding]:
    numbers = estimates_of(evidence.summary, check.statistic)
    named = choose(names_of(check.feature), asked_of(check, evidence.summary), evidence.model, check.title)
    _refuse_untold(evidence, check.statistic, named, check.title)
    refuse_unreachable(check, evidence.summary, named, evidence.subject.repeats)
    found = {name: _pair(numbers[name], evidence, check.statistic, len(named)) for name in named}
    return [_worst(found, check.limit, check.max is not None, check.statistic, check.title)]


@apply.register
def _(check: RankCheck, evidence: Evidence) -> list[Finding]:
    named = choose(names_of(check.feature), asked_of(check, evidence.summary), evidence.model, check.title)
    _refuse_untold(evidence, check.statistic, named, check.title)
    refuse_p_values(check, evidence.summary)
    refuse_any_place(check, evidence.summary, named)
    statistic = "mean" if check.statistic == SHARE else check.statistic  # whose order is the same
    differences = _differences(evidence, statistic, named, check.way or "shuffle")

    def rank(name: str, among: int) -> Estimate:
        return rank_of(evidence.summary, statistic, name, differences, among=among)

    found = {name: (rank(name, evidence.stages), rank(name, evidence.stages * len(named))) for name in named}
    untested = untested_features(evidence.summary)
    if untested and check.rank_at_most is not None:
        _refuse_perhaps_behind([number for number, _ in found.values()], check, untested)
    what = f"rank by {check.statistic}"
    return [_worst(found, check.limit, check.rank_at_most is not None, what, check.title)]


def _refuse_perhaps_behind(places: Sequence[Estimate], check: RankCheck, untested: Sequence[str]) -> None:
    """Refuse a place that is kept only because nothing is known of features that may have been before it."""
    last = max(place.high for place in places)
    if last <= check.limit < last + len(untested):
        raise CheckError(
            f"check '{check.title}': {name_list(untested)} changed no value in any row, so that nobody can tell "
            "whether it moves predictions more. Audit rows in which it varies, or exclude it."
        )


@apply.register
def _(check: UnusedCheck, evidence: Evidence) -> list[Finding]:
    refuse_any_number(check, evidence.summary)
    unused, untested = unused_features(evidence.summary), untested_features(evidence.summary)
    if len(unused) <= check.unused_at_most < len(unused) + len(untested):
        raise CheckError(
            f"check '{check.title}': {name_list(untested)} changed no value in any row, so that nobody can tell "
            "whether the model uses them. Audit rows in which they vary, or exclude them."
        )
    count = Estimate(*[float(len(unused))] * 3)
    state = count.against(check.unused_at_most, at_most=True)
    kept = _IN_WORDS[state, True].format(limit=check.unused_at_most)
    words = f"{len(unused)} features are without measurable effect, {kept}"
    if unused:
        words += f": {name_list(unused)}"
    return [Finding("features without measurable effect", count, check.unused_at_most, True, state, words)]


@apply.register
def _(check: AgainstCheck, evidence: Evidence) -> list[Finding]:
    baseline = _baseline_of(check, evidence.baselines)
    comparison = baseline.comparisons[check.statistic]
    _check_comparable(check, baseline, comparison, evidence.model)
    _refuse_untold(evidence, check.statistic, comparison.differences["perturbation"], check.title)
    agreement = _agreement(check, comparison)
    asked = [
        ("rank correlation", agreement.rank_correlation, check.min_rank_correlation, False),
        (_SHIFT, agreement.largest_shift, check.max_shift, True),
    ]
    found = []
    for what, number, limit, at_most in asked:
        if limit is not None:
            pair = _pair(Estimate(number.value, number.low, number.high), evidence)
            label = f"{what} of the {check.statistic}s against {baseline.uri}"
            if what == _SHIFT and number.value:
                label += f", that of {_shifted_most(comparison, check)},"
            found.append(_worst({label: pair}, limit, at_most, "", check.title))
    return found


@apply.register
def _(check: ScoreCheck, evidence: Evidence) -> list[Finding]:
    number = score_estimate(evidence.own_scores, check.score, check.title)
    what = f"{check.score} of the model itself"
    return [_worst({what: _pair(number, evidence)}, check.limit, check.max is not None, "", check.title)]


@apply.register
def _(check: ScoreAgainstCheck, evidence: Evidence) -> list[Finding]:
    baseline = _baseline_of(check, evidence.baselines)
    drop = drop_estimate(evidence.own_scores, baseline.own_scores, check.score, check.title)
    label = f"drop of {check.score} of the model itself against {baseline.uri}"
    return [_worst({label: _pair(drop, evidence)}, check.max_drop, True, "", check.title)]


@apply.register
def _(check: SegmentCheck, evidence: Evidence) -> list[Finding]:
    names = _tested(check, check.statistic, evidence)
    found, passed_over = limits(evidence.segments, check, names, evidence.stages)
    finding = _worst(found, check.limit, check.max is not None, check.statistic, check.title)
    return [replace(finding, words=finding.words + passed_over)]


@apply.register
def _(check: SegmentDifferenceCheck, evidence: Evidence) -> list[Finding]:
    found, passed_over = differences(evidence.segments, check, _tested(check, "mean", evidence), evidence.stages)
    finding = _worst(found, check.max_difference, True, "difference of means", check.title)
    return [replace(finding, words=finding.words + passed_over)]


@apply.register
def _(check: SegmentScoreCheck, evidence: Evidence) -> list[Finding]:
    check_score(check.score, _scores_of_segments(evidence), check.title)
    found, passed_over = score_limits(evidence.segments, check, evidence.stages)
    finding = _worst(found, check.limit, check.max is not None, check.score, check.title)
    return [replace(finding, words=finding.words + passed_over)]


@apply.register
def _(check: SegmentScoreDifferenceCheck, evidence: Evidence) -> list[Finding]:
    check_score(check.score, _scores_of_segments(evidence), check.title)
    found, passed_over = score_differences(evidence.segments, check, evidence.stages)
    finding = _worst(found, check.max_difference, True, f"difference of {check.score}", check.title)
    return [replace(finding, words=finding.words + passed_over)]


@apply.register
def _(check: PairCheck, evidence: Evidence) -> list[Finding]:
    numbers = pair_limits(evidence.interactions, check, evidence.summary)
    found = {name: _pair(number, evidence, check.statistic, len(numbers)) for name, number in numbers.items()}
    what = f"{check.statistic} of what is done together"
    return [_worst(found, check.limit, check.max is not None, what, check.title)]


def _scores_of_segments(evidence: Evidence) -> list[str]:
    """Return the scores that are told of each segment."""
    told = None if evidence.segments is None else evidence.segments.scores
    return [] if told is None else list(told.scores["score"].unique())


def _tested(check: SegmentCheck | SegmentDifferenceCheck, statistic: str, evidence: Evidence) -> list[str]:
    """Return the perturbations that a check on segments means, or refuse what says nothing on any rows."""
    named = choose(names_of(check.feature), asked_of(check, evidence.summary), evidence.model, check.title)
    _refuse_untold(evidence, statistic, named, check.title)
    return named


def _pair(number: Estimate, evidence: Evidence, statistic: str = "", n: int = 1) -> Pair:
    """Return a number with both intervals, each at its share of the level where it is looked at in several stages."""
    return number.of_family(evidence.stages, statistic), number.of_family(evidence.stages * n, statistic)


def _refuse_untold(evidence: Evidence, statistic: str, named: Iterable[str], title: str) -> None:
    """Refuse numbers that say nothing of the model."""
    refuse_uninformative(evidence.summary, statistic, named, title)
    refuse_untested_members(evidence.summary, evidence.groups, named, title)


def _baseline_of(check: AgainstCheck | ScoreAgainstCheck, baselines: Mapping[str, Baseline]) -> Baseline:
    if check.against not in baselines:
        raise MissingBaselineError(
            f"check '{check.title}': there is no audit of {check.against} on the same data with the same donors. Audit "
            "it with the same configuration."
        )
    return baselines[check.against]


def _differences(evidence: Evidence, statistic: str, names: list[str], way: str) -> PairErrors | None:
    """Return how the differences err that the places of features rest on, where the deviation table tells."""
    of_table: dict[str, Statistic] = {"median": "median", "mean": "mean"}
    if evidence.differences is None or statistic not in of_table:
        return None
    others = single_shuffles(evidence.summary, way)["perturbation"].astype(str).tolist()
    return evidence.differences(of_table[statistic], names, others)


def _check_comparable(check: AgainstCheck, baseline: Baseline, comparison: Comparison, model: str) -> None:
    """Refuse a comparison that would leave something out without a word."""
    if comparison.undefined:
        raise CheckError(
            f"check '{check.title}': {name_list(comparison.undefined)} has no deviations in one of the two versions "
            "('skipped' in summary.csv tells why), so it can neither pass nor fail."
        )
    only = [*comparison.only_a, *comparison.only_b]
    if only and not check.allow_missing:
        raise CheckError(
            f"check '{check.title}': only one of {baseline.uri} and {model} has {name_list(only)}, which would go "
            "unchecked. Audit both alike, or say 'allow_missing: true' where a version may have other features."
        )


def _agreement(check: AgainstCheck, comparison: Comparison) -> Comparison | Agreement:
    """Return how far two versions agree: in all that was done, or in one way of shuffling."""
    if check.way is None:
        return comparison
    if check.way not in comparison.by_way:
        raise CheckError(
            f"check '{check.title}': nothing was shuffled in the way '{check.way}' in both audits. Audit both with "
            "'analysis: {donors: conditional}'."
        )
    return comparison.by_way[check.way]


def _shifted_most(comparison: Comparison, check: AgainstCheck) -> str:
    differences = comparison.differences
    if check.way is not None:
        differences = differences[differences["way"] == check.way]
    sizes = differences[DIFFERENCE_OF[check.statistic]].abs()
    return str(differences["perturbation"].iloc[int(sizes.argmax())])


def _refuse_undefined(numbers: Mapping[str, Estimate], what: str, title: str) -> None:
    """Refuse numbers that are not there, or of which nobody can tell how sure they are."""
    undefined = [name for name, number in numbers.items() if not math.isfinite(number.value)]
    if undefined:
        raise CheckError(
            f"check '{title}': {what} is not defined for {name_list(undefined)}, so it can neither pass nor fail. Name "
            "features for which it is defined; summary.csv shows what is missing."
        )
    unsure = [name for name, number in numbers.items() if not number.is_defined]
    if unsure:
        raise CheckError(
            f"check '{title}': how sure {what} of {name_list(unsure)} is cannot be told from these rows, so it can "
            "neither pass nor fail. Audit more rows, or ask for another statistic."
        )


def _worst(found: Mapping[str, Pair], limit: float, at_most: bool, what: str, title: str) -> Finding:
    """Return the finding for the number that keeps the limit least.

    Each comes twice: with its own interval, and with one that is right of all of them at once.
    """
    _refuse_undefined({name: number for name, (number, _) in found.items()}, what or "the number", title)
    states = {name: number.against(limit, at_most, among) for name, (number, among) in found.items()}
    sign = -1 if at_most else 1

    def badness(name: str) -> tuple[int, float]:
        number, _ = found[name]
        return _WORST_FIRST.index(states[name]), sign * (number.high if at_most else number.low)

    ordered = sorted(found, key=badness)
    of = ordered[0]
    number, _ = found[of]
    also = tuple(name for name in ordered[1:] if states[name] != "holds")
    subject = f"{what} of {of}" if what else of
    words = f"{subject} is {number}, {_IN_WORDS[states[of], at_most].format(limit=limit)}"
    if states[of] == "undecided" and number.against(limit, at_most) == "fails":
        words += f" as the worst of {len(found)}"
    if also:
        words += f"; not kept by {name_list(also)} either"
    return Finding(of, number, limit, at_most, states[of], words, also, len(found))


_IN_WORDS = {
    ("holds", True): "at most {limit:g} as asked",
    ("holds", False): "at least {limit:g} as asked",
    ("fails", True): "and must be at most {limit:g}",
    ("fails", False): "and must be at least {limit:g}",
    ("undecided", True): "which does not tell whether it is at most {limit:g}",
    ("undecided", False): "which does not tell whether it is at least {limit:g}",
}
