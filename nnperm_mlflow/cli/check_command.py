"""`nnperm check`: a policy applied to an audit that exists."""

from __future__ import annotations

import json
import sys

import click

import nnperm_mlflow
from nnperm_mlflow.basics.text import in_lines, printable
from nnperm_mlflow.cli.common import EXIT_FAIL, one_uri, prepared, tracking_options
from nnperm_mlflow.cli.findings_text import describe_verdict
from nnperm_mlflow.cli.pipeline_output import PipelineOutput, format_option


@click.command("check")
@click.argument("uri", required=False)
@click.option("--run", "run_id", help="The run that holds the audit, instead of a version.")
@click.option("--model-uri", help="URI once more, as an option.")
@click.option("--policy", help="YAML file with 'checks:'; else what the audit was asked to apply.")
@format_option
@click.option("--json", "as_json", is_flag=True, help="Print the verdict alone as JSON.")
@click.option("--table", help="Your copy of the deviation table, where it was kept out of the run (--no-table).")
@click.option("--experiment", help="The only experiment whose audits count.")
@tracking_options
def check_command(
    uri: str | None,
    run_id: str | None,
    model_uri: str | None,
    policy: str | None,
    form: str,
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
    output = PipelineOutput(form, "check", model or f"run {run_id}", policy)
    with prepared(tracking_uri, debug), output.tells_errors():
        if as_json and not output.is_text:
            raise click.UsageError("--json prints JSON, and --format something else: give one.")
        result = nnperm_mlflow.check(
            run_id=run_id or None,
            model_uri=model,
            policy=policy or None,
            table=table or None,
            experiment=experiment or None,
        )
        subject = result.verdict.subject
        if as_json:
            click.echo(json.dumps(result.verdict.as_dict(), indent=2))
        elif output.is_text:
            head = f"{subject.model}, audited in run {subject.run_id}"
            click.echo(in_lines([head, *describe_verdict(result.verdict)]))
        for what in result.not_linked:
            click.echo(printable(f"not written for want of permission: {what}"), err=True)
        output.tell_verdict(result.verdict, {"model": subject.model, "run_id": subject.run_id})
    if result.verdict.blocks:
        sys.exit(EXIT_FAIL)
