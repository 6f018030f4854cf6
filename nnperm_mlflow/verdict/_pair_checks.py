"""The numbers that checks on pairs of features look at: what two do together beyond what each does alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pandas as pd

from nnperm_mlflow.basics.errors import CheckError, name_list
from nnperm_mlflow.config.checks import PairCheck
from nnperm_mlflow.verdict._estimates import Estimate

_SHUFFLE = "shuffle"


def check_pair(check: PairCheck, told: Sequence[Sequence[str]] | Literal["auto"] | None) -> None:
    """Refuse a check on a pair that an audit does not tell of.

    Parameters
    ----------
    check : PairCheck
    told : sequence of (str, str), "auto" or None
        Pairs that are named, or "auto" where an audit finds out which it follows; None where it tells of none.

    Raises
    ------
    CheckError
    """
    if told is None:
        ask = "auto" if check.pair == "any" else f"[[{', '.join(check.pair)}]]"
        raise CheckError(
            f"check '{check.title}': the audit tells of no pairs of features. Ask for them: 'analysis: {{interactions: "
            f"{ask}}}'."
        )
    if check.pair == "any":
        return
    if told == "auto" or set(check.pair) not in [set(pair) for pair in told]:
        there = "finds out which pairs it follows" if told == "auto" else f"tells of {name_list(map(_called, told))}"
        raise CheckError(
            f"check '{check.title}': the audit {there}, so that {_called(check.pair)} may not be among them. Name the "
            f"pair: 'analysis: {{interactions: [[{', '.join(check.pair)}]]}}'."
        )


def pair_limits(pairs: pd.DataFrame | None, check: PairCheck, summary: pd.DataFrame) -> dict[str, Estimate]:
    """Return the numbers of the pairs that a check means, by what these are called.

    Parameters
    ----------
    pairs : DataFrame or None
        As `analysis.interactions.interactions.find_interactions` returns it; None where the audit tells of none.
    check : PairCheck
    summary : DataFrame
        See `analysis.statistics.summary.summarize`: of features whose values never changed nothing is known.

    Raises
    ------
    CheckError
        If the audit does not tell of the pair, or a feature of it was not tested.
    """
    rows = [] if pairs is None else pairs.to_dict("records")
    followed = {frozenset((str(row["first"]), str(row["second"]))): row for row in rows}
    check_pair(check, None if pairs is None else [sorted(pair) for pair in followed])
    meant = [*followed] if check.pair == "any" else [frozenset(check.pair)]
    if not meant:
        raise CheckError(
            f"check '{check.title}': no pair of features was followed, since no two can interact. Leave the check out."
        )
    untested = set(summary.loc[(summary["way"] == _SHUFFLE) & (summary["changed_share"] == 0), "feature"].astype(str))
    if silent := sorted(untested.intersection(frozenset().union(*meant))):
        raise CheckError(
            f"check '{check.title}': {name_list(silent)} changed no value in any row, so that nobody can tell what it "
            "does together with others. Audit rows in which it varies, or exclude it."
        )
    ends = ("", "_low", "_high")
    return {
        _called(sorted(pair)): Estimate(*(float(followed[pair][f"{check.statistic}{end}"]) for end in ends))
        for pair in meant
    }


def _called(pair: Sequence[str]) -> str:
    return " with ".join(pair)
