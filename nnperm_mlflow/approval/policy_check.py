"""A policy applied to an audit that exists, without running the model."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.approval.audit_contents import contents_of
from nnperm_mlflow.approval.audit_judgement import judge_audit
from nnperm_mlflow.approval.baselines import pin_baselines
from nnperm_mlflow.basics.display import in_a_line
from nnperm_mlflow.basics.errors import CheckError, ConfigError, EvidenceError, name_list
from nnperm_mlflow.basics.paths import local_path
from nnperm_mlflow.config.policy import AnyPolicy, Policy, load_policy
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import pin_model
from nnperm_mlflow.registry.audits import only_experiment
from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.registry.publisher import is_newest
from nnperm_mlflow.registry.records import newest_audit, read_audit
from nnperm_mlflow.registry.sightings import Sightings
from nnperm_mlflow.registry.verdicts import log_verdict
from nnperm_mlflow.registry.version_link import link_version, of_source
from nnperm_mlflow.verdict.verdict import Verdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckResult:
    """What a check of an audit came to.

    Attributes
    ----------
    verdict : Verdict
    not_linked : list of str
        What could not be written for want of permission.
    """

    verdict: Verdict
    not_linked: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        denied = [f"not written: {name_list(self.not_linked)}"] if self.not_linked else []
        subject = self.verdict.subject
        return in_a_line("CheckResult", self.verdict.in_words, subject.model, f"run {subject.run_id}", *denied)

    def _repr_html_(self) -> str:
        return self.verdict._repr_html_()


def check(
    model_uri: str | None = None,
    *,
    run_id: str | None = None,
    policy: AnyPolicy = None,
    table: str | Path | None = None,
    experiment: str | None = None,
) -> CheckResult:
    """Apply a policy to an audit on record, and write the verdict.

    Parameters
    ----------
    model_uri : str, optional
        The version, whose newest audit is meant; or
    run_id : str, optional
        the run that holds the audit.
    policy : Policy, str or Path, optional
        The policy or its file; by default the one that the audit was asked to apply.
    table : str or Path, optional
        A copy of the deviation table, where that was kept out of the run.
    experiment : str, optional
        Name of the only experiment whose audits count, that of the version as of those it is compared with.

    Returns
    -------
    CheckResult

    Raises
    ------
    EvidenceError
        If there is no such audit, or its files have been changed.
    CheckError
        If a check cannot be answered; nothing is written then.
    """
    with connected() as (client, scratch):
        record = find_record(client, scratch, run_id=run_id, model_uri=model_uri, table=table, experiment=experiment)
        used = policy_for(record, policy)
        pinned = pin_baselines(client, used)
        verdict = judge_audit(client, record, used, pinned, folder=scratch, experiment=experiment)
        if verdict is None:
            raise CheckError("the policy's mode is 'off': there is no verdict to give. Set it to enforce or dry_run.")
        return CheckResult(verdict, _write(client, record, verdict, model_uri))


def _write(client: MlflowClient, record: AuditRecord, verdict: Verdict, asked: str | None) -> list[str]:
    """Write a verdict into the audit's run, and onto the version where this is its newest audit; and onto its copy."""
    content, link = contents_of(record, verdict)
    denied = log_verdict(client, client.get_run(record.run_id), content)
    reference = pin_model(client, record.model)
    if reference.name and reference.version and is_newest(client, reference.uri, record.run_id):
        denied += link_version(client, reference.name, reference.version, link)
    copy = reference if asked is None else pin_model(client, asked)
    if copy.name and copy.version and copy.uri != reference.uri:
        denied += link_version(client, copy.name, copy.version, of_source(link, reference.uri))
    return denied


def find_record(
    client: MlflowClient,
    folder: Path,
    *,
    run_id: str | None = None,
    model_uri: str | None = None,
    table: str | Path | None = None,
    experiment: str | None = None,
    sightings: Sightings | None = None,
) -> AuditRecord:
    """Return the audit of a run, or the newest one of a version, see `registry.audits.find_audits`.

    Raises
    ------
    ConfigError
        If neither is named, or both are.
    EvidenceError
        If there is no such audit, it lies in another experiment than the only one whose audits count, or the newest one
        of the version cannot be read.
    """
    if (run_id is None) == (model_uri is None):
        raise ConfigError("name either a run (--run) or a version (--model-uri).")
    own_table = None if table is None else local_path(table, "the deviation table")
    if run_id is not None:
        record = read_audit(client, run_id, folder / run_id, own_table)
        if experiment is not None:
            _refuse_outside(client, record, experiment)
        return record
    uri = pin_model(client, str(model_uri)).uri
    return newest_audit(client, uri, folder, experiment, own_table, sightings=sightings)


def _refuse_outside(client: MlflowClient, record: AuditRecord, experiment: str) -> None:
    """Refuse an audit that lies in another experiment than the one whose audits count."""
    if record.experiment_id != only_experiment(client, experiment):
        raise EvidenceError(
            f"{record} does not lie in the experiment '{experiment}', whose audits alone count. Name a run that does "
            "(--run), or leave it out, and the newest there is taken."
        )


def policy_for(record: AuditRecord, policy: AnyPolicy) -> Policy:
    """Return the policy to apply to an audit: the one given, else the one that the audit was asked to apply.

    Raises
    ------
    ConfigError
        If there is none, or it has no checks.
    """
    if isinstance(policy, (str, Path)):
        return load_policy(policy)
    used = policy if policy is not None else record.config.policy
    if not used.checks:
        raise ConfigError(f"{record} was audited without a policy: name one (--policy FILE).")
    return used
