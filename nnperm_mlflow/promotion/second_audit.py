"""An audit made again, without a run: model and data bound anew, and all rows disturbed once more."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.analysis.difference.recomputation import (
    confirm_interactions,
    confirm_numbers,
    confirm_own_scores,
    confirm_segments,
)
from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.auditor.measurement import measure, with_interactions
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.auditor.preparation import prepare
from nnperm_mlflow.auditor.record_assembly import record_of, write_evidence
from nnperm_mlflow.auditor.sampling import count_looks
from nnperm_mlflow.basics.audit_files import TABLE_FILE
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.config.requirements import Requirements
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import ModelReference

_FACTS = ("rows", "sampled_rows", "look", "looks", "repeats_made", "seed", "unit", "positives", "clusters")
"""Parameters of a run that a verdict rests on, beside digests."""


def bind_again(
    client: MlflowClient,
    reference: ModelReference,
    asked: AuditConfig,
    *,
    policy: Policy,
    trust_model: bool,
    folder: Path,
) -> Plan:
    """Return the plan of an audit as it would be made now.

    Parameters
    ----------
    client : MlflowClient
    reference : ModelReference
        The version.
    asked : AuditConfig
        What shall be done.
    policy : Policy
        Whose checks decide when "auto" has repeated enough; it may ask for the rows that the model was fitted to, too.
    trust_model : bool
        Allow code that came with the model to run.
    folder : Path
        Directory for downloads; made here.
    """
    folder.mkdir(parents=True)
    config = asked.with_policy(policy)
    return prepare(client, config, reference.uri, data=None, trust_model=trust_model, scratch=folder)


def as_watched(policy: Policy, record: AuditRecord, asked: AuditConfig, requires: Requirements | None) -> Policy:
    """Return the policy that an audit is bound or made again with.

    Parameters
    ----------
    policy : Policy
        That decides.
    record : AuditRecord
        The audit on record.
    asked : AuditConfig
        What shall be done.
    requires : Requirements or None
        What is found out of rows once more.

    Returns
    -------
    Policy
        Its checks are those that "auto" watched, since that decides how often and on how many rows, and so do the rows
        that were required.
    """
    own = record.config.policy
    auto = "auto" in (asked.analysis.repeats, asked.analysis.rows)
    checks = own.checks if auto and own.applies else []
    if asked.analysis.rows == "auto":
        requires = (requires or Requirements()).model_copy(update={"rows": own.least_rows or None})
    return policy.model_copy(update={"format": 2, "checks": checks, "requires": requires, "trial": None})


def audit_again(plan: Plan, record: AuditRecord, folder: Path) -> AuditRecord:
    """Make an audit again, and return its record, if what is on record agrees with it in all that is judged.

    Parameters
    ----------
    plan : Plan
        As `bind_again` returns it.
    record : AuditRecord
        The audit on record, whose run the new record names.
    folder : Path
        For the table and the other files.

    Raises
    ------
    EvidenceError
        If a number, a text or a column is another one.
    """
    if record.donors != plan.used.analysis.drawing:
        raise EvidenceError(
            f"{record} drew donors within strata as {record.donors}, and they are drawn as "
            f"{plan.used.analysis.drawing} now, so that its numbers do not come again. Audit the version again."
        )
    again = audit_anew(plan, record, folder)
    wrong = [name for name in _FACTS if name in record.params and record.params[name] != again.params.get(name)]
    if wrong:
        told = ", ".join(f"{name} is {again.params.get(name)}, and was {record.params[name]}" for name in wrong)
        raise EvidenceError(f"audited again, it is not what {record} says: {told}. Do not trust the run.")
    confirm_numbers(record.summary, again.summary)
    confirm_own_scores(record.own_scores, again.own_scores)
    confirm_segments(record.segments, again.segments)
    confirm_interactions(record.interactions, again.interactions)
    return again


def audit_anew(plan: Plan, record: AuditRecord, folder: Path) -> AuditRecord:
    """Make an audit again, and return its record, whatever is on record.

    Parameters
    ----------
    plan, record, folder
        As for `audit_again`. The plan is closed.
    """
    look = record.subject.look if plan.used.analysis.stops_by_verdict else None
    if look is not None and look > count_looks(plan):
        raise EvidenceError(f"{record} says that it stopped at look {look}, and there are {count_looks(plan)}.")
    journal = Journal(folder / "blocks")
    plan, found = measure(plan, folder / TABLE_FILE, journal=journal, at_look=look)
    found = with_interactions(plan, found, journal=journal)
    plan.close()
    write_evidence(plan, found, folder)
    return record_of(plan, found, folder, record.run_id, record.experiment_id)
