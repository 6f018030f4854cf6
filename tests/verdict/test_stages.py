"""A level that is shared among stages: wider intervals of every kind of number, no easier pass for looking twice."""

from dataclasses import replace

import pytest
from scipy.stats import norm, t

from benchmarks.coverage import looks
from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.verdict._estimates import Estimate
from nnperm_mlflow.verdict.attempt import result_of
from nnperm_mlflow.verdict.audit_evidence import Evidence
from nnperm_mlflow.verdict.checks import apply
from nnperm_mlflow.verdict.judgement import judge
from nnperm_mlflow.verdict.verdict import Finding
from tests.verdict.test_score_checks import AGAINST, CHAMPION, OWN
from tests.verdict.test_segment_checks import SUMMARY as OF_SEGMENTS
from tests.verdict.test_segment_checks import TABLES
from tests.verdict.test_verdict import SUBJECT, SUMMARY, compared

OF_CHAMPION = OwnScore(0.79, 0.77, 0.81, 4000, (0.003, -0.002, -0.002, 0.001))
STAGES = {"trial": {"stages": [1, 5]}}
REACH_OF_TWO = norm.ppf(0.9875) / norm.ppf(0.975)


def test_each_look_gets_its_share_of_the_level():
    """The ends lie where a normal number errs in 2.5 / 2 of 100 cases to each side, as scipy tells it."""
    number = Estimate(10.0, 10 - norm.ppf(0.975), 10 + norm.ppf(0.975)).of_family(2, "mean")
    assert (number.low, number.high) == pytest.approx((10 - norm.ppf(0.9875), 10 + norm.ppf(0.9875)))
    finding = Finding("age", number, 12.0, True, "holds", "", judged=5, stages=2)
    assert finding.levels == {"holds": 0.0125, "fails": 0.0025}


def test_looks_at_growing_samples_share_the_level_and_stages_of_a_trial_share_that():
    """A subject that says nothing of looks is judged as before."""
    policy = {"format": 2, "name": "looks", "checks": [{"feature": "AGE", "statistic": "mean", "max": 1.0}]}
    for n_looks, trial, share in ((None, {}, 1), (5, {}, 5), (None, STAGES, 2), (5, STAGES, 10)):
        evidence = Evidence(replace(SUBJECT, look=n_looks and 2, looks=n_looks), SUMMARY, seed=SUBJECT.seed)
        (outcome,) = judge(Policy.model_validate({**policy, **trial}), evidence).outcomes
        assert outcome.finding.levels["holds"] == pytest.approx(0.025 / share)


@pytest.mark.parametrize(
    "check",
    [
        {"feature": "AGE", "statistic": "mean", "max": 1.0},
        {"any": True, "statistic": "mean", "max": 1.0},
        {"against": CHAMPION, "statistic": "median", "max_shift": 0.05},
        {"against": CHAMPION, "statistic": "median", "min_rank_correlation": 0.8},
        {"score": "roc_auc", "min": 0.75},
        AGAINST,
    ],
    ids=str,
)
def test_the_interval_of_each_kind_of_number_is_wider(check):
    """By as much as the two quantiles of the normal distribution are apart."""
    baseline = compared((0.9, 0.85, 0.95), (0.04, 0.03, 0.06))
    baseline[CHAMPION] = replace(baseline[CHAMPION], own_scores={"roc_auc": OF_CHAMPION})
    (asked,) = Policy.model_validate({"checks": [check]}).checks
    once, twice = (
        apply(asked, Evidence(SUBJECT, SUMMARY, baseline, own_scores=OWN, stages=stages))[0].number for stages in (1, 2)
    )
    assert once.high > once.low
    assert (twice.high - twice.low) / (once.high - once.low) == pytest.approx(REACH_OF_TWO)


def test_that_of_a_segment_is_too_by_the_units_that_it_has():
    (asked,) = Policy.model_validate({"checks": [{"segment": "SEX=1", "feature": "age", "max": 0.2}]}).checks
    once, twice = (apply(asked, Evidence(SUBJECT, OF_SEGMENTS, segments=TABLES, stages=n))[0].number for n in (1, 2))
    assert (twice.high - 0.10) / (once.high - 0.10) == pytest.approx(t.ppf(0.9875, 499) / t.ppf(0.975, 499))


def test_looking_twice_makes_no_wrong_pass_easier():
    """A limit at the truth: each pass is wrong, and each fail, of which the whole level at each gives too many."""
    whole, shared = (looks("normal", 200, (1, 5), shared=each, n_audits=3_000) for each in (False, True))
    assert max(shared["holds"], shared["fails"]) <= 0.025 < whole["fails"]
    assert shared["holds"] < whole["holds"]


@pytest.mark.parametrize(
    ("status", "states", "result"),
    [
        ("pass", ["holds", "undecided"], "pass"),
        ("fail", ["holds", "undecided"], "undecided"),
        ("fail", ["fails", "undecided"], "fail"),
        ("fail", [], "fail"),
    ],
)
def test_undecided_is_no_fail(status, states, result):
    assert result_of(status, states) == result
