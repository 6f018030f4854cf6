"""Whether a number could have been another one at all: what cannot fail is no evidence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from nnperm_mlflow.analysis.scores.p_values import SIGNIFICANT, repeats_for
from nnperm_mlflow.analysis.statistics.order import CONDITIONAL, DROP
from nnperm_mlflow.analysis.statistics.summary_columns import QUANTILES
from nnperm_mlflow.analysis.uncertainty.intervals import REACH
from nnperm_mlflow.basics.errors import CheckError, name_list
from nnperm_mlflow.config.checks import LimitCheck, RankCheck, UnusedCheck
from nnperm_mlflow.verdict._estimates import FLIPS, own_features, single_shuffles


def refuse_uninformative(summary: pd.DataFrame, statistic: str, names: Iterable[str], title: str) -> None:
    """Refuse a check on numbers that are what they are whatever the model does.

    Parameters
    ----------
    summary : DataFrame
        See `analysis.statistics.summary.summarize`.
    statistic : str
    names : iterable of str
        Perturbations that the check means.
    title : str
        Of the check, for messages.

    Raises
    ------
    CheckError
        If a perturbation changed no value, a quantile is 0 since most rows kept their values, or no decision can flip,
        which is what a statistic or a score counts.
        The message names a statistic that would answer.
    """
    rows = {str(row["perturbation"]): row for row in summary.to_dict("records")}
    meant = [(name, rows[name]) for name in names]
    untested = [name for name, row in meant if not was_tested(row)]
    if untested:
        raise CheckError(
            f"check '{title}': {name_list(untested)} changed no value in any row, so that it was not tested: that "
            "nothing moved says nothing. Audit rows in which it varies, or take it out of the check."
        )
    forced = [name for name, row in meant if _is_forced(row, statistic)]
    if forced:
        raise CheckError(
            f"check '{title}': most rows kept their values of {name_list(forced)}, so that its {statistic} is 0 "
            "whatever the model does with it. Ask for 'statistic: mean', 'changed_median' or 'flipped_share'."
        )
    still = [name for name, row in meant if statistic == FLIPS and not row.get("decisions_vary", True)]
    if still:
        raise CheckError(
            f"check '{title}': the model decides alike on all rows, {name_list(still)} disturbed or not, so that no "
            "decision could flip. Audit rows on which it decides both ways, say at which threshold it does (analysis: "
            "decision), or ask for 'statistic: mean'."
        )
    blind = [name for name, row in meant if _is_blind(row, statistic)]
    if blind:
        raise CheckError(
            f"check '{title}': predictions move with {name_list(blind)}, but {statistic} and its error are 0, since "
            "the model decides alike on all rows. Audit rows on which it decides both ways, say at which threshold it "
            "does (analysis: decision), or ask for the drop of another score, such as 'roc_auc'."
        )


def refuse_untested_members(
    summary: pd.DataFrame, groups: Mapping[str, Sequence[str]], names: Iterable[str], title: str
) -> None:
    """Refuse a check on a group of which a member never varied: what is claimed of all of it was not tested.

    Parameters
    ----------
    summary : DataFrame
        See `analysis.statistics.summary.summarize`.
    groups : mapping of str to sequence of str
        The members of each group.
    names : iterable of str
        Perturbations that the check means.
    title : str
        Of the check, for messages.

    Raises
    ------
    CheckError
    """
    rows = {str(row["perturbation"]): row for row in summary.to_dict("records")}
    for name in names:
        members = groups.get(name, ()) if rows[name]["kind"] == "group" else ()
        untested = [member for member in members if member in rows and not was_tested(rows[member])]
        if untested:
            raise CheckError(
                f"check '{title}': {name_list(untested)} of the group '{name}' changed no value in any row, so that it "
                "was not tested: what the others did says nothing of it. Audit rows in which it varies, or take it out "
                "of the group."
            )


def refuse_any_place(check: RankCheck, summary: pd.DataFrame, names: Iterable[str]) -> None:
    """Refuse a place that every feature has, however far it moves predictions.

    Raises
    ------
    CheckError
    """
    singles = set(single_shuffles(summary, check.way or "shuffle")["perturbation"])
    n_places = min(len(singles | {name}) for name in names)
    if check.rank_at_most is not None and check.rank_at_most >= n_places:
        raise CheckError(
            f"check '{check.title}': there are {n_places} places, so that no feature can miss a rank of at most "
            f"{check.rank_at_most}. Choose a smaller one, or take the check out."
        )


def refuse_any_number(check: UnusedCheck, summary: pd.DataFrame) -> None:
    """Refuse a number of unused features that no model can exceed.

    Raises
    ------
    CheckError
    """
    n_features = own_features(summary)["feature"].nunique()
    if check.unused_at_most >= n_features:
        raise CheckError(
            f"check '{check.title}': {n_features} features were audited, so that no more than {check.unused_at_most} "
            "can be unused. Choose a smaller number, or take the check out."
        )


def refuse_unreachable(check: LimitCheck, summary: pd.DataFrame, names: Iterable[str], repeats: int) -> None:
    """Refuse a limit on p-values that so few repeats cannot reach: such a check always holds, or never.

    Parameters
    ----------
    check : LimitCheck
    summary : DataFrame
        See `analysis.statistics.summary.summarize`.
    names : iterable of str
        Perturbations that the check means.
    repeats : int
        Shuffles of each feature.

    Raises
    ------
    CheckError
        The message says how many repeats are needed.
    """
    score = _score_tested_by(check.statistic, summary)
    if score is None:
        return
    rows = summary.set_index("perturbation")
    tested = int(rows[f"{score}_p"].notna().sum()) if f"{score}_p" in rows else 0
    empty = [
        name
        for name in names
        if math.isnan(rows.loc[name, check.statistic]) and rows.loc[name, "way"] in ("shuffle", CONDITIONAL)
    ]
    if empty:
        raise CheckError(
            f"check '{check.title}': {check.statistic} of {name_list(empty)} is empty, since {repeats} repeats cannot "
            f"bring it to {SIGNIFICANT:g}. Audit with 'analysis: {{repeats: {repeats_for(tested)}}}'."
        )
    if check.limit < 1 / (1 + repeats):
        raise CheckError(
            f"check '{check.title}': after {repeats} repeats no p-value is below {1 / (1 + repeats):.3g}, so that the "
            f"limit {check.limit:g} is out of reach whatever the model does. Audit with 'analysis: {{repeats: "
            f"{math.ceil(1 / check.limit) - 1 if check.limit > 0 else repeats_for(tested)}}}', or choose another limit."
        )


def refuse_p_values(check: RankCheck, summary: pd.DataFrame) -> None:
    """Refuse a rank by p-values, of which the largest says least.

    Raises
    ------
    CheckError
    """
    if _score_tested_by(check.statistic, summary) is not None:
        raise CheckError(
            f"check '{check.title}': the largest {check.statistic} would be the first, and says least. Ask for the "
            "rank by the drop itself, or by another statistic."
        )


def _score_tested_by(statistic: str, summary: pd.DataFrame) -> str | None:
    """Return the score that a p-value is of; None of any other statistic."""
    score, _, end = statistic.rpartition("_")
    return score if end in ("p", "q") and f"{score}_drop" in summary else None


def was_tested(row: Any) -> bool:  # noqa: ANN401 - a row of a summary, as a mapping
    """Tell whether a perturbation changed the feature's value in any row; of what is not told it is taken to have."""
    share = float(row["changed_share"])
    return math.isnan(share) or share > 0


def _is_forced(row: Any, statistic: str) -> bool:  # noqa: ANN401 - a row of a summary, as a mapping
    """Tell whether a quantile is 0 because so many rows kept their value, as far as such rows can tell."""
    level, share = QUANTILES.get(statistic), float(row["changed_share"])
    kept = int(row["rows"]) - int(row["skipped"])
    if level is None or math.isnan(share) or kept == 0:
        return False
    return share + REACH * math.sqrt(share * (1 - share) / kept) < 1 - level


def _is_blind(row: Any, statistic: str) -> bool:  # noqa: ANN401 - a row of a summary, as a mapping
    """Tell whether a drop is of a score that counts decisions, where none can change though predictions do."""
    return (
        statistic.endswith(DROP)
        and not row.get("decisions_vary", True)
        and row.get(f"{statistic}_error") == 0
        and row["max"] > 0
    )
