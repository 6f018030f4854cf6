"""Signing an audit and its verdict: a step of its own, by the service that made them."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.analysis.difference.recomputation import confirm_summary
from nnperm_mlflow.approval.audit_judgement import judge_audit
from nnperm_mlflow.attestation.bundle_recomputation import refuse_other_verdict
from nnperm_mlflow.attestation.envelopes import Sealed, seal
from nnperm_mlflow.attestation.key_files import SigningKey, read_key
from nnperm_mlflow.attestation.packed_audit import evidence_resources, policy_in
from nnperm_mlflow.attestation.statements import (
    AuditPredicate,
    AuditStatement,
    OnAudit,
    Statement,
    VerdictPredicate,
    VerdictStatement,
    digest_of,
    read_statement,
    resource,
    stamp_now,
)
from nnperm_mlflow.attestation.trust import load_trust
from nnperm_mlflow.basics.audit_files import VERDICT_FILE, file_digest
from nnperm_mlflow.basics.errors import AuditError, ConfigError, EvidenceError, name_list
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.evidence.judged_evidence import confirm_look
from nnperm_mlflow.evidence.packed_record import pack_record
from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.registry.statement_files import log_statement, statements_in

logger = logging.getLogger(__name__)

_MODEL_CODE = ("keras", "tensorflow", "torch", "onnxruntime", "nnperm_mlflow.models.loaders")
"""Modules that a process has loaded in which code of a model may have run."""


@dataclass(frozen=True)
class SignedAudit:
    """What was signed of an audit.

    Attributes
    ----------
    run_id : str
    model : str
        Pinned URI of the version.
    person, key_id : str
        Who signed, as the trust file has it.
    statements : mapping of str to str
        For each type ("audit", "verdict") the sha256 of the statement.
    files : tuple of str
        The envelopes that were written into the run now; empty where all was signed before by this key.
    """

    run_id: str
    model: str
    person: str
    key_id: str
    statements: dict[str, str]
    files: tuple[str, ...]


def sign(
    run_id: str, *, key: str | Path, password: str, trust: str | Path, table: str | Path | None = None
) -> SignedAudit:
    """Sign an audit, and its verdict if it has one, after they have been read again; the envelopes go into the run.

    Whoever signs vouches for having made the audit: sign the runs that your own service has made, and no others.

    Parameters
    ----------
    run_id : str
        The run of the audit.
    key : str or Path
        File of the private key.
    password : str
        Of that file.
    trust : str or Path
        The trust file, which names the registry and must hold the key as an auditor's.
    table : str or Path, optional
        A copy of the deviation table, where that was kept out of the run.

    Returns
    -------
    SignedAudit

    Raises
    ------
    ConfigError
        If the key does not open or its signature would not count, the audit is of no registered version, or code of
        models may have run in this process, which could have read the key.
    EvidenceError
        If the files are not those that were logged, or the numbers do not give the verdict.
    """
    _refuse_model_code()
    trusted = load_trust(trust)
    own = read_key(key, password)
    key_id = own.public.key_id
    person = trusted.refuse_to_sign(key_id, "auditor", datetime.now(timezone.utc))
    with connected() as (client, scratch):
        record = read_audit(client, run_id, scratch, None if table is None else Path(table))
        digests, files = sign_record(client, record, own, trusted.registry, scratch)
    logger.info("%s of run %s signed by '%s' (%s)", name_list(digests), run_id, person, key_id[:12])
    return SignedAudit(run_id, record.model, person, key_id, digests, files)


def _refuse_model_code() -> None:
    loaded = [name for name in _MODEL_CODE if name in sys.modules]
    if loaded:
        raise ConfigError(
            f"in this process code of a model may have run ({name_list(loaded)} are loaded), and could read the key. "
            "Sign in a process of its own: nnperm sign RUN"
        )


def sign_record(
    client: MlflowClient, record: AuditRecord, key: SigningKey, registry: str, folder: Path
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Sign what an audit's run holds; return the digests of the statements, and the files written now.

    Parameters
    ----------
    client : MlflowClient
    record : AuditRecord
    key : SigningKey
    registry : str
        As the trust file names it.
    folder : Path
        Directory for downloads.
    """
    record.refuse_damaged()
    confirm_look(record)
    if not record.lacks_table or record.own_table is not None:
        confirm_summary(record.table, record.summary)
    run, already = client.get_run(record.run_id), statements_in(record.files)
    digests: dict[str, str] = {}
    written = []
    for kind, statement in _statements(client, record, registry, folder, digests):
        sealed = _signed_before(already, kind, statement, key) or seal(statement.encode(), key)
        if (kind, sealed) not in already:
            written.append(log_statement(client, run, kind, sealed))
        digests[kind] = sealed.digest
    return digests, tuple(written)


def _statements(
    client: MlflowClient, record: AuditRecord, registry: str, folder: Path, digests: dict[str, str]
) -> Iterator[tuple[str, Statement]]:
    """Yield the statements one after the other: the verdict's names the digest of the audit's, signed by then."""
    audit = _audit_statement(record, registry)
    yield "audit", audit
    if record.verdict is not None:
        _confirm_verdict(client, record, folder / "judged")
        yield "verdict", _verdict_statement(record, audit, digests["audit"])


def _audit_statement(record: AuditRecord, registry: str) -> AuditStatement:
    match = re.fullmatch(r"models:/(.+)/(\d+)", record.model)
    if match is None:
        raise ConfigError(f"{record} is an audit of {record.model}, which is no registered version. Register it first.")
    packed = digest_of(pack_record(record))
    return AuditStatement(
        subject=(resource(record.model, record.param("model_digest")),),
        predicate=AuditPredicate(
            registry=registry,
            model=match[1],
            version=match[2],
            at=stamp_now(),
            run_id=record.run_id,
            evidence=evidence_resources(record, packed),
        ),
    )


def _verdict_statement(record: AuditRecord, audit: AuditStatement, audit_digest: str) -> VerdictStatement:
    place, path = audit.predicate, record.files.fetch(VERDICT_FILE)
    return VerdictStatement(
        subject=audit.subject,
        predicate=VerdictPredicate(
            registry=place.registry,
            model=place.model,
            version=place.version,
            at=stamp_now(),
            run_id=record.run_id,
            verdict=resource(VERDICT_FILE, file_digest(path)),
            policy=resource("policy", policy_in(path).digest()),
            rests_on=OnAudit(audit=audit_digest),
        ),
    )


def _confirm_verdict(client: MlflowClient, record: AuditRecord, folder: Path) -> None:
    """Refuse to sign a verdict that the numbers on record do not give: anybody who may write the run can change it."""
    given, policy = record.verdict, policy_in(record.files.fetch(VERDICT_FILE))
    if given is None or given.policy_digest != policy.digest() or given.subject != record.subject.as_dict():
        raise EvidenceError(f"{VERDICT_FILE} of {record} is no verdict on its audit. Give it again: nnperm check")
    try:
        found = judge_audit(client, record, policy, given.baselines, folder=folder)
    except AuditError as error:
        raise EvidenceError(f"{VERDICT_FILE} of {record} cannot be given again: {error}") from error
    if found is None:
        raise EvidenceError(f"the policy of {VERDICT_FILE} in {record} decides nothing (mode: off).")
    refuse_other_verdict(found.as_dict(), given)


def _signed_before(
    already: list[tuple[str, Sealed]], kind: str, statement: Statement, key: SigningKey
) -> Sealed | None:
    """Return the envelope in which the same key has said the same before, but for when."""
    own = (sealed for told, sealed in already if told == kind and sealed.key_id == key.public.key_id)
    return next((each for each in own if _says(each, statement) and each.is_signed_by(key.public.public)), None)


def _says(sealed: Sealed, statement: Statement) -> bool:
    try:
        found = read_statement(sealed.payload, type(statement))
    except EvidenceError:
        return False
    at = {"at": statement.predicate.at}
    return found.model_copy(update={"predicate": found.predicate.model_copy(update=at)}) == statement
