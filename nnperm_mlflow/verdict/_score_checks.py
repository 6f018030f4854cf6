"""What checks look at in the scores of a model as it is: the score, or how far it lies below another version's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nnperm_mlflow.analysis.scores.own_score import OwnScore, score_difference
from nnperm_mlflow.basics.errors import CheckError, did_you_mean, name_list
from nnperm_mlflow.verdict._estimates import Estimate


def check_score(name: str, told: Sequence[str], title: str) -> None:
    """Refuse a score that an audit does not tell.

    Raises
    ------
    CheckError
    """
    if name not in told:
        there = f"which tells {name_list(told)}" if told else "which tells none"
        raise CheckError(
            f"check '{title}': '{name}' is no score of the model itself in this audit, {there}."
            f"{did_you_mean(name, list(told))} Name it under 'analysis: scores' and the outcomes under 'data: label', "
            "and audit again."
        )


def score_estimate(scores: Mapping[str, OwnScore], name: str, title: str) -> Estimate:
    """Return what a scorer says of the model as it is.

    Raises
    ------
    CheckError
        If the audit does not tell it, or not how sure it is.
    """
    check_score(name, list(scores), title)
    score = scores[name]
    if not score.has_interval:
        raise CheckError(
            f"check '{title}': how sure '{name}' of the model itself is cannot be told from {score.rows:,} rows, so it "
            "can neither pass nor fail. Audit more rows, or choose another score."
        )
    return Estimate(score.value, score.low, score.high)


def drop_estimate(
    scores: Mapping[str, OwnScore], of_baseline: Mapping[str, OwnScore], name: str, title: str
) -> Estimate:
    """Return by how much the score of the model lies below that of another version, on the same rows.

    Raises
    ------
    CheckError
        If one of the two audits does not tell it, or not how sure the difference is.
    """
    check_score(name, list(scores), title)
    check_score(name, list(of_baseline), title)
    drop = Estimate(*score_difference(scores[name], of_baseline[name]))
    if not drop.is_defined:
        raise CheckError(
            f"check '{title}': how sure the difference of '{name}' of the two versions is cannot be told, so it "
            "can neither pass nor fail. Audit more rows, or choose another score."
        )
    return drop
