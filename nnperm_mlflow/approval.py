"""From an audit to its verdict: the policy applied, and verdict, card, tags and description written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from nnperm_mlflow.baselines import AuditNow, Candidate, Likeness, find_baselines
from nnperm_mlflow.errors import AuditError
from nnperm_mlflow.models.pinning import ModelReference
from nnperm_mlflow.policy import Policy
from nnperm_mlflow.registry.audits import AuditRecord, find_audits
from nnperm_mlflow.registry.connection import run_address
from nnperm_mlflow.registry.linking import link_version
from nnperm_mlflow.registry.session import ERROR_TAG, MOST_MESSAGE
from nnperm_mlflow.registry.verdicts import GivenVerdict, log_verdict
from nnperm_mlflow.verdict.card import audit_card
from nnperm_mlflow.verdict.checks import Material
from nnperm_mlflow.verdict.judging import Subject, Verdict, judge

DIGESTS = ("model_digest", "data_digest", "config_digest", "table_digest", "summary_digest")
"""Parameters of an audit's run that identify what it stands on."""


@dataclass(frozen=True)
class Audited:
    """An audit that a policy can be applied to.

    Attributes
    ----------
    reference : ModelReference
        The pinned version.
    subject : Subject
    summary : DataFrame
        A row per perturbation, ordered.
    unit : str
        Of prediction and deviation.
    table : Path
        The deviation table.
    likeness : Likeness
    """

    reference: ModelReference
    subject: Subject
    summary: pd.DataFrame
    unit: str
    table: Path
    likeness: Likeness


def judge_audit(
    client: MlflowClient,
    audited: Audited,
    policy: Policy,
    pinned: Mapping[str, str],
    *,
    folder: Path,
    audit_now: AuditNow | None = None,
) -> Verdict | None:
    """Apply a policy to an audit; None where the policy has nothing to say.

    Parameters
    ----------
    client : MlflowClient
    audited : Audited
    policy : Policy
    pinned : mapping of str to str
        The versions that it compares with, see `baselines.pin_baselines`.
    folder : Path
        Directory for the files of earlier audits.
    audit_now : callable, optional
        Audits a version that has no audit to compare with.

    Raises
    ------
    CheckError
        If a check cannot be answered.
    """
    if not policy.applies:
        return None
    candidate = Candidate(audited.table, audited.summary, audited.likeness)
    baselines = find_baselines(client, policy, pinned, candidate=candidate, folder=folder, audit_now=audit_now)
    return judge(policy, Material(audited.reference.uri, audited.summary, baselines), audited.subject)


@dataclass(frozen=True)
class Approval:
    """What came of applying a policy to an audit.

    Attributes
    ----------
    verdict : Verdict or None
        None where there was no policy to apply, or it could not be answered.
    denied : list of str
        What could not be written for want of permission.
    problem : AuditError or None
        Why the policy could not be answered.
    run_id : str
        The run of the audit.
    """

    verdict: Verdict | None
    denied: list[str]
    problem: AuditError | None
    run_id: str

    def settled(self) -> Verdict | None:
        """Return the verdict, or raise what stood in its way."""
        if self.problem is None:
            return self.verdict
        raise type(self.problem)(
            f"{self.problem} The audit itself is whole (run {self.run_id}): mend the policy, and apply it with nnperm "
            "check."
        ) from self.problem


def approve(
    client: MlflowClient,
    audited: Audited,
    policy: Policy,
    pinned: Mapping[str, str],
    *,
    folder: Path,
    audit_now: AuditNow,
) -> Approval:
    """Apply its policy to an audit that has just been made, and write what comes of it.

    A policy that cannot be answered takes nothing from the audit: it stays on record, without a verdict.

    Parameters
    ----------
    client, audited, policy, pinned, folder, audit_now
        As for `judge_audit`.

    Returns
    -------
    Approval
    """
    verdict, problem = None, None
    try:
        verdict = judge_audit(client, audited, policy, pinned, folder=folder, audit_now=audit_now)
    except AuditError as error:
        problem = error
        client.set_tag(audited.subject.run_id, ERROR_TAG, str(error)[:MOST_MESSAGE])
    return Approval(verdict, write_verdict(client, audited, verdict), problem, audited.subject.run_id)


def write_verdict(client: MlflowClient, audited: Audited, verdict: Verdict | None) -> list[str]:
    """Write verdict and card into the audit's run, and onto the version where this is its newest audit.

    Returns
    -------
    list of str
        What could not be written for want of permission.
    """
    when = datetime.now(timezone.utc)
    subject = audited.subject
    card = audit_card(
        audited.summary,
        subject,
        unit=audited.unit,
        when=when,
        verdict=verdict,
        address=run_address(subject.experiment_id, subject.run_id),
    )
    denied = log_verdict(client, subject.run_id, GivenVerdict(verdict, when) if verdict else None, card)
    newer = [run for run in find_audits(client, subject.model) if run.info.run_id != subject.run_id][:1]
    own = client.get_run(subject.run_id).info.start_time
    if newer and newer[0].info.start_time > own:
        return denied
    return denied + link_version(
        client,
        audited.reference,
        run_id=subject.run_id,
        experiment_id=subject.experiment_id,
        summary=audited.summary,
        verdict=verdict,
    )


def subject_of(record: AuditRecord) -> Subject:
    """Return what an audit on record is about."""
    return Subject(
        model=record.model,
        run_id=record.run_id,
        experiment_id=record.experiment_id,
        **{name: record.param(name) for name in DIGESTS},
        rows=int(record.param("rows")),
        repeats=record.repeats,
        seed=int(record.param("seed")),
    )
