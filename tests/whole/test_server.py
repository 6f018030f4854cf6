"""`mlflow run` as a subprocess against a real `mlflow server` on loopback."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

from nnperm_mlflow.registry.audits import find_audits
from tests.support.house import build_house, register
from tests.support.servers import running_server

PROJECT = Path(__file__).parents[2]
SET_BY_MLFLOW = {"MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a tracking server with an sqlite store."""
    with running_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="module")
def served_house(server, tmp_path_factory):
    """The small network as version 1 of `house`, on the server."""
    mlflow.set_tracking_uri(server)
    house = build_house(tmp_path_factory.mktemp("served"), "house")
    register(house, experiment="risk")
    return house


@pytest.fixture
def client(server):
    mlflow.set_tracking_uri(server)
    return mlflow.MlflowClient()


def mlflow_run(server, *arguments, manager="local", **options):
    command = [sys.executable, "-m", "mlflow", "run", str(PROJECT), "--env-manager", manager, *arguments]
    environment = {name: value for name, value in os.environ.items() if name not in SET_BY_MLFLOW}
    environment["MLFLOW_TRACKING_URI"] = server
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def audit_by_mlflow_run(server, house, uri="models:/house/1", manager="local"):
    arguments = ["--experiment-name", "risk", "-P", f"model_uri={uri}", "-P", f"config={house.config}"]
    process = mlflow_run(server, *arguments, manager=manager)
    output, _ = process.communicate()
    return process.returncode, output


def newest_run(client):
    experiment = client.get_experiment_by_name("risk")
    return client.get_run(client.search_runs([experiment.experiment_id], max_results=1)[0].info.run_id)


@pytest.mark.slow
@pytest.mark.parametrize("manager", ["local", "uv"])
def test_mlflow_run_audits_a_version_and_links_it(manager, server, client, served_house):
    code, output = audit_by_mlflow_run(server, served_house, manager=manager)
    assert code == 0, output
    run = newest_run(client)
    assert run.info.status == "FINISHED"
    assert run.data.params["model"] == "models:/house/1"
    assert run.data.metrics["median/flag is 1"] > 0
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"deviations.parquet", "boxplot.png"}
    version = client.get_model_version("house", "1")
    assert version.tags["nnperm.run_id"] == run.info.run_id
    (model,) = run.inputs.model_inputs
    on_model = {metric.key: metric.run_id for metric in client.get_logged_model(model.model_id).metrics}
    assert on_model["median/flag is 1"] == run.info.run_id
    assert f"{server}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}" in output


@pytest.mark.slow
def test_a_verdict_of_fail_fails_mlflow_run_and_leaves_the_audit_whole(server, client, served_house, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text("checks: [{feature: age, statistic: mean, max: 0.000001}]")
    process = mlflow_run(
        server, "--experiment-name", "risk", "-P", "model_uri=models:/house/1", "-P", f"config={served_house.config}",
        "-P", f"policy={policy}",
    )  # fmt: skip
    output, _ = process.communicate()
    assert process.returncode != 0
    assert "NOT KEPT  mean of age is at most 1e-06" in output, output
    run = newest_run(client)
    assert run.data.tags["nnperm.verdict"] == "fail"
    assert run.info.status == "FAILED"  # by `mlflow run`, of each command that does not end with 0
    assert find_audits(client, "models:/house/1")[0].info.run_id == run.info.run_id
    again = mlflow_run(server, "-e", "check", "-P", "model_uri=models:/house/1", "--experiment-name", "checks")
    output, _ = again.communicate()
    assert again.returncode != 0
    assert "verdict: fail: 1 of 1 checks are not kept" in output


@pytest.mark.slow
def test_mlflow_run_of_a_missing_version_fails_and_says_why_in_the_run(server, client, served_house):
    code, output = audit_by_mlflow_run(server, served_house, uri="models:/house/99")
    assert code != 0
    assert "ModelNotFoundError: models:/house/99 is not in the registry: 'house' has the versions '1'" in output
    run = newest_run(client)
    assert run.info.status == "FAILED"
    assert "'house' has the versions '1'" in run.data.tags["nnperm.error"]
    assert run.data.metrics == {}


@pytest.mark.slow
def test_a_value_with_shell_letters_stays_a_value(server, client, served_house, tmp_path):
    code, _ = audit_by_mlflow_run(server, served_house, uri=f"models:/house/1; touch {tmp_path}/injected #")
    assert code != 0
    assert not (tmp_path / "injected").exists()


@pytest.mark.slow
def test_an_audit_that_is_terminated_ends_its_run_as_killed(server, client, served_house):
    run = client.create_run(client.get_experiment_by_name("risk").experiment_id)
    command = [
        sys.executable, "-c",
        "import sys, time; from nnperm_mlflow.analysis.engine import loop as engine\n"
        "real = engine.audit_block\n"
        "def slow(*given, **more):\n    print('in the middle', flush=True); time.sleep(600)\n"
        "engine.audit_block = slow\n"
        "from nnperm_mlflow.cli.main import main; main()",
        "audit", "--tracking-uri", server, "--run-id", run.info.run_id,
        "--model-uri", "models:/house/1", "--config", str(served_house.config),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout.readline() == "in the middle\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    assert client.get_run(run.info.run_id).info.status == "KILLED"
