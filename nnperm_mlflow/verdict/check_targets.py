"""Which perturbations a check means, by names and patterns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

import pandas as pd

from nnperm_mlflow.analysis.perturbation.kinds import Perturbation
from nnperm_mlflow.analysis.repeats.stopping_rule import DIFFERENCE, Number, Watched
from nnperm_mlflow.analysis.statistics.summary_columns import NUMBERS
from nnperm_mlflow.basics.errors import CheckError, UnknownFeatureError, did_you_mean, name_list
from nnperm_mlflow.config.checks import (
    SHARE,
    LimitCheck,
    PairCheck,
    RankCheck,
    ScoreAgainstCheck,
    ScoreCheck,
    SegmentCheck,
    SegmentDifferenceCheck,
    SegmentScoreCheck,
    SegmentScoreDifferenceCheck,
    names_of,
)
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.verdict._estimates import check_statistic, single_shuffles
from nnperm_mlflow.verdict._pair_checks import check_pair
from nnperm_mlflow.verdict._score_checks import check_score
from nnperm_mlflow.verdict._segment_checks import check_segment

_WILD = frozenset("*?[")


def watch(
    policy: Policy,
    perturbations: Sequence[Perturbation],
    scores: Sequence[str],
    model: str,
    segments: Mapping[str, Sequence[str]] | None = None,
    *,
    p_values: bool = False,
    also: Sequence[str] = (),
    pairs: Sequence[Sequence[str]] | Literal["auto"] | None = None,
) -> Watched:
    """Return what a policy rests on; refuse one that asks for what an audit will not tell.

    Parameters
    ----------
    policy : Policy
    perturbations : sequence of Perturbation
        What is going to be done.
    scores : sequence of str
        Of the model as it is, and whose drops will be told.
    model : str
        Pinned URI of the version, for messages.
    segments : mapping of str to sequence of str, optional
        Names of the segments of each column that will be told of.
    p_values : bool
        Whether these drops will be tested.
    also : sequence of str
        Other columns that the summary will have.
    pairs : sequence of (str, str), "auto" or None
        Pairs of features that will be told of, or "auto" where it is found out which.

    Returns
    -------
    frozenset of Number
        As `rests_on` returns it.

    Raises
    ------
    UnknownFeatureError
        If a check names a feature that is not disturbed.
    CheckError
        If it asks for a statistic that is not told.
    """
    planned = pd.DataFrame(
        [(done.name, done.feature.name, done.feature.kind, done.way) for done in perturbations],
        columns=["perturbation", "feature", "kind", "way"],
    )
    of_scores = ("drop", "p", "q") if p_values else ("drop",)
    statistics = [*NUMBERS, *also, *(f"{score}_{end}" for score in scores for end in of_scores)]
    watched = rests_on(policy, planned, model)
    for check in policy.checks if policy.applies else ():
        if isinstance(check, (LimitCheck, RankCheck)):
            check_statistic(check.statistic, statistics)
        elif isinstance(check, (ScoreCheck, ScoreAgainstCheck)):
            check_score(check.score, scores, check.title)
        elif isinstance(check, (SegmentCheck, SegmentDifferenceCheck)):
            check_segment(check, segments or {})
        elif isinstance(check, PairCheck):
            check_pair(check, pairs)
        elif isinstance(check, (SegmentScoreCheck, SegmentScoreDifferenceCheck)):
            check_score(check.score, scores, check.title)
            check_segment(check, segments or {})
    return watched


def rests_on(policy: Policy, summary: pd.DataFrame, model: str) -> Watched:
    """Return the numbers on whose intervals the limits, ranks and segments of a policy rest.

    Parameters
    ----------
    policy : Policy
    summary : DataFrame
        A row for each perturbation with `perturbation`, `feature`, `kind` and `way`.
    model : str
        Pinned URI of the version, for messages.

    Returns
    -------
    frozenset of Number
        Perturbations, each with a statistic. A rank rests on that statistic of all features that have a place, and a
        share on the mean of all features of whose sum it is a part. What a check compares with another version is not
        among them: how sure that is only the audits of both tell.

    Raises
    ------
    UnknownFeatureError
        If a check names a feature that is not there.
    """
    found: set[Number] = set()
    for check in policy.checks if policy.applies else ():
        if isinstance(check, (LimitCheck, RankCheck)):
            meant = choose(names_of(check.feature), asked_of(check, summary), model, check.title)
            is_share = check.statistic == SHARE
            if is_share or isinstance(check, RankCheck):
                way = check.way if isinstance(check, RankCheck) else None
                meant += [str(name) for name in single_shuffles(summary, way or "shuffle")["perturbation"]]
            found |= {Number(name, "mean" if is_share else check.statistic) for name in meant}
        elif isinstance(check, (SegmentCheck, SegmentDifferenceCheck)):
            meant = choose(names_of(check.feature), asked_of(check, summary), model, check.title)
            statistic = check.statistic if isinstance(check, SegmentCheck) else DIFFERENCE
            found |= {Number(name, statistic, check.segment) for name in meant}
    return frozenset(found)


def asked_of(
    check: LimitCheck | RankCheck | SegmentCheck | SegmentDifferenceCheck, summary: pd.DataFrame
) -> pd.DataFrame:
    """Return the rows of a summary that a check can mean."""
    way = check.way or "shuffle" if isinstance(check, RankCheck) else check.way
    of_way = summary if way is None else summary[summary["way"] == way]
    is_share = isinstance(check, (LimitCheck, RankCheck)) and check.statistic == SHARE
    return single_shuffles(of_way) if is_share else of_way


def choose(names: tuple[str, ...], summary: pd.DataFrame, model: str, title: str) -> list[str]:
    """Return the perturbations that names and patterns mean, in the order of the summary; all where none are given.

    A name means the feature, in whatever way it was disturbed, or the one perturbation that is called so.

    Raises
    ------
    UnknownFeatureError
        If one means nothing.
    CheckError
        If there is nothing to choose from.
    """
    if summary.empty:
        raise CheckError(f"check '{title}': nothing of that kind was disturbed in the audit of {model}.")
    perturbations, features = summary["perturbation"].astype(str), summary["feature"].astype(str)
    if not names:
        return list(perturbations)
    chosen = pd.Series(data=False, index=summary.index)
    for name in names:
        meant = (perturbations == name) | (features == name)
        if not meant.any() and _WILD & set(name):
            meant = perturbations.map(_matcher(name)) | features.map(_matcher(name))
        if not meant.any():
            known = list(dict.fromkeys([*features, *perturbations]))
            raise UnknownFeatureError(
                f"check '{title}': '{name}' is no feature that was disturbed in the audit of {model}, which has "
                f"{name_list(known)}.{did_you_mean(name, known)}"
            )
        chosen |= meant
    return list(perturbations[chosen])


def _matcher(pattern: str) -> Callable[[str], bool]:
    return lambda name: fnmatchcase(name, pattern)
