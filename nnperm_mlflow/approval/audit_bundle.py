"""Packing an audit with all that was signed of it, so that a third party can verify it without any server."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.attestation.bundle_files import statement_name, write_bundle
from nnperm_mlflow.attestation.envelopes import Sealed
from nnperm_mlflow.attestation.packed_audit import is_of_evidence
from nnperm_mlflow.attestation.statements import (
    AuditStatement,
    DecisionStatement,
    PromotionStatement,
    VerdictStatement,
    read_statement,
)
from nnperm_mlflow.attestation.trust import Trust, load_trust
from nnperm_mlflow.basics.audit_files import (
    RECORD_FILE,
    TABLE_FILE,
    VERDICT_FILE,
    VERDICTS_FOLDER,
    file_digest,
)
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, name_list
from nnperm_mlflow.basics.paths import local_directory
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.evidence.packed_record import digests_on_record, pack_record
from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.registry.decision_runs import sealed_decisions, sealed_promotions
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.registry.statement_files import statements_in

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WrittenBundle:
    """A bundle that was written.

    Attributes
    ----------
    path : Path
    files : tuple of str
        Their names in it.
    left_out : tuple of str
        Files of the run that look like statements on the audit, and were left out, with the reason.
    """

    path: Path
    files: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """A statement on the audit, with its envelope."""

    kind: str
    sealed: Sealed
    statement: AuditStatement | VerdictStatement


_OfPeople = tuple[str, tuple[str, Sealed]]
"""An alias, and the type and envelope of what somebody has signed about it."""


def bundle(
    run_id: str,
    output: str | Path,
    *,
    trust: str | Path | None = None,
    alias: str | None = None,
    table: str | Path | None = None,
) -> WrittenBundle:
    """Write a bundle of an audit: its files, its verdict, what was signed of both, and decisions and promotions on it.

    Parameters
    ----------
    run_id : str
        The run of the audit, which has been signed (`sign`).
    output : str or Path
        A zip, where it ends so, else a folder; there is none of that name yet.
    trust : str or Path, optional
        A trust file: statements of keys that it does not hold are left out. Whoever may write the run may have put some
        there, and a bundle with one is refused.
    alias : str, optional
        Whose decisions and promotions go with it; may be left out where there are none of others.
    table : str or Path, optional
        A copy of the deviation table, where that was kept out of the run.

    Returns
    -------
    WrittenBundle

    Raises
    ------
    EvidenceError
        If the audit has not been signed, or a file is not the one that was logged.
    ConfigError
        If the bundle cannot be written, or an alias has to be named.
    """
    target = local_directory(output, "the bundle")
    trusted = None if trust is None else load_trust(trust)
    with connected() as (client, scratch):
        record = read_audit(client, run_id, scratch, None if table is None else Path(table))
        packed = scratch / RECORD_FILE
        packed.write_bytes(pack_record(record))
        found, left_out = _statements_on(record, file_digest(packed), trusted)
        files = {RECORD_FILE: packed, **_evidence(record), **_verdict_file(record, found)}
        verdicts = {each.sealed.digest for each in found if each.kind == "verdict"}
        people, others = _of_people(client, record, verdicts, trusted, scratch / "decisions")
        for kind, sealed in [*((each.kind, each.sealed) for each in found), *_of_alias(people, alias)]:
            name = statement_name(kind, sealed)
            files[name] = scratch / name
            files[name].write_bytes(sealed.content)
        left_out += others
        write_bundle(target, files)
    return WrittenBundle(target, tuple(sorted(files)), left_out)


def _statements_on(record: AuditRecord, packed: str, trust: Trust | None) -> tuple[list[_Found], tuple[str, ...]]:
    """Return what was signed of an audit and of its newest signed verdict, and what was left out, with the reason."""
    found, left_out = [], []
    for kind, sealed in statements_in(record.files):
        try:
            each = _on_audit(kind, sealed, record, packed, trust)
        except EvidenceError as error:
            left_out.append(f"{statement_name(kind, sealed)}: {error}")
            continue
        if each is not None:
            found.append(each)
    audits = [each for each in found if each.kind == "audit"]
    if not audits:
        raise EvidenceError(f"{record} is unsigned: whoever made it signs it (nnperm sign {record.run_id}).")
    digests = {each.sealed.digest for each in audits}
    return audits + _newest(_verdicts(found), digests), tuple(left_out)


def _on_audit(kind: str, sealed: Sealed, record: AuditRecord, packed: str, trust: Trust | None) -> _Found | None:
    """Return a statement on an audit or its verdict; None of other types."""
    if kind not in ("audit", "verdict"):
        return None
    what = statement_name(kind, sealed)
    of: type[AuditStatement] | type[VerdictStatement] = AuditStatement if kind == "audit" else VerdictStatement
    statement = read_statement(sealed.payload, of, what)
    if statement.predicate.run_id != record.run_id:
        raise EvidenceError("it is of another run")
    if isinstance(statement, AuditStatement) and not is_of_evidence(statement, record, packed):
        raise EvidenceError("it is of other files")
    _refuse_strangers(sealed, trust)
    return _Found(kind, sealed, statement)


def _refuse_strangers(sealed: Sealed, trust: Trust | None) -> None:
    if trust is None:
        return
    if sealed.key_id not in trust.keys or not sealed.is_signed_by(trust.keys[sealed.key_id].public):
        raise EvidenceError("no key of the trust file has signed it")


def _of_people(
    client: MlflowClient, record: AuditRecord, verdicts: set[str], trust: Trust | None, folder: Path
) -> tuple[list[_OfPeople], tuple[str, ...]]:
    """Return the decisions and promotions that rest on a verdict, and what was left out, with the reason."""
    name = record.model.removeprefix("models:/").rpartition("/")[0]
    folder.mkdir()
    sealed = [("decision", each) for each in sealed_decisions(client, record.model, folder)]
    sealed += [("promotion", each) for each in sealed_promotions(client, name, folder)]
    found, left_out = [], []
    for kind, each in sealed:
        try:
            of: type[DecisionStatement] | type[PromotionStatement] = (
                DecisionStatement if kind == "decision" else PromotionStatement
            )
            statement = read_statement(each.payload, of, statement_name(kind, each))
            if statement.predicate.rests_on.verdict in verdicts:
                _refuse_strangers(each, trust)
                found.append((statement.predicate.alias, (kind, each)))
        except EvidenceError as error:
            left_out.append(f"{statement_name(kind, each)}: {error}")
    return found, tuple(left_out)


def _of_alias(people: list[_OfPeople], alias: str | None) -> list[tuple[str, Sealed]]:
    """Return what people have signed for one alias."""
    there = sorted({each for each, _ in people})
    if alias is None and len(there) > 1:
        raise ConfigError(f"there are decisions or promotions for {name_list(there)}: say which go with it (--alias).")
    return [sealed for each, sealed in people if alias in (None, each)]


def _verdicts(found: Sequence[_Found]) -> list[tuple[VerdictStatement, _Found]]:
    return [(each.statement, each) for each in found if isinstance(each.statement, VerdictStatement)]


def _newest(verdicts: list[tuple[VerdictStatement, _Found]], audits: set[str]) -> list[_Found]:
    """Return the statements on the verdict that was signed last; there may be several, by different keys."""
    own = [pair for pair in verdicts if pair[0].predicate.rests_on.audit in audits]
    if not own:
        return []
    last = max(own, key=lambda pair: pair[0].at)[0].predicate.verdict
    return [each for statement, each in own if statement.predicate.verdict == last]


def _evidence(record: AuditRecord) -> dict[str, Path]:
    """Return the files of an audit, their digests checked; the deviation table may have been kept out."""
    files = {}
    for name, digest in digests_on_record(record).items():
        if name == TABLE_FILE:
            if record.own_table is not None or not record.lacks_table:
                files[name] = record.table
            continue
        files[name] = record.files.fetch(name, digest)
        if file_digest(files[name]) != digest:
            raise EvidenceError(f"{name} of {record} has been changed. Audit the version again.")
    return files


def _verdict_file(record: AuditRecord, found: Sequence[_Found]) -> dict[str, Path]:
    """Return the file of the verdict that was signed, which need not be the newest of the run."""
    wanted = [statement.predicate.verdict.digest.sha256 for statement, _ in _verdicts(found)]
    if not wanted:
        return {}
    for name in [VERDICT_FILE, *record.files.names_in(VERDICTS_FOLDER)]:
        path = record.files.fetch(name)
        if file_digest(path) == wanted[0]:
            return {VERDICT_FILE: path}
    raise EvidenceError(f"the verdict that was signed is not in {record} any more. Sign the present one: nnperm sign")
