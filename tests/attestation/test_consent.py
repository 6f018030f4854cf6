"""Who has to agree: people are counted, and neither keys nor statements; and promotions are a chain."""

import random
from datetime import datetime, timedelta, timezone

import pytest

from nnperm_mlflow.attestation.consent import find_consent, open_request
from nnperm_mlflow.attestation.promotion_chain import chain_of, next_place
from nnperm_mlflow.attestation.signatures import Signed
from nnperm_mlflow.attestation.statements import (
    DecisionPredicate,
    DecisionStatement,
    OnDecisions,
    OnVerdict,
    PromotionPredicate,
    PromotionStatement,
    digest_of,
    resource,
)
from nnperm_mlflow.attestation.trust import AliasTerms, Approvals
from nnperm_mlflow.basics.errors import EvidenceError

AUDIT, VERDICT = "a" * 64, "b" * 64
NOW = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
SUBJECT = (resource("models:/credit/4", "1" * 64),)
TERMS = AliasTerms(
    policy="1" * 64, config="2" * 64, data="3" * 64, auditors=("service",), promoters=("deploy",),
    approvals=Approvals(of=("anna", "ben", "carla"), at_least=2),
)  # fmt: skip


def at(minutes):
    return (NOW + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def signed(statement, person, key=None):
    payload = statement.encode()
    return Signed(statement, payload, digest_of(payload), key or f"key of {person}", person)


def decision(person, act, request=None, *, minutes=-60, alias="champion", verdict=VERDICT, key=None, **more):
    rests_on = OnVerdict(audit=AUDIT, verdict=verdict, request=None if request is None else request.digest)
    place = {"registry": "risk", "model": "credit", "version": "4", "at": at(minutes), "alias": alias}
    predicate = DecisionPredicate(**place, act=act, reason="as agreed", rests_on=rests_on, **more)
    return signed(DecisionStatement(subject=SUBJECT, predicate=predicate), person, key)


def consent(*decisions, now=NOW):
    return find_consent(decisions, {VERDICT}, "champion", TERMS, now)


ASKED = decision("asker", "request", minutes=-90)


def test_as_many_people_as_the_trust_file_asks_for():
    found = consent(
        ASKED, decision("anna", "approve", ASKED), decision("ben", "approve", ASKED, conditions=("a year",))
    )
    assert {each.person for each in found.approvals} == {"anna", "ben"}
    assert found.request == ASKED
    assert found.conditions == ("a year",)
    assert len(found.digests) == 3


OTHER = decision("asker", "request", minutes=-80, alias="challenger")


@pytest.mark.parametrize(
    "second",
    [
        decision("anna", "approve", ASKED, minutes=-30, key="a second key of anna"),
        decision("asker", "approve", ASKED),
        decision("nobody", "approve", ASKED),
        decision("ben", "refuse", ASKED),
        decision("ben", "approve", ASKED, until=at(-1)),
        decision("ben", "approve", ASKED, verdict="c" * 64),
        decision("ben", "approve", OTHER, alias="challenger"),
        decision("ben", "approve", OTHER),
    ],
    ids=[
        "one person twice", "who asked", "somebody else", "a refusal", "one that holds no longer", "another verdict",
        "another alias", "another request",
    ],
)  # fmt: skip
def test_what_is_no_second_approval(second):
    with pytest.raises(EvidenceError, match=r"approved by 1 of 2 people \('anna'.*'asker' asked, and does not count"):
        consent(ASKED, OTHER, decision("anna", "approve", ASKED), second)


@pytest.mark.parametrize("person", ["anna", "ben", "carla"] * 33 + ["anna"])
def test_nobody_approves_what_they_have_asked_for(person):
    """Whatever keys they have, and however often they say so."""
    asked = decision(person, "request")
    own = [decision(person, "approve", asked, minutes=-50 + number, key=f"key {number}") for number in range(5)]
    with pytest.raises(EvidenceError, match="approved by 0 of 2"):
        consent(asked, *own)
    other = next(each for each in TERMS.approvals.of if each != person)
    with pytest.raises(EvidenceError, match="approved by 1 of 2"):
        consent(asked, *own, decision(other, "approve", asked))


def test_a_hundred_ways_to_approve_for_oneself_are_refused():
    """By however many keys, statements and requests, with words of others on other things, and one vote too few."""
    rng = random.Random(19)
    for _ in range(100):
        person, *others = rng.sample(["anna", "ben", "carla"], 3)
        asked = decision(person, "request", minutes=-90 + rng.randrange(20), key=f"key {rng.randrange(3)}")
        own = [
            decision(person, "approve", asked, minutes=-60 + each, key=f"key {each}", until=rng.choice([None, at(90)]))
            for each in range(rng.randrange(1, 6))
        ]
        elsewhere = decision("asker", "request", minutes=-95, alias="challenger")
        beside = [
            decision(person, "request", minutes=-99),
            decision(others[0], "approve", asked),
            decision(others[1], rng.choice(["approve", "refuse"]), elsewhere, alias="challenger"),
            decision(others[1], "approve", asked, verdict="c" * 64),
        ]
        told = [asked, *own, elsewhere, *rng.sample(beside, rng.randrange(5))]
        rng.shuffle(told)
        with pytest.raises(EvidenceError, match=rf"by [01] of 2 people .*'{person}' asked, and does not count"):
            consent(*told)
        assert len(consent(*told, *(decision(each, "approve", asked, minutes=-5) for each in others)).approvals) == 2


def test_the_last_word_of_a_person_counts_even_once_it_holds_no_longer():
    anna, ben = decision("anna", "approve", ASKED), decision("ben", "approve", ASKED)
    assert consent(ASKED, anna, decision("ben", "refuse", ASKED, minutes=-70), ben)
    with pytest.raises(EvidenceError, match="refused by 'ben'"):
        consent(ASKED, anna, ben, decision("ben", "refuse", ASKED, minutes=-10))
    with pytest.raises(EvidenceError, match="1 of 2"):
        consent(ASKED, anna, ben, decision("ben", "approve", ASKED, minutes=-10, until=at(-5)))


def test_a_check_is_waived_by_as_many_as_have_to_approve():
    anna, ben = (decision(each, "approve", ASKED, waives=("share", "rank")) for each in ("anna", "ben"))
    one = decision("ben", "approve", ASKED, waives=("rank",))
    assert consent(ASKED, anna, ben).waived == ("rank", "share")
    assert consent(ASKED, anna, one).waived == ("rank",)


def test_a_request_ends_and_a_new_one_needs_new_answers():
    short = decision("asker", "request", until=at(-5))
    with pytest.raises(EvidenceError, match="nobody has asked for 'champion' on the present verdict"):
        consent(short, decision("anna", "approve", short), decision("ben", "approve", short))
    answers = [decision(each, "approve", ASKED) for each in ("anna", "ben")]
    again = decision("asker", "request", minutes=-20)
    assert open_request([ASKED, again], {VERDICT}, "champion", NOW) == again
    with pytest.raises(EvidenceError, match="0 of 2"):
        consent(ASKED, again, *answers)


def promotion(number, before=None, *, alias="champion", version="4", by="deploy"):
    place = {"registry": "risk", "model": "credit", "version": version, "at": at(number), "alias": alias}
    rests_on = OnDecisions(audit=AUDIT, verdict=VERDICT)
    told = {"number": number, "predecessor": None if before is None else before.digest}
    subject = (resource(f"models:/credit/{version}", "1" * 64),)
    predicate = PromotionPredicate(**place, **told, rests_on=rests_on)
    return signed(PromotionStatement(subject=subject, predicate=predicate), by)


def test_promotions_are_a_chain_and_the_next_one_follows():
    first = promotion(1)
    second = promotion(2, first)
    other = promotion(1, alias="challenger")
    assert chain_of([second, other, first, first], "champion") == [first, second]
    assert next_place([first, second]) == (3, second.digest)
    assert next_place([]) == (1, None)


def broken_chains():
    first = promotion(1)
    second, third = promotion(2, first), promotion(3, promotion(2, first))
    yield "the first left out", [second, third]
    yield "one left out", [first, third]
    yield "two of one number", [first, second, promotion(2, first, version="5")]
    yield "two firsts", [first, promotion(1, version="5")]
    yield "another predecessor", [first, promotion(2, promotion(1, version="5"))]


@pytest.mark.parametrize("promotions", [c[1] for c in broken_chains()], ids=[c[0] for c in broken_chains()])
def test_a_promotion_left_out_or_put_beside_is_noticed(promotions):
    with pytest.raises(EvidenceError, match="the promotions of 'champion' are no chain"):
        chain_of(promotions, "champion")
