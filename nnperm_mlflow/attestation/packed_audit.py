"""An audit in a folder, held against what was signed of it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from nnperm_mlflow.attestation.signatures import Signed
from nnperm_mlflow.attestation.statements import AuditStatement, Resource, VerdictStatement, resource
from nnperm_mlflow.attestation.trust import AliasTerms
from nnperm_mlflow.basics.audit_files import RECORD_FILE, TABLE_FILE, VERDICT_FILE, file_digest
from nnperm_mlflow.basics.documents import Tolerant, validated
from nnperm_mlflow.basics.errors import EvidenceError, name_list
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.evidence.judged_evidence import confirm_look
from nnperm_mlflow.evidence.packed_record import digests_on_record, unpack_record
from nnperm_mlflow.verdict.verdict import GivenVerdict

DATA = "data"
"""How statements name the data, whose sha256 is that of `data_digest`."""


class _WithPolicy(Tolerant):
    policy: dict[str, object]
    mode: str


def evidence_digests(record: AuditRecord, packed: str) -> dict[str, str]:
    """Return the sha256 of all that an audit's statement names: its files, the data, and the file of its record.

    Parameters
    ----------
    record : AuditRecord
    packed : str
        sha256 of the last.
    """
    return {**digests_on_record(record), DATA: record.param("data_digest"), RECORD_FILE: packed}


def evidence_resources(record: AuditRecord, packed: str) -> tuple[Resource, ...]:
    """Return the same as a statement holds it.

    Raises
    ------
    EvidenceError
        If the record tells digests that are none.
    """
    told = evidence_digests(record, packed)
    try:
        return tuple(resource(name, told[name]) for name in sorted(told))
    except ValidationError as error:
        raise EvidenceError(f"{record} tells digests that are none: it is no whole audit. Audit again.") from error


def is_of_evidence(statement: AuditStatement, record: AuditRecord, packed: str) -> bool:
    """Tell whether a statement names the files of an audit."""
    named = {each.name: each.digest.sha256 for each in statement.predicate.evidence}
    return named == evidence_digests(record, packed)


def read_packed(folder: Path, signed: Signed[AuditStatement]) -> AuditRecord:
    """Return the audit in a folder, if each of its files is the one that was signed.

    Parameters
    ----------
    folder : Path
        Whose files nobody changes any more.
    signed : Signed of AuditStatement

    Raises
    ------
    EvidenceError
        If a file is another one or missing (but for the deviation table), tells of another version or run, or of a look
        that there was not.
    """
    told, record = signed.statement.predicate, unpack_record(folder)
    if not is_of_evidence(signed.statement, record, file_digest(folder / RECORD_FILE)):
        raise EvidenceError("the record of the audit is not the one that was signed: its digests are others.")
    named = (f"models:/{told.model}/{told.version}", told.run_id, signed.statement.model_digest)
    if named != (record.model, record.run_id, record.param("model_digest")):
        raise EvidenceError(f"what was signed is of {named[0]}, run {told.run_id}, and the record of another audit.")
    expected = {each.name: each.digest.sha256 for each in told.evidence if each.name != DATA}
    wrong = [name for name, digest in expected.items() if not _is(folder / name, digest)]
    if wrong:
        raise EvidenceError(
            f"{name_list(wrong)} of the bundle are missing, or other files than those that were signed."
        )
    record.refuse_damaged()
    confirm_look(record)
    return record


def _is(path: Path, digest: str) -> bool:
    """Tell whether a file has a digest; the deviation table may be kept out."""
    if not path.is_file():
        return path.name == TABLE_FILE
    return file_digest(path) == digest


def read_packed_verdict(
    folder: Path, signed: Signed[VerdictStatement], record: AuditRecord
) -> tuple[GivenVerdict, Policy]:
    """Return the verdict in a folder, and its policy, if they are those that were signed.

    Parameters
    ----------
    folder, signed
        As for `read_packed`.
    record : AuditRecord
        The audit that it is on.

    Raises
    ------
    EvidenceError
        If the file is another one, or a verdict on another audit or by another policy.
    """
    told = signed.statement.predicate
    path = folder / VERDICT_FILE
    if told.verdict.name != VERDICT_FILE or not path.is_file() or file_digest(path) != told.verdict.digest.sha256:
        raise EvidenceError(f"{VERDICT_FILE} of the bundle is missing, or another file than the one that was signed.")
    given = record.verdict
    if given is None or given.subject != record.subject.as_dict() or told.run_id != record.run_id:
        raise EvidenceError(f"{VERDICT_FILE} of the bundle is no verdict on its audit.")
    policy = policy_in(folder / VERDICT_FILE)
    if {policy.digest()} != {told.policy.digest.sha256, given.policy_digest}:
        raise EvidenceError(f"{VERDICT_FILE} of the bundle was given by another policy than the one that was signed.")
    return given, policy


def policy_in(verdict: Path) -> Policy:
    """Return the policy that a verdict's file holds.

    Raises
    ------
    EvidenceError
        If it holds none.
    """
    try:
        told = _WithPolicy.model_validate_json(verdict.read_bytes())
    except (OSError, ValidationError) as error:
        raise EvidenceError(
            f"{verdict.name} does not tell its policy. Give the verdict again: nnperm check."
        ) from error
    return validated(Policy, {**told.policy, "mode": told.mode}, f"the policy in {verdict.name}")


def refuse_other_terms(record: AuditRecord, policy: Policy | None, terms: AliasTerms, alias: str) -> None:
    """Refuse an audit that is not what an alias needs: policy, configuration, data.

    Parameters
    ----------
    record : AuditRecord
    policy : Policy or None
        Of its verdict; None where there is none.
    terms : AliasTerms
    alias : str

    Raises
    ------
    EvidenceError
        The message names what differs, what the trust file says and what the audit has.
    """
    found = {
        "data": (terms.data, record.param("data_digest")),
        "config": (terms.config, record.config.design_digest()),
        **({} if policy is None else {"policy": (terms.policy, policy.digest())}),
    }
    apart = [
        f"'{key}' ({expected[:12]} in the trust file, {had[:12]} here)"
        for key, (expected, had) in found.items()
        if expected != had
    ]
    if apart:
        raise EvidenceError(f"the audit is not what '{alias}' needs, in {', '.join(apart)}. Audit the version so.")
