"""Giving a version an alias without an audit: signed by one who may approve, and to be made good in time."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path

from nnperm_mlflow.approval.signed_evidence import promotions_of
from nnperm_mlflow.attestation.bundle_files import statement_name
from nnperm_mlflow.attestation.envelopes import seal
from nnperm_mlflow.attestation.key_files import read_key
from nnperm_mlflow.attestation.promotion_chain import SignedPromotion as InChain
from nnperm_mlflow.attestation.promotion_chain import chain_of, next_place
from nnperm_mlflow.attestation.statements import (
    OnDecisions,
    PromotionPredicate,
    PromotionStatement,
    resource,
    stamp_now,
    stamp_of,
)
from nnperm_mlflow.attestation.trust import Trust, load_trust
from nnperm_mlflow.basics.audit_files import STATEMENTS_FOLDER
from nnperm_mlflow.basics.errors import AuditError, ConfigError, RefusedError, name_list
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from nnperm_mlflow.registry.aliases import Promotion, SignedPromotion, holder_of, move_alias
from nnperm_mlflow.registry.connection import connected, current_user
from nnperm_mlflow.verdict.verdict import stamp

logger = logging.getLogger(__name__)

NO_VERDICT = "none"
"""What such a promotion tells in the place of a verdict."""


def promote_in_emergency(
    model_uri: str,
    alias: str,
    *,
    reason: str,
    within_hours: float,
    trust: str | Path | None,
    key: str | Path | None,
    password: str | None,
) -> Promotion:
    """Give a version an alias without an audit, and write down until when there has to be one.

    Parameters
    ----------
    model_uri, alias : str
    reason : str
        Why; it is signed.
    within_hours : float
        Until when an ordinary promotion has to follow; from then on `guard` reports.
    trust, key : str or Path
        The trust file, and the key of somebody whom it names among those who approve.
    password : str
        Of the key.

    Raises
    ------
    ConfigError
        If the key would not count, or no reason or trust file is given.
    RefusedError
        If the model's files cannot be read, the promotions before are no chain, or the alias moves meanwhile.
    """
    if trust is None or key is None or password is None or not reason.strip():
        raise ConfigError("an emergency (--emergency) needs a reason, a trust file (--trust) and a key (--key).")
    now, trusted, own = datetime.now(timezone.utc), load_trust(trust), read_key(key, password)
    person = trusted.refuse_to_sign(own.public.key_id, "approver", now)
    until = stamp_of(now + timedelta(hours=within_hours))
    with connected() as (client, scratch):
        reference = pin_model(client, model_uri)
        if reference.name is None or reference.version is None:
            raise ConfigError(f"{model_uri} is no registered version: give models:/name/4.")
        _refuse_stranger(trusted, reference, alias, person)
        holder = holder_of(client, reference.name, alias)
        try:
            digest = download_model(reference, scratch / "model").digest()
            chain = chain_of(promotions_of(client, reference.name, trusted, scratch), alias)
        except AuditError as error:
            raise RefusedError(f"{reference} does not become '{alias}': {error}") from error
        statement = _statement(reference, alias, digest, chain, (trusted.registry, reason, until, holder))
        sealed = seal(statement.encode(), own)
        signed = SignedPromotion(
            by=person,
            number=statement.predicate.number,
            statement=sealed.digest,
            audited_by=(),
            requested_by=person,
            reason=reason,
            approved_by=(person,),
        )
        promotion = Promotion(
            model=reference.name,
            version=reference.version,
            alias=alias,
            replaced=holder,
            by=current_user(),
            at=stamp(now),
            run_id="",
            newest_run_id="",
            verdict=NO_VERDICT,
            policy_digest="",
            policy_is_given=False,
            data_read_again=False,
            audited_again=False,
            taken_on_trust=(f"everything: an emergency, without an audit, which has to be there until {until}",),
            model_digest=digest,
            signed=signed,
        )
        name = f"{STATEMENTS_FOLDER}/{statement_name('promotion', sealed)}"
        move_alias(client, promotion, reference, {name: sealed.content.decode()})
    logger.warning(
        "%s is '%s' without an audit, by '%s'; one has to be there until %s", reference, alias, person, until
    )
    return promotion


def _refuse_stranger(trust: Trust, reference: ModelReference, alias: str, person: str) -> None:
    _, terms = trust.terms_of(str(reference.name), alias)
    if person not in terms.approvals.of:
        raise ConfigError(
            f"'{person}' does not decide about '{alias}' of {reference.name}: {name_list(terms.approvals.of)} do."
        )


def _statement(
    reference: ModelReference, alias: str, digest: str, chain: list[InChain], told: tuple[str, str, str, str | None]
) -> PromotionStatement:
    registry, reason, until, replaced = told
    number, predecessor = next_place(chain)
    return PromotionStatement(
        subject=(resource(f"models:/{reference.name}/{reference.version}", digest),),
        predicate=PromotionPredicate(
            registry=registry,
            model=str(reference.name),
            version=str(reference.version),
            at=stamp_now(),
            alias=alias,
            number=number,
            predecessor=predecessor,
            replaced=replaced,
            emergency=reason,
            audit_until=until,
            rests_on=OnDecisions(),
        ),
    )
