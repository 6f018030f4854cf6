"""Two audits of one version at once: both are whole, and the version tells of one of them, the last one finished."""

import mlflow
import pytest

from nnperm_mlflow import audit
from nnperm_mlflow.registry.linking import RUN_TAG, VERDICT_TAGS
from tests.house import build_house, register

KEPT = {"name": "region", "feature": "region", "max": 0.9}
MISSED = {"name": "age", "feature": "age", "statistic": "mean", "max": 1e-6}


@pytest.fixture(scope="module")
def home(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    house = build_house(tmp_path_factory.mktemp("together"), "together")
    register(house)
    return house


def checked(home, *checks):
    return audit({**home.settings(), "checks": list(checks)}, model_uri="models:/together/1")


@pytest.mark.parametrize("at", [1, 3, 5, 6])
def test_an_audit_that_ends_within_the_linking_of_another_leaves_tags_of_one(home, tracked, monkeypatch, at):
    """The other writes all of its tags between two of this one's."""
    tracked.update_model_version("together", "1", "Made by Ada.")
    real, calls, others = mlflow.MlflowClient.set_model_version_tag, 0, []

    def interrupted(client, *given, **more):
        nonlocal calls
        calls += 1
        if calls == at:
            monkeypatch.setattr(mlflow.MlflowClient, "set_model_version_tag", real)
            others.append(checked(home, MISSED))
            monkeypatch.setattr(mlflow.MlflowClient, "set_model_version_tag", interrupted)
        return real(client, *given, **more)

    monkeypatch.setattr(mlflow.MlflowClient, "set_model_version_tag", interrupted)
    own = checked(home, KEPT)
    version = tracked.get_model_version("together", "1")
    (other,) = others
    verdicts = {own.run_id: "pass", other.run_id: "fail"}
    run = tracked.get_run(version.tags[RUN_TAG])
    assert {key: version.tags[key] for key in VERDICT_TAGS} == {key: run.data.tags[key] for key in VERDICT_TAGS}
    assert version.tags[VERDICT_TAGS[0]] == verdicts[run.info.run_id]
    assert version.description.startswith("Made by Ada.")
    assert version.description.count("<!-- nnperm audit: begin -->") == 1
    assert f"runs/{run.info.run_id}" in version.description
    for result in (own, other):
        assert tracked.get_run(result.run_id).info.status == "FINISHED"
