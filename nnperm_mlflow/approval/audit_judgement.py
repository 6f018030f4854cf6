"""A policy applied to an audit: the verdict, and what stands in its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.approval.attempts import attempts_of
from nnperm_mlflow.approval.baselines import AuditNow, compare_with, find_baselines
from nnperm_mlflow.basics.errors import AuditError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_record import ROWS_DIGEST, AuditRecord
from nnperm_mlflow.evidence.judged_evidence import evidence_of
from nnperm_mlflow.registry.connection import command
from nnperm_mlflow.registry.error_explanation import explained
from nnperm_mlflow.verdict.judgement import judge
from nnperm_mlflow.verdict.verdict import Verdict


def judge_audit(
    client: MlflowClient,
    record: AuditRecord,
    policy: Policy,
    pinned: Mapping[str, str],
    *,
    folder: Path,
    audit_now: AuditNow | None = None,
    experiment: str | None = None,
) -> Verdict | None:
    """Apply a policy to an audit; None where the policy has nothing to say.

    Parameters
    ----------
    client : MlflowClient
    record : AuditRecord
    policy : Policy
    pinned : mapping of str to str
        The versions that it compares with, see `approval.baselines.pin_baselines`.
    folder : Path
        Directory for the files of earlier audits.
    audit_now : callable, optional
        Audits a version that has no audit to compare with.
    experiment : str, optional
        Name of the only experiment whose audits of these versions count.

    Raises
    ------
    CheckError
        If a check cannot be answered.
    """
    if not policy.applies:
        return None
    others = find_baselines(
        client, policy, pinned, record=record, folder=folder, audit_now=audit_now, experiment=experiment
    )
    verdict = judge(policy, evidence_of(record, compare_with(policy, pinned, record, others)))
    subject = verdict.subject
    attempts = attempts_of(
        client,
        policy,
        subject.model_digest,
        subject.data_digest,
        folder=folder,
        but=record.run_id,
        served=record.served_digest,
        rows=record.params.get(ROWS_DIGEST),
    )
    return replace(verdict, attempts=attempts)


@dataclass(frozen=True)
class Judgement:
    """What came of applying its policy to an audit that has just been made.

    A policy that cannot be answered takes nothing from the audit: it stays on record, without a verdict.

    Attributes
    ----------
    run_id : str
        The run of the audit.
    verdict : Verdict or None
        None where there was no policy to apply, or it could not be answered.
    problem : AuditError or None
        Why it could not be answered.
    """

    run_id: str
    verdict: Verdict | None = None
    problem: AuditError | None = None

    def settled(self) -> Verdict | None:
        """Return the verdict, or raise what stood in its way."""
        if self.problem is None:
            return self.verdict
        raise type(self.problem)(
            f"the audit itself is whole (run {self.run_id}), but its policy could not be applied: "
            f"{str(self.problem).rstrip('.')}; once that is mended, apply it with: "
            f"{command('check', '--run', self.run_id)}"
        ) from self.problem


def try_to_judge(
    client: MlflowClient,
    record: AuditRecord,
    policy: Policy,
    pinned: Mapping[str, str],
    *,
    folder: Path,
    audit_now: AuditNow | None,
) -> Judgement:
    """Apply a policy as `judge_audit` does, but hold back what stands in its way until the audit is written."""
    try:
        with explained():
            verdict = judge_audit(client, record, policy, pinned, folder=folder, audit_now=audit_now)
    except AuditError as error:
        return Judgement(record.run_id, problem=error)
    return Judgement(record.run_id, verdict)
