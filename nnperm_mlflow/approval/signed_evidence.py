"""What of the signatures in runs counts for a version and an alias, by the trust file of whoever asks."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.attestation.consent import SignedDecision, may_decide
from nnperm_mlflow.attestation.envelopes import Sealed
from nnperm_mlflow.attestation.packed_audit import is_of_evidence, policy_in, refuse_other_terms
from nnperm_mlflow.attestation.promotion_chain import SignedPromotion
from nnperm_mlflow.attestation.signatures import Signed, counting, read_signed
from nnperm_mlflow.attestation.statements import (
    AnyStatement,
    AuditStatement,
    DecisionStatement,
    PromotionStatement,
    VerdictStatement,
    digest_of,
)
from nnperm_mlflow.attestation.trust import Role, Trust
from nnperm_mlflow.basics.audit_files import VERDICT_FILE, file_digest
from nnperm_mlflow.basics.errors import EvidenceError, name_list
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.evidence.packed_record import pack_record
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.registry.decision_runs import sealed_decisions, sealed_promotions
from nnperm_mlflow.registry.statement_files import statements_in

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SignedEvidence:
    """The statements that count for a version and an alias.

    Attributes
    ----------
    audits, verdicts : tuple of Signed
        On the files of one audit, and on its newest verdict.
    decisions : tuple of Signed
        On the version.
    """

    audits: tuple[Signed[AuditStatement], ...]
    verdicts: tuple[Signed[VerdictStatement], ...]
    decisions: tuple[SignedDecision, ...]

    @property
    def verdict_digests(self) -> frozenset[str]:
        """The sha256 of the statements on the verdict."""
        return frozenset(each.digest for each in self.verdicts)


def find_signed_evidence(
    client: MlflowClient, record: AuditRecord, reference: ModelReference, alias: str, *, trust: Trust, folder: Path
) -> SignedEvidence:
    """Return what was signed of an audit, its newest verdict and the version, as far as it counts.

    Parameters
    ----------
    client : MlflowClient
    record : AuditRecord
    reference : ModelReference
        The version.
    alias : str
    trust : Trust
    folder : Path
        Directory for downloads.

    Raises
    ------
    EvidenceError
        If audit or verdict are unsigned, or not what the trust file asks of the alias.
    """
    _, terms = trust.terms_of(str(reference.name), alias)
    promotions = promotions_of(client, str(reference.name), trust, folder)
    held = statements_in(record.files)
    ours = _Counting(trust, promotions, terms.auditors)
    packed = digest_of(pack_record(record))
    audits = [each for each in ours.of(held, "audit", AuditStatement) if is_of_evidence(each.statement, record, packed)]
    verdicts = ours.of(held, "verdict", VerdictStatement)
    verdicts = _on_newest(record, verdicts, {each.digest for each in audits})
    _refuse_unsigned(record, reference, audits, verdicts)
    refuse_other_terms(record, policy_in(record.files.fetch(VERDICT_FILE)), terms, alias)
    sealed = [("decision", each) for each in sealed_decisions(client, reference.uri, folder)]
    decisions = _Counting(trust, promotions).of(sealed, "decision", DecisionStatement)
    subject = audits[0].statement.subject
    own = tuple(each for each in decisions if each.statement.subject == subject and may_decide(each, trust))
    return SignedEvidence(tuple(audits), tuple(verdicts), own)


def signers_of(record: AuditRecord, trust: Trust, promotions: list[SignedPromotion]) -> tuple[str, ...]:
    """Return who has signed an audit, as far as it counts, for whatever alias; nobody where it is unsigned.

    Parameters
    ----------
    record : AuditRecord
    trust : Trust
    promotions : list of Signed
        Of the model, which vouch for what revoked keys have signed.
    """
    held = statements_in(record.files)
    signed = _Counting(trust, promotions).of(held, "audit", AuditStatement)
    own = [each for each in signed if each.statement.predicate.run_id == record.run_id]
    if not own:
        return ()
    try:
        packed = digest_of(pack_record(record))
        return tuple(dict.fromkeys(each.person for each in own if is_of_evidence(each.statement, record, packed)))
    except EvidenceError as error:
        logger.info("passed over: %s", error)
        return ()


def promotions_of(client: MlflowClient, name: str, trust: Trust, folder: Path) -> list[SignedPromotion]:
    """Return the promotions of a model that count, of all aliases: of each those whom the trust file names for it."""
    sealed = [("promotion", each) for each in sealed_promotions(client, name, folder)]
    found = _read(sealed, "promotion", PromotionStatement, trust, ("promoter", "approver"))
    own = [each for each in found if each.statement.predicate.model == name and _may_promote(each, trust)]
    return counting(own, own, trust)


def _may_promote(signed: SignedPromotion, trust: Trust) -> bool:
    """Tell whether somebody may promote to an alias; those who approve may in an emergency."""
    told = signed.statement.predicate
    terms = trust.aliases.get(f"models:/{told.model}@{told.alias}")
    if terms is None:
        return False
    return signed.person in (terms.promoters if told.emergency is None else terms.approvals.of)


@dataclass(frozen=True)
class _Counting:
    """What decides whether a statement counts: the trust file, promotions that vouch, and people, or all of them."""

    trust: Trust
    promotions: list[SignedPromotion]
    people: Collection[str] | None = None

    def of(self, held: Iterable[tuple[str, Sealed]], kind: str, of: type[AnyStatement]) -> list[Signed[AnyStatement]]:
        """Return the statements of a type that count."""
        roles: tuple[Role, ...] = ("requester", "approver") if kind == "decision" else ("auditor",)
        found = _read(held, kind, of, self.trust, roles)
        own = [each for each in found if self.people is None or each.person in self.people]
        return counting(own, self.promotions, self.trust)


def _read(
    held: Iterable[tuple[str, Sealed]], kind: str, of: type[AnyStatement], trust: Trust, roles: tuple[Role, ...]
) -> list[Signed[AnyStatement]]:
    """Return the statements of a type that trusted keys have signed; of others a line is logged."""
    found = []
    for told, sealed in held:
        if told != kind:
            continue
        try:
            found.append(read_signed(sealed, of, trust, roles, f"{kind} {sealed.digest[:12]}"))
        except EvidenceError as error:
            logger.info("passed over: %s", error)
    return found


def _on_newest(
    record: AuditRecord, verdicts: list[Signed[VerdictStatement]], audits: set[str]
) -> list[Signed[VerdictStatement]]:
    """Return the statements on the verdict that an audit has now."""
    if not record.holds(VERDICT_FILE):
        return []
    digest = file_digest(record.files.fetch(VERDICT_FILE))
    told = [(each, each.statement.predicate) for each in verdicts]
    return [each for each, on in told if on.verdict.digest.sha256 == digest and on.rests_on.audit in audits]


def _refuse_unsigned(
    record: AuditRecord,
    reference: ModelReference,
    audits: list[Signed[AuditStatement]],
    verdicts: list[Signed[VerdictStatement]],
) -> None:
    if not audits or not verdicts:
        what = "its present verdict is unsigned" if audits else "it is unsigned"
        raise EvidenceError(
            f"{record}: {what}, as far as the trust file tells. Whoever made it signs it: nnperm sign {record.run_id}"
        )
    named = {each.statement.subject[0].name for each in audits} | {each.statement.subject[0].name for each in verdicts}
    if named != {f"models:/{reference.name}/{reference.version}"}:
        raise EvidenceError(
            f"what was signed of {record} is of {name_list(sorted(named))}, not of {reference.uri}: a copy needs an "
            "audit of its own."
        )
