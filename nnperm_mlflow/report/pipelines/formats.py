"""What a command came to as JSON, JUnit XML, SARIF and GitHub's workflow commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree  # writes only

from nnperm_mlflow.basics.text import as_table, as_text, printable
from nnperm_mlflow.report.pipelines.outcome import CommandOutcome, Level, Step
from nnperm_mlflow.report.pipelines.policy_lines import PolicyFile

_SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SARIF_LEVELS: dict[Level, str] = {"note": "note", "warning": "warning", "fail": "error", "error": "error"}
_GITHUB_LEVELS: dict[Level, str] = {"note": "notice", "warning": "warning", "fail": "error", "error": "error"}
_MARKS: dict[Level, str] = {
    "kept": "kept", "note": "undecided, counts as kept", "warning": "not kept (dry run)", "fail": "not kept",
    "error": "not answered",
}  # fmt: skip


def as_json(outcome: CommandOutcome, policy: PolicyFile | None, version: str) -> str:
    """Return one JSON object; see `CommandOutcome.as_dict`."""
    return json.dumps(outcome.as_dict(), indent=2)


def as_junit(outcome: CommandOutcome, policy: PolicyFile | None, version: str) -> str:
    """Return JUnit XML: a test case for each step.

    What is not kept is a failure, under a dry run or undecided but counted as kept a skipped case, and what could not
    be answered an error. Source: https://github.com/testmoapp/junitxml
    """
    levels = [step.level for step in outcome.steps]
    counts = {
        "tests": len(levels),
        "failures": levels.count("fail"),
        "errors": levels.count("error"),
        "skipped": levels.count("warning") + levels.count("note"),
    }
    numbers = {key: str(count) for key, count in counts.items()}
    root = ElementTree.Element("testsuites", {"name": f"nnperm {outcome.command}", **numbers})
    suite = ElementTree.SubElement(root, "testsuite", {"name": printable(outcome.title), **numbers})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in {"version of nnperm": version, "status": outcome.status, "words": outcome.in_words}.items():
        ElementTree.SubElement(properties, "property", name=name, value=printable(value))
    for step in outcome.steps:
        _add_case(suite, outcome, step)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _add_case(suite: ElementTree.Element, outcome: CommandOutcome, step: Step) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=f"nnperm.{outcome.command}", name=printable(step.name))
    words = "\n".join(map(printable, [*([step.asked] if step.asked else []), *step.words.split("\n")]))
    if step.level == "kept":
        ElementTree.SubElement(case, "system-out").text = words
        return
    kind = {"fail": "failure", "error": "error"}.get(step.level, "skipped")
    said = ElementTree.SubElement(case, kind, message=printable(f"{_MARKS[step.level]}: {step.words}"))
    if kind != "skipped":
        said.set("type", step.level)
        said.text = words


def as_sarif(outcome: CommandOutcome, policy: PolicyFile | None, version: str) -> str:
    """Return a SARIF 2.1.0 log: a rule for each step, a result for each that is not plainly kept.

    Code scanning shows every result as an alert, so that a check which is kept has a rule alone. A result points at the
    check's line in the policy, and at the version by its name. Source: OASIS, SARIF version 2.1.0, errata 01.
    """
    rules = [
        {"id": step.name, "shortDescription": {"text": step.asked or step.name}, "defaultConfiguration": _default(step)}
        for step in outcome.steps
    ]
    results = [
        {
            "ruleId": step.name,
            "ruleIndex": place,
            "level": _SARIF_LEVELS[step.level],
            "message": {"text": f"{outcome.subject}: {step.words}"},
            "locations": [_location(outcome, step, policy)],
        }
        for place, step in enumerate(outcome.steps)
        if step.level != "kept"
    ]
    hindrances = [
        {"level": "error", "message": {"text": step.words}} for step in outcome.steps if step.level == "error"
    ]
    run = {
        "tool": {"driver": {"name": "nnperm", "semanticVersion": version, "rules": rules}},
        "automationDetails": {"id": f"{outcome.title}/"},
        "invocations": [
            {
                "executionSuccessful": not hindrances,
                "exitCode": outcome.exit_status,
                **({"toolExecutionNotifications": hindrances} if hindrances else {}),
            }
        ],
        "results": results,
        "properties": outcome.as_dict(),
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _default(step: Step) -> dict[str, str]:
    return {"level": "warning" if step.level in ("warning", "note") else "error"}


def _location(outcome: CommandOutcome, step: Step, policy: PolicyFile | None) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": outcome.subject, "kind": "resource"}]}
    if policy is not None:
        region = {"startLine": policy.lines.get(step.name, 1)}
        location["physicalLocation"] = {"artifactLocation": {"uri": quote(policy.path)}, "region": region}
    return location


def as_github(outcome: CommandOutcome, policy: PolicyFile | None, version: str) -> str:
    """Return GitHub's workflow commands: an annotation for each step that is not plainly kept, and one for all.

    Source: GitHub's documentation, "Workflow commands for GitHub Actions".
    """
    return "\n".join(_annotations(outcome, policy))


def _annotations(outcome: CommandOutcome, policy: PolicyFile | None) -> Iterator[str]:
    for step in outcome.steps:
        if step.level != "kept":
            place = {} if policy is None else {"file": policy.path, "line": str(policy.lines.get(step.name, 1))}
            yield _workflow_command(_GITHUB_LEVELS[step.level], {**place, "title": step.name}, step.words)
    if outcome.exit_status == 0:
        yield _workflow_command("notice", {"title": outcome.title}, outcome.in_words)


def _workflow_command(name: str, properties: Mapping[str, str], message: str) -> str:
    told = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{name} {told}::{_escaped(message)}"


def _escaped(text: str, also: str = "") -> str:
    """Return a text in which no letter ends the command, or begins another."""
    text = "\n".join(map(printable, text.split("\n")))
    for letter in f"%\n{also}":  # the percent sign first, which the others are written with
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text


def as_job_summary(outcome: CommandOutcome) -> str:
    """Return Markdown for the page of a job."""
    rows = [(step.name, step.words.replace("\n", "; "), _MARKS[step.level]) for step in outcome.steps]
    lines = [f"### {as_text(outcome.title)}", "", f"**{as_text(outcome.in_words)}**", ""]
    return "\n".join([*lines, *as_table(["check", "came to", ""], rows), "", ""])


FORMATS: dict[str, Callable[[CommandOutcome, PolicyFile | None, str], str]] = {
    "json": as_json,
    "junit": as_junit,
    "sarif": as_sarif,
    "github": as_github,
}
