"""Checks on the scores of two versions of a real network in a real store."""

from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from nnperm_mlflow import audit, compare
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import CheckError, MissingBaselineError
from nnperm_mlflow.config.policy import Policy
from tests.support.house import build_house, register

AGAINST = {"score": "roc_auc", "against": "models:/scored/1", "max_drop": 0.05}


@pytest.fixture(scope="module")
def scored(store, tmp_path_factory):
    """Version 1, which knows the outcomes well, and version 2, which takes them for their opposite."""
    mlflow.set_tracking_uri(store)
    folder = tmp_path_factory.mktemp("scored")
    house = build_house(folder, "scored")
    register(house)
    probability = house.network(house.inputs, training=False).numpy()[:, 0].astype(float)
    spread = (probability - probability.mean()) / probability.std()
    labels = (np.random.default_rng(0).logistic(size=len(spread)) < 3 * spread).astype(int)
    settings = house.settings()
    pd.read_parquet(settings["data"]["static"]).assign(outcome=labels).to_parquet(folder / "scored.parquet")
    settings["data"] |= {"static": str(folder / "scored.parquet"), "label": "outcome"}
    other = build_house(tmp_path_factory.mktemp("other"), "scored")
    *weights, kernel, bias = house.network.get_weights()
    other.network.set_weights([*weights, -kernel, -bias])
    register(replace(house, network=other.network))
    areas = [
        roc_auc_score(labels, network(house.inputs, training=False).numpy()[:, 0])
        for network in (house.network, other.network)
    ]
    return {**settings, "analysis": {"seed": 1, "scores": ["roc_auc"]}}, areas


def policy(*checks):
    return Policy.model_validate({"checks": list(checks)})


def test_a_version_that_scores_less_than_another_fails_and_the_other_passes(scored, tracked):
    settings, areas = scored
    assert areas[0] + areas[1] == pytest.approx(1)
    limit = {"score": "roc_auc", "min": 0.6}
    first = audit({**settings, "checks": [limit]}, model_uri="models:/scored/1")
    assert first.verdict.status == "pass"
    second = audit({**settings, "checks": [AGAINST]}, model_uri="models:/scored/2")
    (outcome,) = second.verdict.outcomes
    assert outcome.finding.state == "fails"
    number = outcome.finding.number
    assert number.value == pytest.approx(areas[0] - areas[1], abs=1e-6)
    assert 0.05 < number.low < number.value < number.high
    back = check(run_id=first.run_id, policy=policy({**AGAINST, "against": "models:/scored/2"})).verdict
    assert back.status == "pass"
    compared = compare("models:/scored/1", "models:/scored/2")
    value, low, high = compared.own_scores["roc_auc"]
    assert (value, low, high) == pytest.approx((-number.value, -number.high, -number.low))
    metrics = tracked.get_run(compared.run_id).data.metrics
    assert metrics["nnperm/roc_auc_difference"] == value
    assert "roc\\_auc of the models themselves, difference" in (compared.directory / "comparison.md").read_text()
    card = mlflow.artifacts.load_text(f"runs:/{second.run_id}/audit.md")
    assert "drop of roc\\_auc of the model itself against models:/scored/1 is" in card


def test_an_audit_of_the_other_version_without_the_score_or_of_other_outcomes_is_passed_over(scored, tracked):
    settings, _ = scored
    seeded = {**settings, "analysis": {"seed": 5, "scores": ["roc_auc"]}}
    audit({**settings, "analysis": {"seed": 5}}, model_uri="models:/scored/1")
    audit({**seeded, "data": {**seeded["data"], "label": "flag"}}, model_uri="models:/scored/1")
    second = audit(seeded, model_uri="models:/scored/2")
    with pytest.raises(MissingBaselineError, match="with the same donors that tells 'roc_auc' of the model itself"):
        check(run_id=second.run_id, policy=policy(AGAINST))
    made = audit({**seeded, "checks": [AGAINST]}, model_uri="models:/scored/2")
    assert made.verdict.outcomes[0].finding.state == "fails"  # the other version was audited now


def test_a_score_that_was_not_asked_for_needs_another_audit(scored, tracked):
    settings, _ = scored
    without = {**settings, "analysis": {"seed": 1}}
    with pytest.raises(CheckError, match="'roc_auc' is no score of the model itself in this audit, which tells none"):
        audit({**without, "checks": [AGAINST]}, model_uri="models:/scored/2")
    found = audit(without, model_uri="models:/scored/2")
    with pytest.raises(CheckError, match="and audit again"):
        check(run_id=found.run_id, policy=policy({"score": "roc_auc", "min": 0.5}))
