"""Checks on the scores of a model as it is, and on how far they lie below those of another version."""

import pandas as pd
import pytest
from pydantic import ValidationError

from nnperm_mlflow.analysis.perturbation.kinds import Shuffle
from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.basics.errors import CheckError, MissingBaselineError
from nnperm_mlflow.config.checks import ScoreAgainstCheck, ScoreCheck
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.inputs.slots import Feature
from nnperm_mlflow.verdict.check_targets import watch
from nnperm_mlflow.verdict.checks import Baseline, Evidence, apply
from nnperm_mlflow.verdict.verdict import Subject

MODEL, CHAMPION = "models:/credit/4", "models:/credit@champion"
SUBJECT = Subject(MODEL, "run1", "0", *["0"] * 5, rows=4000, repeats=1, seed=0)
PARTS = (0.004, -0.001, -0.002, -0.001)
OWN = {
    "roc_auc": OwnScore(0.78, 0.76, 0.80, 4000, PARTS),
    "neg_max_error": OwnScore(-3.0, rows=4000),
}
AGAINST = {"score": "roc_auc", "against": CHAMPION, "max_drop": 0.01}


def policy(*checks, **more):
    return Policy.model_validate({"checks": list(checks), **more})


def found(check, own=OWN, of_champion=None):
    baselines = {CHAMPION: Baseline("models:/credit/3", "run0", {}, of_champion)} if of_champion is not None else {}
    (finding,) = apply(policy(check).checks[0], Evidence(SUBJECT, pd.DataFrame(), baselines, own_scores=own))
    return finding


@pytest.mark.parametrize(
    ("limit", "state"),
    [
        ({"min": 0.75}, "holds"),
        ({"min": 0.76}, "holds"),
        ({"min": 0.77}, "undecided"),
        ({"min": 0.81}, "fails"),
        ({"max": 0.8}, "holds"),
        ({"max": 0.79}, "undecided"),
        ({"max": 0.75}, "fails"),
    ],
)
def test_a_limit_on_the_own_score_is_decided_by_its_interval(limit, state):
    finding = found({"score": "roc_auc", **limit})
    assert finding.state == state
    assert finding.words.startswith("roc_auc of the model itself is 0.78 (0.76 to 0.8), ")


@pytest.mark.parametrize(
    ("value", "parts", "state"),
    [
        (0.785, PARTS, "holds"),  # the same errors cancel
        (0.80, PARTS, "fails"),
        (0.785, (-0.004, 0.001, 0.002, 0.001), "undecided"),
        (0.7, PARTS, "holds"),  # the champion is worse
    ],
)
def test_a_drop_against_another_version_is_decided_by_its_paired_interval(value, parts, state):
    finding = found(AGAINST, of_champion={"roc_auc": OwnScore(value, value - 0.02, value + 0.02, 4000, parts)})
    assert finding.state == state
    assert finding.number.value == pytest.approx(value - 0.78)
    assert finding.words.startswith("drop of roc_auc of the model itself against models:/credit/3 is ")


@pytest.mark.parametrize(
    ("check", "own", "of_champion", "says"),
    [
        (
            {"score": "accuracy", "min": 0.9},
            OWN,
            None,
            "'accuracy' is no score of the model itself in this",
        ),
        ({"score": "roc_auc", "min": 0.9}, {}, None, "which tells none.*'analysis: scores'"),
        ({"score": "neg_max_error", "min": -4}, OWN, None, "cannot be told from 4,000 rows"),
        (AGAINST, OWN, {}, "'roc_auc' is no score of the model itself"),
        (
            AGAINST,
            OWN,
            {"roc_auc": OwnScore(0.78, 0.76, 0.8, 400, (1, -1))},
            "how sure the difference of 'roc_auc'",
        ),
    ],
)
def test_what_cannot_be_answered_is_an_error(check, own, of_champion, says):
    with pytest.raises(CheckError, match=says):
        found(check, own, of_champion)


def test_a_version_without_an_audit_is_missing():
    with pytest.raises(MissingBaselineError, match="there is no audit of models:/credit@champion"):
        found(AGAINST)


def test_a_score_that_the_audit_will_not_tell_is_refused_before_the_model_runs():
    planned = [Shuffle(Feature("AGE", (), "number"))]
    assert watch(policy({"score": "roc_auc", "min": 0.7}, AGAINST), planned, ["roc_auc"], MODEL) == frozenset()
    for check in ({"score": "accuracy", "min": 0.7}, {**AGAINST, "score": "accuracy"}):
        with pytest.raises(CheckError, match="'accuracy' is no score of the model itself in this audit"):
            watch(policy(check), planned, ["roc_auc"], MODEL)


def test_keys_tell_which_kind_of_score_check_is_meant():
    limit, against = policy({"score": "roc_auc", "min": 0.75}, AGAINST, format=2).checks
    assert (type(limit), type(against)) == (ScoreCheck, ScoreAgainstCheck)
    assert limit.statement == "roc_auc of the model is at least 0.75"
    assert against.statement == "against models:/credit@champion, roc_auc of the model is lower by at most 0.01"
    assert policy(AGAINST).baselines == (CHAMPION,)


@pytest.mark.parametrize(
    "check",
    [
        {"score": "roc_auc"},
        {"score": "roc_auc", "min": 0.7, "max": 0.9},
        {"score": "roc_auc", "max_drop": 0.1},
        {"score": "roc_auc", "against": CHAMPION},
        {**AGAINST, "max_drop": -0.1},
        {**AGAINST, "min": 0.7},
        {"score": "roc_auc", "feature": "SEX", "min": 0.7},
        {"score": "roc_auc", "statistic": "mean", "min": 0.7},
    ],
)
def test_a_score_check_with_too_little_or_too_much_is_refused(check):
    with pytest.raises(ValidationError):
        policy(check)
