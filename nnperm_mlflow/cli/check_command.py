"""`nnperm check`: a policy applied to an audit that exists."""

from __future__ import annotations

import json
import sys

import click

import nnperm_mlflow
from nnperm_mlflow.basics.text import in_lines, printable
from nnperm_mlflow.cli.common import EXIT_FAIL, one_uri, prepared, tracking_options

_SIGNS = {True: "kept    ", False: "NOT KEPT"}


@click.command("check")
@click.argument("uri", required=False)
@click.option("--run", "run_id", help="The run that holds the audit, instead of a version.")
@click.option("--model-uri", help="URI once more, as an option.")
@click.option("--policy", help="YAML file with 'checks:'; else what the audit was asked to apply.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.option("--table", help="Your copy of the deviation table, where it was kept out of the run (--no-table).")
@click.option("--experiment", help="The only experiment whose audits count.")
@tracking_options
def check_command(
    uri: str | None,
    run_id: str | None,
    model_uri: str | None,
    policy: str | None,
    as_json: bool,
    table: str | None,
    experiment: str | None,
    tracking_uri: str | None,
    debug: bool,
) -> None:
    """Apply a policy to an audit on record, without running the model: exit status 0 pass, 1 fail, 2 error.

    URI is the version, models:/name/3 or models:/name@alias, whose newest audit is meant.
    """
    model = one_uri(uri, model_uri)
    with prepared(tracking_uri, debug):
        result = nnperm_mlflow.check(
            run_id=run_id or None,
            model_uri=model,
            policy=policy or None,
            table=table or None,
            experiment=experiment or None,
        )
        if as_json:
            click.echo(json.dumps(result.verdict.as_dict(), indent=2))
        else:
            subject = result.verdict.subject
            head = f"{subject.model}, audited in run {subject.run_id}"
            click.echo(in_lines([head, *describe_verdict(result.verdict)]))
        for what in result.not_linked:
            click.echo(printable(f"not written for want of permission: {what}"), err=True)
    if result.verdict.blocks:
        sys.exit(EXIT_FAIL)


def describe_verdict(verdict: nnperm_mlflow.Verdict) -> list[str]:
    """Return lines on a verdict for a person: what it is, and for each check what it came to."""
    lines = ["", f"verdict: {verdict.in_words}"]
    for outcome in verdict.outcomes:
        lines.append(f"  {_SIGNS[outcome.passed]}  {outcome.check}")
        lines.append(f"            {outcome.finding.words}")
    return lines
