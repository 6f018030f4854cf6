"""The tasks of a deployment job and the jobs of two services, as docs/pipelines.md has them: run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import yaml

from tests.support.house import build_house, register

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs" / "pipelines.md"
TASKS = re.findall(r"```python\n(\"\"\"Task .*?)```", PAGE.read_text("utf-8"), re.DOTALL)
JOBS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def job(store, tmp_path_factory):
    """A registered network called credit, and a job that runs a task in the folder of its files."""
    mlflow.set_tracking_uri(store)
    folder = tmp_path_factory.mktemp("job")
    home = build_house(folder, "credit")
    versions = [register(home) for _ in range(2)]
    (folder / "credit.yaml").write_text(yaml.safe_dump(home.settings()))

    def run(task, policy):
        (folder / "policy.yaml").write_text(yaml.safe_dump({"checks": [policy]}))
        environment = {**os.environ, "MLFLOW_TRACKING_URI": store}
        code = task.replace("models:/credit/4", f"models:/credit/{versions[-1]}")
        return subprocess.run(
            [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_a_version_is_evaluated_approved_and_deployed_by_the_tasks_of_the_page(job):
    evaluate, approve, deploy = TASKS
    kept, missed = ({"name": "limit", "any": True, "statistic": "mean", "max": limit} for limit in (0.9, 0.0))
    assert job(evaluate, kept).returncode == 0
    refused = job(approve, missed)
    assert (refused.returncode, refused.stdout.partition(" - ")[0]) == (1, "limit")
    not_deployed = job(deploy, missed)
    assert (not_deployed.returncode, "not promoted: " in not_deployed.stderr) == (1, True)
    assert job(approve, kept).returncode == 0
    done = job(deploy, kept)
    assert (done.returncode, "is champion, replacing None" in done.stdout) == (0, True), done.stderr
    assert str(mlflow.MlflowClient().get_model_version_by_alias("credit", "champion").version) == "2"


@pytest.mark.parametrize(("job_file", "schema"), list(zip(JOBS, ("github-workflows", "gitlab-ci"), strict=True)))
def test_the_jobs_of_the_page_are_what_the_services_read(job_file, schema, tmp_path):
    (tmp_path / "job.yaml").write_text(job_file)
    command = ["-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", str(tmp_path / "job.yaml")]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_commands_of_the_jobs_run_as_they_stand(store, tmp_path):
    mlflow.set_tracking_uri(store)
    home = build_house(tmp_path, "credit")
    mlflow.MlflowClient().set_registered_model_alias("credit", "candidate", register(home))
    folder = tmp_path / "models" / "credit"
    folder.mkdir(parents=True)
    (folder / "audit.yaml").write_text(yaml.safe_dump(home.settings()))
    check = {"name": "limit", "any": True, "max": 0.9}
    (folder / "policy.yaml").write_text(yaml.safe_dump({"format": 2, "checks": [check]}))
    github, gitlab = map(yaml.safe_load, JOBS)
    steps = [step["run"] for step in github["jobs"]["audit"]["steps"] if "nnperm " in step.get("run", "")]
    lines = [line for line in [*steps, *gitlab["credit-model"]["script"]] if line.startswith("nnperm ")]
    assert len(lines) == 3
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    for line in lines:
        whole = line.replace("nnperm ", f"{sys.executable} -m nnperm_mlflow ", 1)
        done = subprocess.run(
            whole, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "| limit |" in (tmp_path / "summary.md").read_text()
    assert "<testcase" in (tmp_path / "nnperm.xml").read_text()
