"""What people have signed about the version of an audit, for its report."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.approval.signed_evidence import find_signed_evidence
from nnperm_mlflow.attestation.consent import SignedDecision
from nnperm_mlflow.attestation.trust import load_trust
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import pin_model
from nnperm_mlflow.report.page.decisions import SignedWord

_KEY_DIGITS = 16


def told_decisions(
    client: MlflowClient, record: AuditRecord, alias: str, trust: str | Path, folder: Path
) -> list[SignedWord]:
    """Return what was signed of an audit and counts for an alias, oldest first.

    Parameters
    ----------
    client : MlflowClient
    record : AuditRecord
    alias : str
    trust : str or Path
        The trust file.
    folder : Path
        Directory for downloads.

    Raises
    ------
    ConfigError
        If the audit is of no registered version, or the trust file cannot be used.
    EvidenceError
        If audit or verdict are unsigned, or not what the trust file asks of the alias.
    """
    reference = pin_model(client, record.model)
    if reference.name is None or reference.version is None:
        raise ConfigError(f"{record.model} is no registered version, so that nobody decides about an alias for it.")
    found = find_signed_evidence(client, record, reference, alias, trust=load_trust(trust), folder=folder)
    own = [each for each in found.decisions if each.statement.predicate.alias == alias]
    return [_told(each) for each in sorted(own, key=lambda each: (each.statement.at, each.digest))]


def _told(signed: SignedDecision) -> SignedWord:
    said = signed.statement.predicate
    waived = [f"waives {check}" for check in said.waives or ()]
    until = [f"until {said.until}"] if said.until else []
    return SignedWord(
        person=signed.person,
        act=said.act,
        at=f"{signed.statement.at:%Y-%m-%d %H:%M} UTC",
        reason=said.reason,
        conditions="; ".join([*(said.conditions or ()), *waived, *until]),
        key=signed.key_id[:_KEY_DIGITS],
    )
