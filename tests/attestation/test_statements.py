"""Statements: one way to write each, and a reader for each of the four types that takes no other."""

import json

import pytest

from nnperm_mlflow.attestation.statements import (
    KINDS,
    AuditPredicate,
    AuditStatement,
    DecisionPredicate,
    DecisionStatement,
    OnAudit,
    OnDecisions,
    OnVerdict,
    PromotionPredicate,
    PromotionStatement,
    VerdictPredicate,
    VerdictStatement,
    read_statement,
    resource,
)
from nnperm_mlflow.basics.errors import EvidenceError

ONE, TWO = "1" * 64, "2" * 64
PLACE = {"registry": "risk", "model": "credit", "version": "4", "at": "2026-11-30T07:00:00Z"}
SUBJECT = (resource("models:/credit/4", ONE),)


def statements():
    """One of each type."""
    evidence = (resource("data", TWO), resource("summary.csv", ONE))
    yield AuditStatement(subject=SUBJECT, predicate=AuditPredicate(**PLACE, run_id="r", evidence=evidence))
    rests = OnAudit(audit=ONE)
    verdict = {"verdict": resource("verdict.json", TWO), "policy": resource("policy", ONE), "rests_on": rests}
    yield VerdictStatement(subject=SUBJECT, predicate=VerdictPredicate(**PLACE, run_id="r", **verdict))
    asked = {
        "alias": "champion",
        "act": "request",
        "reason": "as agreed",
        "rests_on": OnVerdict(audit=ONE, verdict=TWO),
    }
    yield DecisionStatement(subject=SUBJECT, predicate=DecisionPredicate(**PLACE, **asked))
    moved = {"alias": "champion", "number": 2**60 + 1, "predecessor": ONE, "replaced": "3"}
    rests_on = OnDecisions(audit=ONE, verdict=TWO, decisions=(ONE,))
    yield PromotionStatement(subject=SUBJECT, predicate=PromotionPredicate(**PLACE, **moved, rests_on=rests_on))


@pytest.mark.parametrize("statement", list(statements()), ids=list(KINDS))
def test_each_reader_accepts_exactly_one_type(statement):
    payload = statement.encode()
    for kind in KINDS.values():
        if isinstance(statement, kind):
            assert read_statement(payload, kind) == statement
        else:
            with pytest.raises(EvidenceError, match=f"no {kind.__name__} .*'predicateType'"):
                read_statement(payload, kind)


@pytest.mark.parametrize("statement", list(statements()), ids=list(KINDS))
def test_a_statement_is_one_of_in_totos(statement):
    """The fields of the Statement layer, version 1, and no other; one subject, with its digest."""
    told = json.loads(statement.encode())
    assert set(told) == {"_type", "subject", "predicateType", "predicate"}
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["subject"] == [{"name": "models:/credit/4", "digest": {"sha256": ONE}}]
    assert len({type(each).model_fields["kind"].default for each in statements()}) == 4


def test_integers_stay_integers_and_keys_are_sorted():
    *_, promotion = statements()
    text = promotion.encode().decode()
    assert '"number":1152921504606846977,' in text
    assert read_statement(promotion.encode(), PromotionStatement).predicate.number == 2**60 + 1
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def other_ways():
    """Other JSON for what a promotion says, or nearly."""
    *_, promotion = statements()
    text = promotion.encode().decode()
    yield "blanks", text.replace(":", ": ", 1)
    yield "a line's end", text + "\n"
    yield "a key twice", text.replace('"number":', '"number":1,"number":', 1)
    yield "a key twice, with the same value", text.replace('"alias":', '"alias":"champion","alias":', 1)
    yield "a null", text.replace('"alias":', '"emergency":null,"alias":', 1)
    yield "another order", json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":"))
    yield "an escape", text.replace("champion", "ch\\u0061mpion")
    yield "a number as text", text.replace("1152921504606846977", '"1152921504606846977"')
    yield "a fraction", text.replace("1152921504606846977", "1152921504606846977.0")
    yield "an exponent", text.replace("1152921504606846977", "1e3")
    yield "an unknown key", text.replace('"alias":', '"admin":true,"alias":', 1)
    yield "two subjects", text.replace('"subject":[', '"subject":[{"digest":{"sha256":"' + TWO + '"},"name":"x"},', 1)
    yield "upper case", text.replace(ONE, "A" * 64, 1)
    yield "another version", text.replace('"version":"4"', '"version":"5"')
    yield "an earlier form", text.replace("Statement/v1", "Statement/v0.1")
    yield "a moment that is none", text.replace("2026-11-30T", "2026-11-31T")
    yield "a predecessor of the first", text.replace("1152921504606846977", "1")


@pytest.mark.parametrize("text", [text for _, text in other_ways()], ids=[name for name, _ in other_ways()])
def test_what_could_be_read_in_two_ways_or_is_no_statement_is_refused(text):
    *_, promotion = statements()
    assert text.encode() != promotion.encode()
    with pytest.raises(EvidenceError, match="^the statement is"):
        read_statement(text.encode(), PromotionStatement)
