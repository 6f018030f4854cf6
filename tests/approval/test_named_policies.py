"""Policies with a name: what run, version, card and history tell of each, and after its last day nothing."""

import json

import mlflow
import pytest

from nnperm_mlflow import audit, history
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import CheckError, RefusedError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.promotion.alias_promotion import promote
from tests.support.house import build_house, register

STRICT = {
    "format": 2,
    "name": "credit limits",
    "version": 3,
    "owner": "Risk Office",
    "valid_until": "2999-12-31",
    "checks": [{"name": "age is no driver", "feature": "age", "max": 1e-6}],
}
LENIENT = {"format": 2, "checks": [{"feature": "region", "max": 0.9}]}


@pytest.fixture(scope="module")
def home(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return build_house(tmp_path_factory.mktemp("named"), "named")


@pytest.fixture
def version(home, tracked):
    return register(home)


def policy(document, **more):
    return Policy.model_validate({**document, **more})


def audit_version(home, version, document):
    return audit(home.settings(), model_uri=f"models:/named/{version}", policy=document and policy(document))


def told_by(tracked, version):
    """What a version tells: its tags of verdicts, and the first line and the section of its description."""
    found = tracked.get_model_version("named", version)
    tags = {key.removeprefix("nnperm."): value for key, value in found.tags.items()}
    return {key: tags[key] for key in tags if key.startswith(("verdict", "policy", "mode"))}, found.description


def test_run_version_card_verdict_and_history_name_the_policy(home, version, tracked):
    audited = audit_version(home, version, STRICT)
    tags, description = told_by(tracked, version)
    digest = policy(STRICT).digest()
    expected = {"verdict": "fail", "policy": digest, "mode": "enforce", "policy_name": "credit limits"}
    assert tags == {**expected, "verdict.credit limits": "fail"}
    of_run = tracked.get_run(audited.run_id).data.tags
    assert {key: of_run[f"nnperm.{key}"] for key in tags} == tags
    words = "fail under 'credit limits', version 3: 1 of 1 checks are not kept: 'age is no driver'"
    assert description.startswith("Audit: fail\n")
    assert f"**{words}**" in description
    told = json.loads(mlflow.artifacts.load_text(f"runs:/{audited.run_id}/verdict.json"))
    assert (told["in_words"], told["policy_name"], told["policy"]["owner"]) == (words, "credit limits", "Risk Office")
    card = mlflow.artifacts.load_text(f"runs:/{audited.run_id}/audit.md")
    assert "Policy: 'credit limits', version 3, of Risk Office, valid until 2999\\-12\\-31." in card
    (event,) = (event for event in history("named").events if event.kind == "verdict" and event.version == version)
    assert (event.policy_name, event.in_words) == ("credit limits", words)


@pytest.mark.parametrize("name", [None, "easy limits"])
def test_a_pass_under_another_policy_does_not_hide_a_fail_under_this_one(home, version, tracked, name):
    audited = audit_version(home, version, STRICT)
    check(run_id=audited.run_id, policy=policy(LENIENT, name=name))
    tags, description = told_by(tracked, version)
    other = {} if name is None else {"verdict.easy limits": "pass"}
    assert tags == {"verdict": "fail", "policy_name": "credit limits", "verdict.credit limits": "fail", **other}
    assert description.startswith("Audit: fail\n")
    assert "Under other policies: **fail** under 'credit limits'." in description
    of_run = tracked.get_run(audited.run_id).data.tags
    assert (of_run["nnperm.verdict"], of_run.get("nnperm.policy_name")) == ("pass", name)


def test_a_newer_audit_under_another_policy_or_none_does_not_hide_it_either(home, version, tracked):
    audit_version(home, version, STRICT)
    audit_version(home, version, LENIENT)
    assert told_by(tracked, version)[0]["verdict"] == "fail"
    audit_version(home, version, None)
    tags, description = told_by(tracked, version)
    assert tags == {"verdict": "fail", "policy_name": "credit limits", "verdict.credit limits": "fail"}
    assert description.startswith("Audit: fail\n")


def test_a_pass_under_the_same_name_is_what_the_version_tells_then(home, version, tracked):
    audited = audit_version(home, version, STRICT)
    check(run_id=audited.run_id, policy=policy(LENIENT, name="credit limits", version=4))
    tags, description = told_by(tracked, version)
    assert (tags["verdict"], tags["verdict.credit limits"], tags["policy_name"]) == ("pass", "pass", "credit limits")
    assert "Under other policies" not in description


def test_a_pass_under_another_name_goes_with_its_audit(home, version, tracked):
    audit_version(home, version, {**LENIENT, "name": "easy limits"})
    audit_version(home, version, None)
    assert told_by(tracked, version)[0] == {}


def test_nothing_is_decided_by_a_policy_after_its_last_day(home, version, tracked, monkeypatch):
    past = policy(LENIENT, name="old limits", valid_until="2020-12-31")
    audited = audit_version(home, version, LENIENT)
    message = "the policy 'old limits' was valid until 2020-12-31"
    with pytest.raises(CheckError, match=message):
        check(run_id=audited.run_id, policy=past)
    assert "nnperm.policy_name" not in tracked.get_run(audited.run_id).data.tags
    with pytest.raises(RefusedError, match="does not become 'champion'"):
        promote(f"models:/named/{version}", "champion", policy=past)
    monkeypatch.setattr("nnperm_mlflow.auditor.audit_procedure.measure", None)
    with pytest.raises(CheckError, match=message):
        audit(home.settings(), model_uri=f"models:/named/{version}", policy=past)
