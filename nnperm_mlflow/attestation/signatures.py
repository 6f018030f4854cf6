"""Whether a signature counts: the key is trusted, in its time, for this; or a later promotion has vouched for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic

from nnperm_mlflow.attestation.envelopes import Sealed
from nnperm_mlflow.attestation.statements import AnyStatement, PromotionStatement, read_statement
from nnperm_mlflow.attestation.trust import Role, Trust
from nnperm_mlflow.basics.errors import EvidenceError


@dataclass(frozen=True)
class Signed(Generic[AnyStatement]):
    """A statement under a signature that a trusted key has made.

    Attributes
    ----------
    statement : Statement
    payload : bytes
        As it was signed.
    digest : str
        sha256 of these.
    key_id, person : str
        Of the key, as the trust file has it.
    """

    statement: AnyStatement
    payload: bytes
    digest: str
    key_id: str
    person: str


def read_signed(
    sealed: Sealed, kind: type[AnyStatement], trust: Trust, roles: Collection[Role], what: str = "the envelope"
) -> Signed[AnyStatement]:
    """Return the statement in an envelope, if a trusted key has signed it; of revocation `counting` decides.

    Parameters
    ----------
    sealed : Sealed
    kind : type
        The one type that is accepted.
    trust : Trust
    roles : collection of str
        Of which the key needs one.
    what : str
        How messages call the envelope.

    Raises
    ------
    EvidenceError
        If the key is not in the trust file, has not signed these bytes, may not sign this or not at that time, or the
        statement is another one or of another registry.
    """
    key = trust.keys.get(sealed.key_id)
    if key is None:
        raise EvidenceError(f"{what} is signed by a key that the trust file does not hold ({sealed.key_id[:12]}).")
    if not sealed.is_signed_by(key.public):
        raise EvidenceError(f"{what} has no valid signature of '{key.person}' ({sealed.key_id[:12]}).")
    statement = read_statement(sealed.payload, kind, what)
    if not set(key.roles) & set(roles):
        raise EvidenceError(f"{what} is signed by '{key.person}', whose key may not ({', '.join(sorted(roles))}).")
    if not key.holds_at(statement.at):
        raise EvidenceError(
            f"{what} tells {statement.predicate.at}, when the key of '{key.person}' ({sealed.key_id[:12]}) did not "
            f"hold ({key.from_} to {key.until})."
        )
    if statement.predicate.registry != trust.registry:
        raise EvidenceError(
            f"{what} is of the registry '{statement.predicate.registry}', and the trust file of '{trust.registry}'."
        )
    return Signed(statement, sealed.payload, sealed.digest, sealed.key_id, key.person)


def counting(
    signed: Sequence[Signed[AnyStatement]], promotions: Iterable[Signed[PromotionStatement]], trust: Trust
) -> list[Signed[AnyStatement]]:
    """Return what counts in spite of revoked keys: what such a key signed only if a promotion named it before.

    That promotion is signed by another key, before `revoked.at` by that signer's clock, and counts itself.
    """
    vouching = _counting_promotions(list(promotions), trust)
    return [each for each in signed if each.key_id not in trust.revoked or _is_named(each, vouching, trust)]


def _counting_promotions(
    promotions: list[Signed[PromotionStatement]], trust: Trust
) -> list[Signed[PromotionStatement]]:
    """Return the promotions that count: those of revoked keys where others that count name them."""
    found = [each for each in promotions if each.key_id not in trust.revoked]
    while more := [each for each in promotions if each not in found and _is_named(each, found, trust)]:
        found += more
    return found


def _is_named(signed: Signed[AnyStatement], by: Iterable[Signed[PromotionStatement]], trust: Trust) -> bool:
    end: datetime = trust.revoked[signed.key_id].at
    return any(
        each.key_id != signed.key_id and each.statement.at < end and signed.digest in named_by(each.statement)
        for each in by
    )


def named_by(promotion: PromotionStatement) -> set[str]:
    """Return the digests of all statements that a promotion names."""
    told, rests_on = promotion.predicate, promotion.predicate.rests_on
    found = {told.predecessor, rests_on.audit, rests_on.verdict, *rests_on.decisions}
    return {digest for digest in found if digest is not None}
