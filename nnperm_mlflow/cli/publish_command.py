"""`nnperm publish`: write what an audit could not write."""

from __future__ import annotations

import click

import nnperm_mlflow
from nnperm_mlflow.basics.text import in_lines, printable
from nnperm_mlflow.cli.common import prepared, tracking_options


@click.command("publish")
@click.argument("folder", required=False)
@click.option("--work-dir", help="Where audits keep what waits; else this user's cache directory.")
@tracking_options
def publish_command(folder: str | None, work_dir: str | None, tracking_uri: str | None, debug: bool) -> None:
    """Write the results of an audit that could not be written, or only in part; without FOLDER list those that wait."""
    with prepared(tracking_uri, debug):
        if folder is None:
            from nnperm_mlflow.auditor.workspace import Workspace  # noqa: PLC0415 - only where it is asked for

            waiting = Workspace.at(work_dir).unpublished()
            click.echo(in_lines(map(str, waiting)) or "nothing waits to be published")
            return
        done = nnperm_mlflow.publish(folder)
        click.echo(f"run {done.run_id} is written" + (f": {done.address}" if done.address else ""))
        for what in done.not_linked:
            click.echo(printable(f"not written for want of permission: {what}"), err=True)
