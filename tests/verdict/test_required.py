"""What a policy requires of an audit: each that is missing is named, with what to do, and nothing passes."""

from dataclasses import replace

import pandas as pd
import pytest

from nnperm_mlflow.basics.errors import CheckError, ConfigError
from nnperm_mlflow.config.audit_config import parse_config
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.verdict.audit_evidence import Evidence
from nnperm_mlflow.verdict.judgement import judge
from nnperm_mlflow.verdict.training_rows import TrainingOverlap
from nnperm_mlflow.verdict.verdict import Subject

DIGESTS = {f"{what}_digest": "0123456789abcdef" * 4 for what in ("model", "data", "config", "table", "summary")}
SUBJECT = Subject("models:/credit/4", "run1", "7", **DIGESTS, rows=2_000, repeats=3, seed=0, positives=80, clusters=40)
SUMMARY = pd.DataFrame(
    {
        "perturbation": ["AGE", "SEX"], "feature": ["AGE", "SEX"], "kind": "number", "way": "shuffle", "value": "",
        "rows": 6_000, "skipped": 0, "mean": 0.01, "mean_low": 0.009, "mean_high": 0.011, "changed_share": 0.9,
        "max": 0.1, "measurable": True, "decisions_vary": True,
    }
)  # fmt: skip
EVIDENCE = Evidence(SUBJECT, SUMMARY, training=TrainingOverlap(0.004, "training.parquet"), model_code="none")
ALL = {
    "rows": 2_000, "repeats": 3, "positives": 80, "clusters": 40, "data": "0123456789", "features": "all",
    "not_training": True, "model_code": "none",
}  # fmt: skip


def policy(**requires):
    return Policy.model_validate({"format": 2, "checks": [{"any": True, "max": 0.1}], "requires": requires})


def test_an_audit_that_has_all_is_judged():
    assert judge(policy(**ALL), EVIDENCE).status == "pass"


@pytest.mark.parametrize(
    ("requires", "evidence", "words"),
    [
        ({"rows": 2_001}, EVIDENCE, "at least 2,001 rows, and it has 2,000: audit more rows"),
        (
            {"rows": 2_000},
            replace(EVIDENCE, summary=SUMMARY.assign(skipped=[0, 5_775])),  # of three repeats
            "at least 2,000 rows, and it has 75: audit more rows that the model predicts",
        ),
        ({"repeats": 5}, EVIDENCE, "at least 5 repeats, and it has 3: set 'analysis: repeats'"),
        ({"positives": 81}, EVIDENCE, "at least 81 positives, and it has 80"),
        (
            {"positives": 1},
            replace(EVIDENCE, subject=replace(SUBJECT, positives=None)),
            "at least 1 positives, and it tells of none: name labels of two classes",
        ),
        ({"clusters": 41}, EVIDENCE, "at least 41 clusters, and it has 40"),
        (
            {"clusters": 1},
            replace(EVIDENCE, subject=replace(SUBJECT, clusters=None)),
            "tells of none: name their column",
        ),
        ({"data": "0123456788"}, EVIDENCE, "data whose sha256 begins with 0123456788, and it is of 0123456789ab"),
        ({"features": "all"}, replace(EVIDENCE, excluded=("SEX",)), "'SEX' is left out: take it off"),
        (
            {"features": "all"},
            replace(EVIDENCE, summary=SUMMARY.assign(changed_share=[0.9, 0.0])),
            "'SEX' changed no value: audit rows in which it varies",
        ),
        (
            {"model_code": "none"},
            replace(EVIDENCE, model_code="isolated"),
            "a model that runs no code of its own, and its code ran in a process of its own: log the network so",
        ),
        ({"model_code": "none"}, replace(EVIDENCE, model_code="in process"), "ran in the process that measured"),
        (
            {"model_code": "none"},
            replace(EVIDENCE, model_code="unknown"),
            "the audit does not tell whether such code ran",
        ),
        ({"not_training": True}, replace(EVIDENCE, training=None), "it did not look: audit again under this policy"),
        (
            {"not_training": True},
            replace(EVIDENCE, training=TrainingOverlap(reason="the model's run names no training data")),
            "that cannot be told: the model's run names no training data",
        ),
        (
            {"not_training": True},
            replace(EVIDENCE, training=TrainingOverlap(0.25, "training.parquet")),
            "25.0% of them are in training.parquet",
        ),
    ],
    ids=lambda value: "".join(value) if isinstance(value, dict) else "",
)
def test_what_is_missing_is_named_with_what_to_do(requires, evidence, words):
    with pytest.raises(CheckError) as told:
        judge(policy(**requires), evidence)
    assert words in str(told.value)


def test_all_that_is_missing_is_told_at_once():
    with pytest.raises(CheckError, match="2,001 rows.*5 repeats"):
        judge(policy(rows=2_001, repeats=5), EVIDENCE)


def test_requirements_belong_to_the_digest_and_to_the_second_format():
    plain = Policy.model_validate({"format": 2, "checks": [{"any": True, "max": 0.1}]})
    assert len({plain.digest(), policy(rows=1).digest(), policy(rows=2).digest()}) == 3
    with pytest.raises(ConfigError, match="'requires' needs 'format: 2'"):
        _ = parse_config({"checks": [{"any": True, "max": 0.1}], "requires": {"rows": 5}})


@pytest.mark.parametrize(
    "requires",
    [
        {"rows": 0},
        {"data": "xyz"},
        {"data": "0123"},
        {"features": "most"},
        {"not_training": False},
        {"age": 1},
        {"model_code": "isolated"},
    ],
)
def test_a_requirement_that_means_nothing_is_refused(requires):
    with pytest.raises(ConfigError):
        parse_config({"format": 2, "checks": [{"any": True, "max": 0.1}], "requires": requires})
