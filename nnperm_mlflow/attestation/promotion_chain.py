"""The promotions of an alias, each of which names the one before: none left out, none put in between."""

from __future__ import annotations

from collections.abc import Sequence

from nnperm_mlflow.attestation.signatures import Signed
from nnperm_mlflow.attestation.statements import PromotionStatement
from nnperm_mlflow.basics.errors import EvidenceError

SignedPromotion = Signed[PromotionStatement]


def chain_of(promotions: Sequence[SignedPromotion], alias: str) -> list[SignedPromotion]:
    """Return the promotions of an alias in their order.

    Parameters
    ----------
    promotions : sequence of Signed
        That count, of one model; those of other aliases are left out.
    alias : str

    Raises
    ------
    EvidenceError
        If two have one number, one is missing, or one names another predecessor: somebody promoted at the same time,
        deleted one, or signed one beside the others.
    """
    own = {each.digest: each for each in promotions if each.statement.predicate.alias == alias}
    chain = sorted(own.values(), key=lambda each: each.statement.predicate.number)
    before = None
    for number, each in enumerate(chain, 1):
        told = each.statement.predicate
        if told.number != number or told.predecessor != before:
            raise EvidenceError(
                f"the promotions of '{alias}' are no chain: number {number} is missing, or there are two of it (found: "
                f"number {told.number}, version {told.version}, signed by '{each.person}'). Find out who has deleted a "
                "run, or signed beside the others; nothing is promoted on top of that."
            )
        before = each.digest
    return chain


def next_place(chain: Sequence[SignedPromotion]) -> tuple[int, str | None]:
    """Return number and predecessor of the promotion that follows a chain."""
    return len(chain) + 1, (chain[-1].digest if chain else None)
