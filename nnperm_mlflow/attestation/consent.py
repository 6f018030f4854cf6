"""Whether people have agreed that a version gets an alias: a request, and answers of others to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from nnperm_mlflow.attestation.signatures import Signed
from nnperm_mlflow.attestation.statements import DecisionStatement, moment
from nnperm_mlflow.attestation.trust import AliasTerms, Trust
from nnperm_mlflow.basics.errors import EvidenceError, name_list

SignedDecision = Signed[DecisionStatement]


@dataclass(frozen=True)
class Consent:
    """A request and the answers to it that count, at most one of a person.

    Attributes
    ----------
    request : Signed of DecisionStatement
    approvals, refusals : tuple of Signed of DecisionStatement
    waived : tuple of str
        Checks that as many people have waived as have to approve, by their names.
    """

    request: SignedDecision
    approvals: tuple[SignedDecision, ...]
    refusals: tuple[SignedDecision, ...]
    waived: tuple[str, ...]

    @property
    def digests(self) -> tuple[str, ...]:
        """The sha256 of all of these statements, as a promotion names them."""
        return tuple(sorted(each.digest for each in (self.request, *self.approvals, *self.refusals)))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Under which it was approved, each once."""
        return tuple(dict.fromkeys(word for each in self.approvals for word in each.statement.predicate.conditions))


def may_decide(signed: SignedDecision, trust: Trust) -> bool:
    """Tell whether a key may sign what it has: a request, or an answer."""
    role = "requester" if signed.statement.predicate.act == "request" else "approver"
    return role in trust.keys[signed.key_id].roles


def open_request(
    decisions: Sequence[SignedDecision], verdicts: Collection[str], alias: str, now: datetime
) -> SignedDecision | None:
    """Return the newest request for an alias that rests on one of some verdicts and still holds; None without one."""
    asked = [
        each
        for each in decisions
        if each.statement.predicate.act == "request"
        and each.statement.predicate.alias == alias
        and each.statement.predicate.rests_on.verdict in verdicts
        and _holds(each, now)
    ]
    return max(asked, key=lambda each: (each.statement.at, each.digest), default=None)


def find_consent(
    decisions: Sequence[SignedDecision], verdicts: Collection[str], alias: str, terms: AliasTerms, now: datetime
) -> Consent:
    """Return what people have agreed to, if there are as many as the trust file asks for.

    People are counted, and not keys: of each the last word counts, and none of who asked.

    Parameters
    ----------
    decisions : sequence of Signed
        That count, on one version.
    verdicts : collection of str
        sha256 of the statements on the verdict that is at stake.
    alias : str
    terms : AliasTerms
    now : datetime

    Raises
    ------
    EvidenceError
        If nobody has asked, or not enough others have approved.
    """
    request = open_request(decisions, verdicts, alias, now)
    if request is None:
        raise EvidenceError(f"nobody has asked for '{alias}' on the present verdict: nnperm request.")
    answers = _last_words(decisions, request, terms, now)
    approvals = tuple(each for each in answers if each.statement.predicate.act == "approve")
    refusals = tuple(each for each in answers if each.statement.predicate.act == "refuse")
    needed = terms.approvals.at_least
    if len(approvals) < needed:
        refused = f"; refused by {name_list(each.person for each in refusals)}" if refusals else ""
        raise EvidenceError(
            f"'{alias}' is approved by {len(approvals)} of {needed} people "
            f"({name_list(each.person for each in approvals)}{refused}; '{request.person}' asked, and does not count). "
            f"Ask {name_list(terms.approvals.of)}: nnperm approve"
        )
    return Consent(request, approvals, refusals, _waived(approvals, needed))


def _last_words(
    decisions: Sequence[SignedDecision], request: SignedDecision, terms: AliasTerms, now: datetime
) -> list[SignedDecision]:
    """Return the last answer of each person who may answer, of those that still hold.

    One that holds no longer is not followed by the one before it.
    """
    last: dict[str, SignedDecision] = {}
    for each in sorted(decisions, key=lambda each: (each.statement.at, each.digest)):
        told = each.statement.predicate
        answers = told.rests_on.request == request.digest and told.alias == request.statement.predicate.alias
        on_same = told.rests_on.verdict == request.statement.predicate.rests_on.verdict
        if answers and on_same and each.person in terms.approvals.of and each.person != request.person:
            last[each.person] = each
    return [each for each in last.values() if _holds(each, now)]


def _holds(signed: SignedDecision, now: datetime) -> bool:
    until = signed.statement.predicate.until
    return until is None or now <= moment(until)


def _waived(approvals: Sequence[SignedDecision], needed: int) -> tuple[str, ...]:
    """Return the checks that enough of those who approve have waived."""
    named = [name for each in approvals for name in dict.fromkeys(each.statement.predicate.waives)]
    return tuple(sorted({name for name in named if named.count(name) >= needed}))
