"""The verdict on a version: all checks of a policy, and whether they are kept."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import date, datetime, timezone

from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.basics.errors import CheckError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.verdict._required import refuse_missing
from nnperm_mlflow.verdict.audit_evidence import Evidence
from nnperm_mlflow.verdict.checks import apply
from nnperm_mlflow.verdict.verdict import Outcome, Verdict

logger = logging.getLogger(__name__)


def judge(policy: Policy, evidence: Evidence, today: date | None = None) -> Verdict:
    """Apply a policy to an audit.

    Parameters
    ----------
    policy : Policy
        With at least one check.
    evidence : Evidence
    today : date, optional
        Day of the decision, in UTC; by default that of this machine's clock.

    Returns
    -------
    Verdict

    Raises
    ------
    CheckError
        If the policy holds no longer, the audit lacks what it requires, or a check cannot be answered, which is never
        a pass.
    """
    policy.refuse_expired(today or datetime.now(timezone.utc).date())
    subject = evidence.subject
    if subject.rows < FEWEST_ROWS:
        raise CheckError(
            f"the audit is of {subject.rows} rows: nothing is sure below {FEWEST_ROWS}, and so nothing passes. Audit "
            "more rows."
        )
    if subject.clusters is not None and subject.clusters < FEWEST_ROWS:
        raise CheckError(
            f"the rows of the audit are of {subject.clusters} clusters: nothing is sure below {FEWEST_ROWS}, and so "
            "nothing passes. Audit rows of more."
        )
    if evidence.rows_mix is not None:
        raise CheckError(
            f"{subject.model} predicts a row otherwise alone, or with other rows beside it (by up to "
            f"{evidence.rows_mix}): the audit says nothing of a single decision, and so nothing passes. Log the model "
            "so that it takes each row by itself."
        )
    refuse_missing(policy, evidence)
    stages = (1 if policy.trial is None else policy.trial.n_stages) * (subject.looks or 1)
    evidence = replace(evidence, stages=stages)
    outcomes = []
    for check in policy.checks:
        if why := check.why_vacuous:  # in the first format, which keeps its meaning
            logger.warning("check '%s' cannot fail, since %s: it says nothing of the model", check.title, why)
        lenient = (check.undecided or policy.undecided) == "pass"
        for finding in apply(check, evidence):
            passed = finding.state == "holds" or (finding.state == "undecided" and lenient)
            outcomes.append(Outcome(check.title, check.statement, replace(finding, stages=stages), passed))
    pinned = {asked: baseline.uri for asked, baseline in evidence.baselines.items()}
    return Verdict(subject, policy, tuple(outcomes), pinned)
