"""The verdict on a version: all checks of a policy, and whether they are kept."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from nnperm_mlflow.analysis.statistics.intervals import FEWEST_ROWS
from nnperm_mlflow.analysis.statistics.own_score import OwnScore
from nnperm_mlflow.basics.errors import CheckError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.verdict.audit_numbers import AuditNumbers
from nnperm_mlflow.verdict.checks import Baseline, apply
from nnperm_mlflow.verdict.verdict import Outcome, Subject, Verdict


def judge(
    policy: Policy,
    summary: pd.DataFrame,
    subject: Subject,
    baselines: Mapping[str, Baseline] | None = None,
    *,
    own_scores: Mapping[str, OwnScore] | None = None,
) -> Verdict:
    """Apply a policy to an audit.

    Parameters
    ----------
    policy : Policy
        With at least one check.
    summary : DataFrame
        Of the audit, see `analysis.statistics.summary.summarize`.
    subject : Subject
        What was audited; its `model` stands in messages.
    baselines : mapping of str to Baseline, optional
        For each URI that the policy compares with, as it gives it.
    own_scores : mapping of str to OwnScore, optional
        Of the undisturbed predictions, where the audit tells them.

    Returns
    -------
    Verdict

    Raises
    ------
    CheckError
        If a check cannot be answered, which is never a pass.
    """
    if subject.rows < FEWEST_ROWS:
        raise CheckError(
            f"the audit is of {subject.rows} rows: nothing is sure below {FEWEST_ROWS}, and so nothing passes. Audit "
            "more rows."
        )
    audit = AuditNumbers(subject.model, summary, own_scores or {})
    known, outcomes = baselines or {}, []
    for check in policy.checks:
        lenient = (check.undecided or policy.undecided) == "pass"
        for finding in apply(check, audit, known):
            passed = finding.state == "holds" or (finding.state == "undecided" and lenient)
            outcomes.append(Outcome(check.title, check.statement, finding, passed))
    return Verdict(subject, policy, tuple(outcomes), {asked: baseline.uri for asked, baseline in known.items()})
