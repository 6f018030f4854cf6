"""What a command came to, read back by parsers of others: JUnit, SARIF, and GitHub's documented commands."""

import json
import re
from urllib.parse import unquote

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped
from sarif_pydantic import Sarif

from nnperm_mlflow.config.policy import Policy, load_policy
from nnperm_mlflow.report.pipelines.formats import as_github, as_job_summary, as_json, as_junit, as_sarif
from nnperm_mlflow.report.pipelines.outcome import CommandOutcome, Step, steps_of
from nnperm_mlflow.report.pipelines.policy_lines import PolicyFile
from nnperm_mlflow.verdict._estimates import Estimate
from nnperm_mlflow.verdict.verdict import Finding, Outcome, Subject, Verdict

HOSTILE = 'a,b:c%0A::error title=x::<&"]]>\n::warning::\x1b[31m'
STEPS = (
    Step("SEX is small", "kept", "mean 0.01 (0 to 0.015)", "mean of SEX is at most 0.02"),
    Step(HOSTILE, "fail", f"{HOSTILE} 0.3", "mean of it is at most 0.1"),
    Step("place", "note", "undecided"),
    Step("trial", "warning", "0.3"),
)
FOUND = CommandOutcome("check", "models:/credit/4", 1, "fail: 1 of 4", STEPS, {"run_id": "r1"})
HINDERED = CommandOutcome("audit", "models:/credit/4", 2, "no file", (Step("audit", "error", "no file"),))
POLICY = PolicyFile("policies/my policy.yaml", {"SEX is small": 3, HOSTILE: 7})


def unescaped(text):
    for code in re.findall("%[0-9A-F]{2}", text):
        assert code in ("%25", "%0A", "%3A", "%2C")
    return unquote(text)


def test_junit_has_a_case_for_each_check():
    suites = JUnitXml.fromstring(as_junit(FOUND, None, "1.0").encode())
    (suite,) = suites
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (4, 1, 0, 2)
    cases = {case.name: case for case in suite}
    assert next(iter(cases)) == "SEX is small"
    assert cases["SEX is small"].is_passed
    assert "mean 0.01 (0 to 0.015)" in cases["SEX is small"].system_out
    hostile = next(case for name, case in cases.items() if name.startswith("a,b"))
    (failure,) = hostile.result
    assert (type(failure), failure.type) == (Failure, "fail")
    assert "mean of it is at most 0.1" in failure.text
    assert "\x1b" not in failure.text + failure.message + hostile.name
    assert all(isinstance(cases[name].result[0], Skipped) for name in ("place", "trial"))


def test_what_hinders_a_command_is_an_error_in_every_format():
    (suite,) = JUnitXml.fromstring(as_junit(HINDERED, None, "1.0").encode())
    (case,) = suite
    assert (suite.errors, type(case.result[0]), case.result[0].text) == (1, Error, "no file")
    (run,) = Sarif.model_validate_json(as_sarif(HINDERED, None, "1.0")).runs
    assert (run.invocations[0].execution_successful, run.invocations[0].exitCode) == (False, 2)
    assert as_github(HINDERED, None, "1.0") == "::error title=audit::no file"
    told = json.loads(as_json(HINDERED, None, "1.0"))
    assert (told["status"], told["exit_status"], told["in_words"]) == ("error", 2, "no file")


def test_sarif_has_a_rule_for_each_check_and_a_result_for_what_is_not_plainly_kept():
    text = as_sarif(FOUND, POLICY, "1.0")
    (run,) = Sarif.model_validate_json(text).runs
    assert [rule.id for rule in run.tool.driver.rules] == [step.name for step in STEPS]
    told = [(result.rule_id, result.rule_index, result.level.value) for result in run.results]
    assert told == [(HOSTILE, 1, "error"), ("place", 2, "note"), ("trial", 3, "warning")]
    place = run.results[0].locations[0].physical_location
    assert (unquote(place.artifact_location.uri), place.region.start_line) == (POLICY.path, 7)
    assert run.invocations[0].execution_successful  # it ran well, and found something
    (bare,) = json.loads(as_sarif(FOUND, None, "1.0"))["runs"]
    assert "physicalLocation" not in bare["results"][0]["locations"][0]


def test_a_name_is_no_command_to_github():
    lines = as_github(FOUND, POLICY, "1.0").split("\n")
    assert [line.split(" ")[0] for line in lines] == ["::error", "::notice", "::warning"]
    properties, message = re.fullmatch("::error (.*?)::(.*)", lines[0]).groups()
    told = dict(part.split("=", 1) for part in properties.split(","))
    assert (told["file"], told["line"]) == (POLICY.path, "7")
    assert unescaped(told["title"]) == HOSTILE.replace("\x1b", "\\x1b")
    assert unescaped(message) == f"{HOSTILE} 0.3".replace("\x1b", "\\x1b")
    assert "\n" not in as_job_summary(FOUND).split("| --- | --- | --- |\n")[1].split("\n")[1]


def finding(state, words):
    return Finding("SEX", Estimate(0.1, 0.05, 0.15), 0.2, True, state, words)


@pytest.mark.parametrize(
    ("mode", "state", "passed", "level"),
    [
        ("enforce", "holds", True, "kept"),
        ("enforce", "undecided", True, "note"),
        ("enforce", "undecided", False, "fail"),
        ("enforce", "fails", False, "fail"),
        ("dry_run", "fails", False, "warning"),
    ],
)
def test_a_check_with_several_limits_is_one_step_as_bad_as_its_worst(mode, state, passed, level):
    policy = Policy.model_validate({"mode": mode, "checks": [{"feature": "SEX", "max": 0.2, "name": "both"}]})
    subject = Subject("models:/credit/4", "r1", "1", "m", "d", "c", "t", "s", rows=100, repeats=1, seed=0)
    outcomes = (
        Outcome("both", "asks", finding("holds", "kept well"), True),
        Outcome("both", "asks", finding(state, "the other"), passed),
    )
    (step,) = steps_of(Verdict(subject, policy, outcomes, {}))
    assert (step.name, step.level, step.words, step.asked) == ("both", level, "kept well\nthe other", "asks")


def test_the_lines_of_a_policys_checks_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "policy.yaml"
    path.write_text(
        "# ours\nformat: 2\nchecks:\n\n  - feature: SEX\n    max: 0.2\n  - {name: any of them, any: true, max: 1}\n"
    )
    found = PolicyFile.read(str(path), load_policy(path))
    assert (found.path, found.lines) == ("policy.yaml", {"mean of SEX is at most 0.2": 5, "any of them": 7})
    path.write_text("checks: 3")
    assert PolicyFile.read(str(path), Policy()).lines == {}
