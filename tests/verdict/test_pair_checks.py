"""Checks on pairs of features: what two may do together at most, and what cannot be answered."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from nnperm_mlflow.analysis.difference.recomputation import confirm_interactions
from nnperm_mlflow.analysis.interactions.interaction_columns import INTERACTION_COLUMNS
from nnperm_mlflow.basics.errors import CheckError, EvidenceError
from nnperm_mlflow.config.checks import PairCheck
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.verdict._pair_checks import check_pair
from nnperm_mlflow.verdict.audit_evidence import Evidence
from nnperm_mlflow.verdict.check_targets import watch
from nnperm_mlflow.verdict.checks import apply
from nnperm_mlflow.verdict.verdict import Subject

SUBJECT = Subject("models:/credit/4", "run1", "0", *["0"] * 5, rows=4000, repeats=1, seed=0)
SUMMARY = pd.DataFrame(
    {
        "perturbation": ["age", "bmi", "sex", "hair"], "feature": ["age", "bmi", "sex", "hair"], "kind": "number",
        "way": "shuffle", "rows": 4000, "skipped": 0, "changed_share": [1.0, 1.0, 0.5, 0.0],
    }
)  # fmt: skip


def pair(first, second, mean, low, high):
    share = 0.1
    told = dict.fromkeys(INTERACTION_COLUMNS, np.nan) | {"first": first, "second": second, "scale": "prediction"}
    of_share = {"share": share, "share_low": share - 0.01, "share_high": share + 0.01}
    return told | {"mean": mean, "mean_low": low, "mean_high": high, "interacts": low > 0, **of_share}


PAIRS = pd.DataFrame(
    [pair("age", "bmi", 0.20, 0.18, 0.22), pair("sex", "age", 0.05, 0.03, 0.07), pair("bmi", "sex", 0.0, 0.0, 0.0)]
)


def found(pairs=PAIRS, **asked):
    (finding,) = apply(PairCheck(**asked), Evidence(SUBJECT, SUMMARY, interactions=pairs))
    return finding


@pytest.mark.parametrize(
    ("asked", "state"),
    [
        ({"pair": ["age", "sex"], "max": 0.08}, "holds"),
        ({"pair": ["sex", "age"], "max": 0.02}, "fails"),
        ({"pair": ["age", "sex"], "max": 0.05}, "undecided"),
        ({"pair": ["age", "bmi"], "min": 0.1}, "holds"),
        ({"pair": ["age", "bmi"], "statistic": "share", "max": 0.05}, "fails"),
        ({"pair": ["sex", "bmi"], "max": 0.001}, "holds"),
    ],
)
def test_a_pair_keeps_its_limit_whichever_is_named_first(asked, state):
    finding = found(**asked)
    assert finding.state == state
    assert set(finding.of.split(" with ")) == set(asked["pair"])


def test_of_any_pair_the_worst_is_told_and_judged_among_all():
    assert found(pair="any", max=0.3).state == "holds"
    worst = found(pair="any", max=0.04)
    assert (worst.of, worst.state, worst.judged) == ("age with bmi", "fails", 3)
    assert worst.also == ("age with sex",)
    alone = found(pair=["age", "sex"], max=0.0299)
    assert alone.state == "fails"
    of_all = found(pairs=PAIRS.iloc[1:], pair="any", max=0.0299)
    assert of_all.state == "undecided"  # as the worst of two it may lie so far off by chance


@pytest.mark.parametrize(
    ("pairs", "asked", "told"),
    [
        (None, {"pair": ["age", "bmi"], "max": 1}, r"tells of no pairs.*interactions: \[\[age, bmi\]\]"),
        (None, {"pair": "any", "max": 1}, "tells of no pairs.*interactions: auto"),
        (PAIRS, {"pair": ["age", "hair"], "max": 1}, "age with hair may not be among them"),
        (PAIRS.iloc[:0], {"pair": "any", "max": 1}, "no pair of features was followed"),
        (
            pd.concat([PAIRS, pd.DataFrame([pair("hair", "age", 0.0, 0.0, 0.0)])]),
            {"pair": ["hair", "age"], "max": 1}, "'hair' changed no value in any row",
        ),
        (PAIRS.assign(mean_low=np.nan), {"pair": ["age", "bmi"], "max": 1}, "how sure"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_an_error(pairs, asked, told):
    with pytest.raises(CheckError, match=told):
        found(pairs=pairs, **asked)


def test_a_pair_that_an_audit_will_not_follow_is_refused_before_anything_is_computed():
    policy = Policy(format=2, checks=[{"pair": ["age", "sex"], "max": 0.1}])
    watch(policy, [], [], "m", pairs=[["sex", "age"]])
    for told in (None, "auto", [["age", "bmi"]]):
        with pytest.raises(CheckError, match="age"):
            watch(policy, [], [], "m", pairs=told)
    check_pair(PairCheck(pair="any", max=0.1), "auto")


@pytest.mark.parametrize(
    "asked",
    [
        {"pair": ["age", "age"], "max": 1}, {"pair": ["age"], "max": 1}, {"pair": ["age", "sex"]},
        {"pair": "all", "max": 1}, {"pair": "any", "statistic": "median", "max": 1},
    ],
)  # fmt: skip
def test_checks_that_mean_nothing_are_refused(asked):
    with pytest.raises(ValidationError):
        PairCheck(**asked)


def test_a_check_says_what_it_asks_for_and_whether_any_model_could_miss_it():
    check = PairCheck(pair=["age", "sex"], max=0.1)
    assert check.title == "mean of what age and sex do together is at most 0.1"
    assert check.why_vacuous is None
    assert "never below 0" in PairCheck(pair="any", min=0).why_vacuous
    (read,) = Policy(format=2, checks=[{"pair": "any", "statistic": "share", "max": 0.2}]).checks
    assert isinstance(read, PairCheck)


def test_pairs_on_record_have_to_come_out_again():
    confirm_interactions(PAIRS, PAIRS.iloc[::-1].assign(mean=PAIRS["mean"] * (1 + 1e-9)))
    confirm_interactions(None, None)
    for other in (None, PAIRS.iloc[1:], PAIRS.assign(mean=[0.1, 0.05, 0.0]), PAIRS.assign(scale="logit")):
        with pytest.raises(EvidenceError, match="audited again, "):
            confirm_interactions(PAIRS, other)


def test_a_limit_on_any_pair_claims_no_more_than_was_followed():
    assert (
        PairCheck(pair="any", max=0.1).statement
        == "mean of what any two features that are followed do together is at most 0.1"
    )
