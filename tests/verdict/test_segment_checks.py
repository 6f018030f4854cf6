"""Checks on segments: what holds in each, how far two lie apart, and what cannot be answered."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from nnperm_mlflow.analysis.segments.segment_tables import COLUMNS, DIFFERENCE_COLUMNS, SegmentTables
from nnperm_mlflow.basics.errors import CheckError, UnknownFeatureError
from nnperm_mlflow.config.checks import SegmentCheck, SegmentDifferenceCheck
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.verdict.audit_evidence import Evidence
from nnperm_mlflow.verdict.checks import apply
from nnperm_mlflow.verdict.verdict import Subject

SUBJECT = Subject("models:/credit/4", "run1", "0", *["0"] * 5, rows=4000, repeats=1, seed=0)
SUMMARY = pd.DataFrame(
    {
        "perturbation": ["age", "bmi"],
        "feature": ["age", "bmi"],
        "kind": "number",
        "way": "shuffle",
        "rows": 4000,
        "skipped": 0,
        "changed_share": 1.0,
    }
)


def row(segment, mean, low, high, *, column="SEX", perturbation="age", units=500, changed=1.0):
    told = dict.fromkeys(COLUMNS, np.nan) | {"column": column, "segment": segment, "perturbation": perturbation}
    return told | {"units": units, "changed_share": changed, "mean": mean, "mean_low": low, "mean_high": high}


def pair(segment, other, difference, low, high, *, column="SEX", perturbation="age", units=500):
    values = (column, segment, other, perturbation, units, difference, low, high)
    return dict(zip(DIFFERENCE_COLUMNS, values, strict=True))


TABLES = SegmentTables(
    pd.DataFrame(
        [
            row("SEX=1", 0.10, 0.09, 0.11),
            row("SEX=2", 0.20, 0.18, 0.22),
            row("SEX=1", 0.01, 0.00, 0.02, perturbation="bmi"),
            row("SEX=2", 0.01, 0.00, 0.02, perturbation="bmi", changed=0.0),
            row("AGE <30", 0.12, 0.11, 0.13, column="AGE"),
            row("AGE >=30", 0.40, np.nan, np.nan, column="AGE", units=29),
        ]
    ),
    pd.DataFrame(
        [
            pair("SEX=1", "SEX=2", -0.10, -0.12, -0.08),
            pair("SEX=1", "SEX=2", 0.0, -0.01, 0.01, perturbation="bmi"),
        ]
    ),
)


def found(check, tables=TABLES):
    policy = Policy.model_validate({"format": 2, "checks": [check]})
    (finding,) = apply(policy.checks[0], Evidence(SUBJECT, SUMMARY, segments=tables))
    return finding


@pytest.mark.parametrize(
    ("segment", "limit", "state"),
    [
        ("SEX=1", {"max": 0.11}, "holds"),
        ("SEX=1", {"max": 0.105}, "undecided"),
        ("SEX=1", {"max": 0.085}, "fails"),
        ("SEX", {"max": 0.22}, "holds"),
        ("SEX", {"max": 0.11}, "fails"),  # SEX=2 does not keep it
        ("SEX", {"min": 0.09}, "holds"),
        ("AGE", {"max": 0.13}, "holds"),  # AGE >=30 is below the floor
        ("any", {"max": 0.22}, "holds"),
    ],
)
def test_every_segment_that_is_meant_must_keep_the_limit(segment, limit, state):
    assert found({"segment": segment, "feature": "age", **limit}).state == state


def test_the_worst_is_named_and_those_below_the_floor_are_counted():
    finding = found({"segment": "any", "feature": "age", "max": 0.05})
    assert finding.of == "age in SEX=2"
    assert finding.also == ("age in AGE <30", "age in SEX=1")
    assert finding.words.startswith("mean of age in SEX=2 is 0.2 (0.18 to 0.22), and must be at most 0.05")
    assert finding.words.endswith("; 1 segments below 30 rows were passed over")
    assert finding.judged == 3


def test_the_worst_of_several_fails_only_by_the_interval_that_is_right_of_all():
    """0.18 is the end of its own interval; with three judged at once it lies 1.22 times as far from 0.20."""
    alone = {"segment": "SEX=2", "feature": "age", "max": 0.179}
    assert found(alone).state == "fails"
    assert found({**alone, "segment": "any"}).state == "undecided"
    assert found({**alone, "segment": "any", "max": 0.17}).state == "fails"


def test_a_segment_in_which_no_value_changed_is_no_evidence():
    assert found({"segment": "SEX", "feature": "bmi", "max": 0.1}).judged == 1
    with pytest.raises(CheckError, match="no value changed in 'SEX=2', so that it was not tested"):
        found({"segment": "SEX=2", "feature": "bmi", "max": 0.1})


@pytest.mark.parametrize(
    ("limit", "state"), [(0.12, "holds"), (0.11, "undecided"), (0.085, "undecided"), (0.07, "fails"), (0, "fails")]
)
def test_the_largest_difference_of_two_segments_is_judged_whichever_is_larger(limit, state):
    """As the larger of two differences it fails where 0.10 less 1.14 times 0.02 lies above the limit."""
    finding = found({"segment": "SEX", "any": True, "max_difference": limit})
    assert finding.state == state
    assert finding.words.startswith("difference of means of age between SEX=1 and SEX=2 is 0.1 (0.08 to 0.12), ")
    assert finding.judged == 2


@pytest.mark.parametrize(
    ("check", "tables", "error", "says"),
    [
        ({"segment": "SEX"}, None, CheckError, r"which has none.*'analysis: \{segments: \[SEX\]\}'"),
        ({"segment": "REGION=3"}, TABLES, CheckError, r"which has 'SEX', 'AGE'.*segments: \[REGION\]"),
        ({"segment": "SEX=3"}, TABLES, CheckError, "'SEX=3' is no segment"),
        ({"segment": "AGE >=30"}, TABLES, CheckError, "'AGE >=30' has fewer than 30 rows"),
        ({"segment": "SEX", "feature": "ages"}, TABLES, UnknownFeatureError, "Did you mean 'age'"),
    ],
)
def test_what_cannot_be_answered_is_an_error(check, tables, error, says):
    with pytest.raises(error, match=says):
        found({"feature": "age", "max": 1, **check}, tables)


@pytest.mark.parametrize(
    ("segment", "says"),
    [("SEX=2", "'SEX=2' is no column with segments"), ("AGE", "no two segments of AGE with 30 rows")],
)
def test_a_difference_is_of_a_column_with_two_segments_to_compare(segment, says):
    with pytest.raises(CheckError, match=says):
        found({"segment": segment, "feature": "age", "max_difference": 0.1})


@pytest.mark.parametrize(
    ("check", "says"),
    [
        ({"segment": "SEX", "max": 1}, "give either 'feature' or 'any: true'"),
        ({"segment": "SEX", "any": True}, "give either 'max' or 'min'"),
        ({"segment": "SEX", "any": True, "statistic": "median", "max": 1}, "'mean', 'shift' or 'flipped_share'"),
        ({"segment": "SEX", "any": True, "max_difference": -1}, "greater than or equal to 0"),
    ],
)
def test_a_policy_says_what_a_check_on_segments_lacks(check, says):
    with pytest.raises(ValidationError, match=says):
        Policy.model_validate({"checks": [check]})


def test_checks_on_segments_mean_the_mean_in_both_formats():
    for number in (1, 2):
        policy = Policy.model_validate(
            {"format": number, "checks": [{"segment": "any", "any": True, "max": 1},
                                          {"segment": "SEX", "any": True, "max_difference": 1}]}
        )  # fmt: skip
        limit, difference = policy.checks
        assert isinstance(limit, SegmentCheck)
        assert limit.statistic == "mean"
        assert isinstance(difference, SegmentDifferenceCheck)
