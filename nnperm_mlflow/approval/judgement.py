"""From an audit to its verdict: the policy applied, and what is told of that in the run and on the version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient

from nnperm_mlflow.approval.baselines import AuditNow, Candidate, Likeness, find_baselines
from nnperm_mlflow.basics.errors import AuditError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.registry.connection import command, run_address
from nnperm_mlflow.registry.records import AuditRecord
from nnperm_mlflow.registry.refusals import explained
from nnperm_mlflow.registry.verdicts import Judgement, judgement_of
from nnperm_mlflow.registry.version_link import Link, link_of
from nnperm_mlflow.report.audit_card import audit_card
from nnperm_mlflow.verdict.checks import Baseline, Material
from nnperm_mlflow.verdict.judgement import Subject, Verdict, judge

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
    table : Path or None
        The deviation table, where it is to be compared with others.
    likeness : Likeness
    """

    reference: ModelReference
    subject: Subject
    summary: pd.DataFrame
    unit: str
    table: Path | None
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
        The versions that it compares with, see `approval.baselines.pin_baselines`.
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
    baselines: Mapping[str, Baseline] = {}
    if audited.table is not None:
        candidate = Candidate(audited.reference.uri, audited.table, audited.summary, audited.likeness)
        baselines = find_baselines(client, policy, pinned, candidate=candidate, folder=folder, audit_now=audit_now)
    return judge(policy, Material(audited.reference.uri, audited.summary, baselines), audited.subject)


@dataclass(frozen=True)
class Judged:
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
    audited: Audited,
    policy: Policy,
    pinned: Mapping[str, str],
    *,
    folder: Path,
    audit_now: AuditNow | None,
) -> Judged:
    """Apply a policy as `judge_audit` does, but hold back what stands in its way until the audit is written."""
    run_id = audited.subject.run_id
    try:
        with explained():
            verdict = judge_audit(client, audited, policy, pinned, folder=folder, audit_now=audit_now)
    except AuditError as error:
        return Judged(run_id, problem=error)
    return Judged(run_id, verdict)


def told_of(audited: Audited, verdict: Verdict | None) -> tuple[Judgement, Link]:
    """Return what the run, and what the version shall tell of an audit and its verdict."""
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
    link = link_of(audited.summary, subject.run_id, subject.experiment_id, when, verdict, rows=subject.rows)
    return judgement_of(verdict, card, when), link


def subject_of(record: AuditRecord) -> Subject:
    """Return what an audit on record is about."""
    return Subject(
        model=record.model,
        run_id=record.run_id,
        experiment_id=record.experiment_id,
        **{name: record.param(name) for name in DIGESTS},
        rows=record.rows,
        repeats=record.repeats,
        seed=record.seed,
    )
