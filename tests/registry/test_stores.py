"""A registry that several tracking stores share, and versions that are copies of others, in real stores."""

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import mlflow
import pytest
from click.testing import CliRunner

from nnperm_mlflow import audit, compare, history
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import EvidenceError, RefusedError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.promotion.alias_promotion import promote
from nnperm_mlflow.registry.tags import RUN_TAG
from tests.support.empty_stores import empty_store
from tests.support.house import build_house, register

pytestmark = pytest.mark.slow

KEPT = {"checks": [{"feature": "region", "max": 0.9}]}
MISSED = {"checks": [{"feature": "age", "statistic": "mean", "max": 1e-6}]}


@contextmanager
def registry_at(uri):
    """Let MLflow speak to a registry apart; what it tells the processes that it starts goes, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_REGISTRY_URI", uri)
        mlflow.set_registry_uri(uri)
        try:
            yield
        finally:
            mlflow.set_registry_uri(None)


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """A model that was logged in one tracking store and registered in a registry apart; audited in another store."""
    folder = tmp_path_factory.mktemp("apart")
    uris = {name: empty_store(folder / f"{name}.db") for name in ("team", "audits", "registry")}
    before = mlflow.get_tracking_uri()
    with registry_at(uris["registry"]):
        for name in ("team", "audits"):
            mlflow.set_tracking_uri(uris[name])
            mlflow.create_experiment("tests", (folder / name).as_uri())
            if name == "team":
                house = build_house(folder, "shared")
                register(house)
        mlflow.set_experiment("tests")
        yield SimpleNamespace(house=house, uris=uris)
        mlflow.set_tracking_uri(before)


def test_a_version_whose_model_the_tracking_store_does_not_know_is_audited_checked_told_and_promoted(apart, caplog):
    """Before, all was computed, and then "FOREIGN KEY constraint failed"."""
    result = audit({**apart.house.settings(), **KEPT}, model_uri="models:/shared/1")
    assert (result.verdict.status, result.not_linked) == ("pass", [])
    assert caplog.text.count("models:/shared/1 was logged in another tracking store than this one") == 1
    client = mlflow.MlflowClient()
    run, version = client.get_run(result.run_id), client.get_model_version("shared", "1")
    assert run.data.metrics["mean/age"] == pytest.approx(result.summary.set_index("perturbation").loc["age", "mean"])
    assert not run.inputs.model_inputs
    assert (version.tags["nnperm.verdict"], version.tags[RUN_TAG]) == ("pass", result.run_id)
    assert check("models:/shared/1").verdict.status == "pass"
    assert promote("models:/shared/1", "champion").run_id == result.run_id
    assert [event.kind for event in history("shared").events] == ["audit", "verdict", "verdict", "promotion"]
    mlflow.set_tracking_uri(apart.uris["team"])  # where the model is known, its metrics become the model's own
    try:
        there = audit({**apart.house.settings(), **KEPT}, model_uri="models:/shared/1")
        assert len(mlflow.MlflowClient().get_run(there.run_id).inputs.model_inputs) == 1
    finally:
        mlflow.set_tracking_uri(apart.uris["audits"])


@pytest.fixture(scope="module")
def copied(store, tmp_path_factory):
    """Version 1 of `copied-dev`, audited with a pass, and a copy of it as MLflow makes one; tags come along."""
    mlflow.set_tracking_uri(store)
    client = mlflow.MlflowClient()
    house = build_house(tmp_path_factory.mktemp("copied"), "copied-dev")
    register(house)
    result = audit({**house.settings(), **KEPT}, model_uri="models:/copied-dev/1")
    client.copy_model_version("models:/copied-dev/1", "copied-prod")
    assert client.get_model_version("copied-prod", "1").tags["nnperm.verdict"] == "pass"
    return SimpleNamespace(house=house, run_id=result.run_id)


PROD = "models:/copied-prod/1"


def test_a_history_says_that_a_version_is_a_copy_and_whose_tags_it_bears(copied, tracked, store):
    told = history("copied-prod")
    sentence = (
        f"version 1 is a copy of models:/copied-dev/1, and bears tags of an audit of that version (run {copied.run_id})"
    )
    assert told.copies == {"1": sentence}
    assert told.events == ()
    said = CliRunner().invoke(main, ["history", "copied-prod", "--tracking-uri", store]).output
    assert said.splitlines() == ["models:/copied-prod: no version has been audited.", sentence]
    assert sentence in repr(told)
    assert history("copied-dev").copies == {}


def test_the_audit_of_the_source_counts_for_a_copy_with_the_same_files(copied, tracked):
    found = check(PROD, policy=Policy.model_validate(KEPT))
    assert found.verdict.subject.run_id == copied.run_id
    version = tracked.get_model_version("copied-prod", "1")
    assert version.tags[RUN_TAG] == copied.run_id
    assert r"This version is a copy of models:/copied\-dev/1, which was audited" in version.description
    done = promote(PROD, "champion")
    assert (done.model, done.version, done.run_id) == ("copied-prod", "1", copied.run_id)
    register(copied.house)
    audit(copied.house.settings(), model_uri="models:/copied-dev/2")
    assert compare(PROD, "models:/copied-dev/2").audits[0] == copied.run_id


def test_a_verdict_of_the_source_by_another_policy_is_none_of_the_copy(copied, tracked):
    with pytest.raises(RefusedError, match="was given under policy"):
        promote(PROD, "champion", policy=Policy.model_validate(MISSED))
    assert check(PROD, policy=Policy.model_validate(MISSED)).verdict.status == "fail"
    assert tracked.get_model_version("copied-prod", "1").tags["nnperm.verdict"] == "fail"
    assert check(PROD, policy=Policy.model_validate(KEPT)).verdict.status == "pass"


def test_a_copy_whose_files_are_others_is_not_audited_by_what_its_source_was(copied, tracked, caplog):
    file = Path(urlparse(tracked.get_model_version_download_uri("copied-prod", "1")).path) / "requirements.txt"
    before = file.read_text()
    file.write_text(f"{before}# changed")
    try:
        with pytest.raises(EvidenceError, match="models:/copied-prod/1 has no finished audit"):
            check(PROD)
        with pytest.raises(RefusedError, match="models:/copied-prod/1 has no finished audit"):
            promote(PROD, "champion")
    finally:
        file.write_text(before)
    assert f"{PROD} is a copy of models:/copied-dev/1, with other files than were audited there" in caplog.text


def test_a_copy_that_was_audited_itself_stands_on_its_own_audit(copied, tracked):
    own = audit({**copied.house.settings(), **KEPT}, model_uri=PROD)
    assert check(PROD).verdict.subject.run_id == own.run_id
    assert "bears tags" not in history("copied-prod").copies["1"]
