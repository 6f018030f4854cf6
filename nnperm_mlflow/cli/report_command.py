"""`nnperm report`: the page of an audit on record, as a file."""

from __future__ import annotations

import click

import nnperm_mlflow
from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.cli.common import one_uri, prepared, tracking_options


@click.command("report")
@click.argument("uri", required=False)
@click.option("--run", "run_id", help="The run that holds the audit, instead of a version.")
@click.option("--model-uri", help="URI once more, as an option.")
@click.option("--output", help="The file, or a directory; else report.html here, or document.docx and so on.")
@click.option("--to", help="docx, pdf or html: the document that people file, with chapters, instead of the page.")
@click.option("--template", help="Of that document: a .docx, or one of Jinja2 for html.")
@click.option("--reasons", help="Directory of 'nnperm explain --output', for a part on that observation.")
@click.option("--alias", help="Tell what people have signed about this alias, and counts by the trust file.")
@click.option("--trust", help="The trust file, which goes with --alias.")
@click.option("--with-values", is_flag=True, help="Show values of the data: those of profiles and names of segments.")
@click.option("--experiment", help="The only experiment whose audits count.")
@tracking_options
def report_command(
    uri: str | None,
    run_id: str | None,
    model_uri: str | None,
    output: str | None,
    to: str | None,
    template: str | None,
    reasons: str | None,
    alias: str | None,
    trust: str | None,
    with_values: bool,
    experiment: str | None,
    tracking_uri: str | None,
    debug: bool,
) -> None:
    """Write the report of an audit on record once more: one HTML file that opens anywhere, or a document to file.

    URI is the version, models:/name/3 or models:/name@alias, whose newest audit is meant.
    """
    model = one_uri(uri, model_uri)
    with prepared(tracking_uri, debug):
        path = nnperm_mlflow.write_report(
            model,
            run_id=run_id or None,
            output=output or None,
            with_values=with_values,
            experiment=experiment or None,
            to=to or None,
            template=template or None,
            reasons=reasons or None,
            alias=alias or None,
            trust=trust or None,
        )
        click.echo(printable(f"report: {path}"))
