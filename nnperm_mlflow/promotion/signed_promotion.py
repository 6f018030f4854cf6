"""Carrying out what people have decided: their signatures found and counted, and the promotion signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.approval.signed_evidence import SignedEvidence, find_signed_evidence, promotions_of
from nnperm_mlflow.attestation.bundle_files import statement_name
from nnperm_mlflow.attestation.consent import Consent, find_consent
from nnperm_mlflow.attestation.envelopes import Sealed, seal
from nnperm_mlflow.attestation.key_files import SigningKey, read_key
from nnperm_mlflow.attestation.promotion_chain import chain_of, next_place
from nnperm_mlflow.attestation.statements import OnDecisions, PromotionPredicate, PromotionStatement, stamp_now
from nnperm_mlflow.attestation.trust import Trust, load_trust
from nnperm_mlflow.basics.audit_files import STATEMENTS_FOLDER
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, name_list
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.registry.aliases import SignedPromotion
from nnperm_mlflow.verdict.verdict import Verdict


@dataclass(frozen=True)
class Promoter:
    """Who carries a decision out: the key that signs, and the trust file by which all signatures count.

    Attributes
    ----------
    trust : Trust
    key : SigningKey
    person : str
    alias : str
    """

    trust: Trust
    key: SigningKey = field(repr=False)
    person: str
    alias: str


@dataclass(frozen=True)
class Agreed:
    """What a promotion rests on.

    Attributes
    ----------
    evidence : SignedEvidence
    consent : Consent
    number, predecessor : int, str or None
        Place in the promotions of the alias.
    open_findings : tuple of str
        Checks that are not kept, and waived.
    """

    evidence: SignedEvidence
    consent: Consent
    number: int
    predecessor: str | None
    open_findings: tuple[str, ...]


def promoter_of(trust: str | Path, key: str | Path | None, password: str | None, name: str, alias: str) -> Promoter:
    """Return who promotes, if their signature counts for an alias.

    Parameters
    ----------
    trust : str or Path
        The trust file.
    key : str or Path or None
        File of a promoter's key.
    password : str or None
    name, alias : str
        Of the model.

    Raises
    ------
    ConfigError
        If the key is missing, does not open, or would not count.
    """
    trusted = load_trust(trust)
    if key is None or password is None:
        raise ConfigError("a promotion by a trust file (--trust) is signed: give the promoter's key (--key FILE).")
    own = read_key(key, password)
    person = trusted.refuse_to_sign(own.public.key_id, "promoter", datetime.now(timezone.utc))
    _, terms = trusted.terms_of(name, alias)
    if person not in terms.promoters:
        raise ConfigError(f"'{person}' does not promote to '{alias}' of {name}: {name_list(terms.promoters)} do.")
    return Promoter(trusted, own, person, alias)


def find_agreed(
    client: MlflowClient,
    record: AuditRecord,
    reference: ModelReference,
    verdict: Verdict,
    *,
    promoter: Promoter,
    folder: Path,
) -> Agreed:
    """Return what people have signed for a version, if it is enough for the alias.

    Parameters
    ----------
    client : MlflowClient
    record : AuditRecord
        That was read again.
    reference : ModelReference
        The version.
    verdict : Verdict
        On what was read or computed again.
    promoter : Promoter
    folder : Path
        Directory for downloads; made here.

    Raises
    ------
    EvidenceError
        If audit or verdict are unsigned, too few people have approved, a check that is not kept was not waived, or the
        promotions before are no chain.
    """
    folder.mkdir(parents=True, exist_ok=True)
    alias, trust = promoter.alias, promoter.trust
    _, terms = trust.terms_of(str(reference.name), alias)
    evidence = find_signed_evidence(client, record, reference, alias, trust=trust, folder=folder)
    now = datetime.now(timezone.utc)
    consent = find_consent(evidence.decisions, evidence.verdict_digests, alias, terms, now)
    found = tuple(dict.fromkeys(outcome.check for outcome in verdict.not_kept))
    missing = [check for check in found if check not in consent.waived]
    if missing and verdict.policy.mode == "enforce":
        raise EvidenceError(
            f"{verdict.in_words}. Those who approve have not waived {name_list(missing)} (nnperm approve --waive "
            "CHECK)."
        )
    chain = chain_of(promotions_of(client, str(reference.name), trust, folder), alias)
    return Agreed(evidence, consent, *next_place(chain), open_findings=found)


def sign_promotion(agreed: Agreed, promoter: Promoter, replaced: str | None) -> tuple[SignedPromotion, dict[str, str]]:
    """Sign a promotion; return what it says, and the envelope by its path in the run.

    Parameters
    ----------
    agreed : Agreed
    promoter : Promoter
    replaced : str or None
        The version that has the alias.
    """
    sealed = seal(_statement(agreed, promoter, replaced).encode(), promoter.key)
    consent = agreed.consent
    told = SignedPromotion(
        by=promoter.person,
        number=agreed.number,
        statement=sealed.digest,
        audited_by=tuple(dict.fromkeys(each.person for each in agreed.evidence.audits)),
        requested_by=consent.request.person,
        reason=consent.request.statement.predicate.reason,
        approved_by=tuple(sorted(each.person for each in consent.approvals)),
        refused_by=tuple(sorted(each.person for each in consent.refusals)),
        conditions=consent.conditions,
        open_findings=agreed.open_findings,
    )
    return told, _envelope_file(sealed)


def _statement(agreed: Agreed, promoter: Promoter, replaced: str | None) -> PromotionStatement:
    rests_on = agreed.consent.request.statement.predicate.rests_on
    audit = agreed.evidence.audits[0].statement
    place = audit.predicate
    return PromotionStatement(
        subject=audit.subject,
        predicate=PromotionPredicate(
            registry=place.registry,
            model=place.model,
            version=place.version,
            at=stamp_now(),
            alias=promoter.alias,
            number=agreed.number,
            predecessor=agreed.predecessor,
            replaced=replaced,
            rests_on=OnDecisions(audit=rests_on.audit, verdict=rests_on.verdict, decisions=agreed.consent.digests),
        ),
    )


def _envelope_file(sealed: Sealed) -> dict[str, str]:
    return {f"{STATEMENTS_FOLDER}/{statement_name('promotion', sealed)}": sealed.content.decode()}
