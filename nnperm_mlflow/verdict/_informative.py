"""Whether a number could have been another one at all: what cannot fail is no evidence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from nnperm_mlflow.analysis.scores.p_values import SIGNIFICANT, repeats_for
from nnperm_mlflow.analysis.statistics.order import DROP
from nnperm_mlflow.analysis.statistics.summary_columns import QUANTILES
from nnperm_mlflow.analysis.uncertainty.intervals import REACH
from nnperm_mlflow.basics.errors import CheckError, name_list
from nnperm_mlflow.config.checks import LimitCheck, RankCheck
from nnperm_mlflow.verdict._estimates import FLIPS


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
        name for name in names if math.isnan(rows.loc[name, check.statistic]) and rows.loc[name, "way"] == "shuffle"
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
