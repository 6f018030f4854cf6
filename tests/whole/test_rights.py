"""Against a server that asks who somebody is: what a reader gets, and what is told of the rest."""

from types import SimpleNamespace

import mlflow
import pytest
import requests
import yaml
from click.testing import CliRunner
from mlflow.server.auth.client import AuthServiceClient

from nnperm_mlflow import audit
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import RefusedError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.promotion.alias_promotion import promote
from nnperm_mlflow.registry.error_explanation import refused
from tests.support.house import build_house, register
from tests.support.servers import guarded, running_server

ADMIN, ADMIN_PASSWORD = "keeper", "a-long-password-1"
READER, READER_PASSWORD = "reader", "a-long-password-2"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a server with basic authentication, where whoever has no other right may read."""
    folder = tmp_path_factory.mktemp("guarded")
    with running_server(folder, **guarded(folder, ADMIN, ADMIN_PASSWORD)) as address:
        yield address


@pytest.fixture(scope="module")
def house(server, tmp_path_factory):
    """The small network, registered by the keeper, with a reader beside who may not change anything of it."""
    with pytest.MonkeyPatch.context() as patch:
        act_as(patch, ADMIN, ADMIN_PASSWORD)
        mlflow.set_tracking_uri(server)
        AuthServiceClient(server).create_user(READER, READER_PASSWORD)
        made = build_house(tmp_path_factory.mktemp("guarded_house"), "guarded")
        register(made, experiment="risk")
    return made


@pytest.fixture
def as_reader(house, server, monkeypatch):
    mlflow.set_tracking_uri(server)
    act_as(monkeypatch, READER, READER_PASSWORD)
    return mlflow.MlflowClient()


def act_as(patch, name, password):
    patch.setenv("MLFLOW_TRACKING_USERNAME", name)
    patch.setenv("MLFLOW_TRACKING_PASSWORD", password)


CHECKS = [{"name": "no reliance on region", "feature": "region", "max": 0.9}]
MISSED = [{"name": "age is no driver", "feature": "age", "max": 1e-9}]


@pytest.fixture(scope="module")
def keepers_run(house, server):
    """The run of the keeper's audit of version 2, which passes."""
    with pytest.MonkeyPatch.context() as patch:
        act_as(patch, ADMIN, ADMIN_PASSWORD)
        mlflow.set_tracking_uri(server)
        uri = f"models:/guarded/{register(house)}"
        return audit({**house.settings(), "checks": CHECKS}, model_uri=uri, experiment="the keeper's").run_id


@pytest.mark.slow
def test_a_reader_gets_the_numbers_and_is_told_what_could_not_be_linked(house, as_reader):
    result = audit({**house.settings(), "checks": CHECKS}, model_uri="models:/guarded/1", experiment="reader's own")
    run = as_reader.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["median/flag is 1"] == result.summary.set_index("perturbation")["median"]["flag=1"] > 0
    assert {file.path for file in as_reader.list_artifacts(result.run_id)} >= {
        "verdict.json",
        "audit.md",
        "boxplot.png",
    }
    assert result.verdict.status == "pass"
    of_model, *of_version = result.not_linked
    assert of_model == f"the metrics of {result.model.model_id}"
    assert of_version == ["the tags of models:/guarded/1", "the description of models:/guarded/1"]
    assert as_reader.get_model_version("guarded", "1").tags == {}


@pytest.mark.slow
def test_a_reader_may_not_promote_and_is_told_so(house, as_reader, server, tmp_path):
    config = tmp_path / "house.yaml"
    config.write_text(yaml.safe_dump({**house.settings(), "checks": CHECKS}))
    run_nnperm = CliRunner().invoke
    told = ["--tracking-uri", server]
    audited = run_nnperm(
        main, ["audit", "--model-uri", "models:/guarded/1", "--config", str(config), "--experiment", "own", *told]
    )
    assert audited.exit_code == 0, audited.output
    assert "not written for want of permission: the tags of models:/guarded/1" in audited.output
    promoted = run_nnperm(main, ["promote", "models:/guarded/1", "--alias", "champion", *told])
    assert promoted.exit_code == 2
    assert "PERMISSION_DENIED" in promoted.output
    assert as_reader.get_registered_model("guarded").aliases == {}


@pytest.mark.slow
def test_a_reader_is_told_a_verdict_that_cannot_be_written(keepers_run, as_reader, server, tmp_path):
    """Not on the version either, nor in its place anywhere else."""
    before = as_reader.get_run(keepers_run).data.tags
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump({"checks": MISSED}))
    told = ["check", "--run", keepers_run, "--policy", str(policy), "--tracking-uri", server]
    result = CliRunner().invoke(main, told)
    assert result.exit_code == 1, result.output
    assert "verdict: fail: 1 of 1 checks are not kept: 'age is no driver'" in result.stdout
    places = [f"run {keepers_run}", "the tags of models:/guarded/2", "the description of models:/guarded/2"]
    unwritten = [f"not written for want of permission: {place}" for place in places]
    assert [line for line in result.stderr.splitlines() if line.startswith("not written")] == unwritten
    assert check(run_id=keepers_run).not_linked == places
    assert as_reader.get_run(keepers_run).data.tags == before
    assert len(as_reader.list_artifacts(keepers_run, "verdicts")) == 1
    assert as_reader.get_model_version("guarded", "2").tags["nnperm.verdict"] == "pass"


@pytest.mark.slow
def test_neither_a_deleted_fail_nor_a_clock_that_is_ahead_helps_who_may_write_runs(
    house, as_reader, server, monkeypatch, caplog
):
    """The reader's audit fails, and is deleted with its experiment; another one of theirs passes in two days."""
    uri, settings = "models:/guarded/1", house.settings()
    del settings["analysis"]["seed"]

    def policy(version, limit):
        checks = [{"feature": "age", "max": limit}]
        document = {"format": 2, "name": "limits", "version": version, "checks": checks, "trial": {"attempts": 9}}
        return Policy.model_validate(document)

    failed = audit(settings, model_uri=uri, policy=policy(1, 1e-9), experiment="trials of the reader")
    as_reader.delete_run(failed.run_id)
    as_reader.delete_experiment(failed.experiment_id)
    passed = audit(settings, model_uri=uri, policy=policy(2, 0.9), experiment="more of the reader's")
    ahead = as_reader.get_run(passed.run_id).info.end_time + 2 * 86_400_000
    as_reader.set_terminated(passed.run_id, end_time=ahead)
    act_as(monkeypatch, ADMIN, ADMIN_PASSWORD)
    own = audit(settings, model_uri=uri, policy=policy(2, 0.9))
    assert check(uri).verdict.subject.run_id == own.run_id
    assert f"run {passed.run_id} is passed over: it tells as its end" in caplog.text
    with pytest.raises(RefusedError, match=rf"failed 'limits', version 2 on the same data.*{failed.run_id}.*deleted"):
        promote(uri, "champion", policy=policy(2, 0.9))
    assert mlflow.MlflowClient().get_registered_model("guarded").aliases == {}


@pytest.mark.parametrize("response", [SimpleNamespace(status_code=500), SimpleNamespace(status_code=401), None])
def test_a_file_that_is_not_taken_for_another_reason_is_an_error(response):
    with pytest.raises(requests.HTTPError, match="not taken"):
        refused(requests.HTTPError("not taken", response=response), "run 1")


@pytest.mark.slow
def test_a_wrong_password_is_one_message(house, as_reader, server, monkeypatch):
    act_as(monkeypatch, READER, "another-password")
    result = CliRunner().invoke(main, ["check", "--model-uri", "models:/guarded/1", "--tracking-uri", server])
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1
    assert "TrackingError: MLflow refused (UNAUTHENTICATED)" in result.output
