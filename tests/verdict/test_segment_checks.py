"""Checks on segments: what holds in each, how far two lie apart, and what cannot be answered."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from nnperm_mlflow.analysis.segments.segment_tables import (
    COLUMNS,
    DIFFERENCE_COLUMNS,
    SCORE_COLUMNS,
    SCORE_DIFFERENCE_COLUMNS,
    SegmentScores,
    SegmentTables,
)
from nnperm_mlflow.basics.errors import CheckError, UnknownFeatureError
from nnperm_mlflow.config.checks import (
    SegmentCheck,
    SegmentDifferenceCheck,
    SegmentScoreCheck,
    SegmentScoreDifferenceCheck,
)
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


SCORES = SegmentScores(
    pd.DataFrame(
        [
            ("SEX", "SEX=1", "roc_auc", 500, 120, 0.80, 0.76, 0.84, ""),
            ("SEX", "SEX=2", "roc_auc", 500, 100, 0.70, 0.65, 0.75, ""),
            ("AGE", "AGE <30", "roc_auc", 970, 190, 0.75, 0.72, 0.78, ""),
            ("AGE", "AGE >=30", "roc_auc", 29, 0, 0.90, np.nan, np.nan, "they count as 29 rows: below 30"),
        ],
        columns=list(SCORE_COLUMNS),
    ),
    pd.DataFrame([("SEX", "SEX=1", "SEX=2", "roc_auc", 100, 0.10, 0.04, 0.16)], columns=list(SCORE_DIFFERENCE_COLUMNS)),
)
SCORED = replace(TABLES, scores=SCORES)


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


@pytest.mark.parametrize(
    ("segment", "limit", "state"),
    [
        ("SEX=1", {"min": 0.76}, "holds"),
        ("SEX=1", {"min": 0.77}, "undecided"),
        ("SEX=1", {"min": 0.85}, "fails"),
        ("SEX", {"min": 0.65}, "holds"),
        ("SEX", {"min": 0.755}, "undecided"),  # as the worse of two it fails by its wider interval alone, up to 0.757
        ("SEX", {"min": 0.76}, "fails"),
        ("any", {"min": 0.65}, "holds"),
        ("any", {"max": 0.84}, "holds"),  # 0.9 in AGE >=30 is below the floor
    ],
)
def test_the_models_own_score_must_keep_the_limit_in_every_segment_that_is_meant(segment, limit, state):
    assert found({"segment": segment, "score": "roc_auc", **limit}, SCORED).state == state


def test_a_score_without_an_interval_is_passed_over_and_named():
    finding = found({"segment": "any", "score": "roc_auc", "min": 0.6}, SCORED)
    assert (finding.of, finding.judged) == ("SEX=2", 3)
    assert finding.words.startswith("roc_auc of SEX=2 is 0.7 (0.65 to 0.75), at least 0.6 as asked; passed over")
    assert finding.words.endswith("'AGE >=30'")


@pytest.mark.parametrize(("limit", "state"), [(0.16, "holds"), (0.15, "undecided"), (0.039, "fails")])
def test_scores_of_two_segments_may_lie_so_far_apart(limit, state):
    finding = found({"segment": "SEX", "score": "roc_auc", "max_difference": limit}, SCORED)
    assert finding.state == state
    assert finding.words.startswith("difference of roc_auc of SEX=1 and SEX=2 is 0.1 (0.04 to 0.16), ")


@pytest.mark.parametrize(
    ("check", "tables", "says"),
    [
        ({"segment": "SEX", "min": 0.5}, TABLES, "'roc_auc' is no score of the model itself.*which tells none"),
        ({"segment": "SEX", "score": "accuracy", "min": 0.5}, SCORED, "'accuracy' is no score.*which tells 'roc_auc'"),
        ({"segment": "REGION", "min": 0.5}, SCORED, "'REGION' is no segment"),
        ({"segment": "AGE >=30", "min": 0.5}, SCORED, "AGE >=30: they count as 29 rows: below 30.*neither pass nor"),
        ({"segment": "AGE", "max_difference": 0.1}, SCORED, "no two segments of AGE of which it is known how sure"),
        ({"segment": "SEX=1", "max_difference": 0.1}, SCORED, "'SEX=1' is no column with segments"),
    ],
)
def test_a_score_of_segments_that_nobody_can_tell_is_an_error(check, tables, says):
    with pytest.raises(CheckError, match=says):
        found({"score": "roc_auc", **check}, tables)


def test_keys_tell_which_kind_of_check_on_segments_is_meant():
    limit, difference = Policy.model_validate(
        {
            "checks": [
                {"segment": "any", "score": "r2", "min": 0},
                {"segment": "SEX", "score": "r2", "max_difference": 1},
            ]
        }
    ).checks
    assert (type(limit), type(difference)) == (SegmentScoreCheck, SegmentScoreDifferenceCheck)
    with pytest.raises(ValidationError, match="feature"):
        Policy.model_validate({"checks": [{"segment": "SEX", "score": "r2", "feature": "age", "min": 0}]})
