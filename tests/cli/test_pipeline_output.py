"""`--format` of audit, check and promote: one document on standard output, whatever comes, and the exit status."""

import json

import pytest
import yaml
from click.testing import CliRunner
from junitparser import Error, Failure, JUnitXml
from sarif_pydantic import Sarif

from nnperm_mlflow import audit
from nnperm_mlflow.cli.main import main

KEPT = {"name": "region is no driver", "feature": "region", "statistic": "mean", "max": 0.9}
MISSED = {"name": "age is no driver", "feature": "age", "statistic": "mean", "max": 1e-6}
URI = "models:/house/1"


@pytest.fixture(scope="module")
def policies(house, store, tmp_path_factory):
    """The files of a policy that is kept and of one that is missed, for a version that has been audited."""
    audit(house.settings(), model_uri=URI)
    folder = tmp_path_factory.mktemp("policies")
    files = {"kept": [KEPT], "missed": [KEPT, MISSED]}
    for name, checks in files.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"format": 2, "checks": checks}))
    (folder / "unanswered.yaml").write_text(yaml.safe_dump({"format": 2, "checks": [{"score": "roc_auc", "min": 0.7}]}))
    return folder


@pytest.fixture
def invoke(store):
    def run(*arguments):
        return CliRunner().invoke(main, [*map(str, arguments), "--tracking-uri", store])

    return run


def test_a_check_is_told_to_junit(invoke, policies):
    result = invoke("check", URI, "--policy", policies / "missed.yaml", "--format", "junit")
    assert result.exit_code == 1
    (suite,) = JUnitXml.fromstring(result.stdout.encode())
    assert [(case.name, case.is_passed) for case in suite] == [
        ("region is no driver", True),
        ("age is no driver", False),
    ]
    assert isinstance(list(suite)[1].result[0], Failure)


def test_a_check_that_is_not_answered_is_an_error_for_junit_too(invoke, policies):
    result = invoke("check", URI, "--policy", policies / "unanswered.yaml", "--format", "junit")
    assert result.exit_code == 2
    (suite,) = JUnitXml.fromstring(result.stdout.encode())
    (case,) = suite
    assert isinstance(case.result[0], Error)
    assert "roc_auc" in case.result[0].message
    assert "CheckError" in result.stderr


def test_a_check_is_told_to_sarif_at_the_line_of_the_policy(invoke, policies, monkeypatch):
    monkeypatch.chdir(policies)
    result = invoke("check", URI, "--policy", "missed.yaml", "--format", "sarif")
    (run,) = Sarif.model_validate_json(result.stdout).runs
    (found,) = run.results
    place = found.locations[0].physical_location
    line = (policies / "missed.yaml").read_text().split("\n")[place.region.start_line - 1]
    assert (found.rule_id, place.artifact_location.uri, line[:2]) == ("age is no driver", "missed.yaml", "- ")
    assert run.properties["status"] == "fail"


def test_a_check_is_told_to_github_and_its_job_summary(invoke, policies, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    result = invoke("check", URI, "--policy", policies / "missed.yaml", "--format", "github")
    assert (result.exit_code, result.stdout.count("::error ")) == (1, 1)
    assert "| age is no driver |" in (tmp_path / "summary.md").read_text()
    assert invoke("check", URI, "--policy", policies / "kept.yaml", "--format", "github").stdout.startswith("::notice ")


def test_json_tells_the_verdict_and_its_run(invoke, policies):
    told = json.loads(invoke("check", URI, "--policy", policies / "kept.yaml", "--format", "json").stdout)
    alone = json.loads(invoke("check", URI, "--policy", policies / "kept.yaml", "--json").stdout)
    assert (told["command"], told["status"], told["model"]) == ("check", "pass", URI)
    assert (told["verdict"], told["run_id"]) == (alone, alone["subject"]["run_id"])
    both = invoke("check", URI, "--json", "--format", "junit")
    assert (both.exit_code, both.stdout, "give one" in both.stderr) == (2, "", True)


def test_an_audit_is_told_with_its_policy_and_without(invoke, house, policies):
    found = invoke("audit", URI, "--config", house.config, "--policy", policies / "missed.yaml", "--format", "json")
    told = json.loads(found.stdout)
    assert (found.exit_code, told["status"], told["model"]) == (1, "fail", URI)
    assert told["verdict"]["subject"]["run_id"] == told["run_id"]
    plain = json.loads(invoke("audit", URI, "--config", house.config, "--format", "json").stdout)
    assert (plain["status"], "verdict" in plain) == ("pass", False)
    lost = invoke("audit", "models:/house/99", "--config", house.config, "--format", "json")
    told = json.loads(lost.stdout)
    assert (lost.exit_code, told["status"], "models:/house/99" in told["in_words"]) == (2, "error", True)


def test_a_promotion_is_told_and_so_is_a_refusal(invoke, policies):
    invoke("check", URI, "--policy", policies / "missed.yaml")
    refused = invoke("promote", URI, "--alias", "best", "--policy", policies / "missed.yaml", "--format", "junit")
    assert refused.exit_code == 1
    cases = {case.name: case for (suite,) in [JUnitXml.fromstring(refused.stdout.encode())] for case in suite}
    assert isinstance(cases["promotion"].result[0], Failure)
    assert isinstance(cases["age is no driver"].result[0], Failure)
    assert cases["region is no driver"].is_passed
    invoke("check", URI, "--policy", policies / "kept.yaml")
    done = invoke("promote", URI, "--alias", "best", "--policy", policies / "kept.yaml", "--format", "json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["status"], told["promotion"]["alias"]) == (0, "pass", "best")


def test_what_is_secret_in_a_uri_is_not_told(invoke, house):
    told = invoke("audit", "s3://bucket/m?X-Amz-Signature=hidden", "--config", house.config, "--format", "sarif")
    assert told.exit_code == 2
    assert "s3://bucket/m" in told.stdout
    assert "hidden" not in told.stdout + told.stderr
