"""`nnperm request`, `approve`, `refuse`: what people decide about a version, each under their own signature."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

import nnperm_mlflow
from nnperm_mlflow.basics.errors import RefusedError
from nnperm_mlflow.basics.text import in_lines, printable
from nnperm_mlflow.cli.common import EXIT_FAIL, prepared, tracking_options
from nnperm_mlflow.cli.key_commands import key_password

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _decision_options(command: _Command) -> _Command:
    options = [
        click.argument("model_uri"),
        click.option("--alias", required=True, help="The alias that is meant: champion."),
        click.option("--reason", required=True, help="Why, in words; it is signed and on record."),
        click.option("--key", required=True, help="File of your key; its password is asked for."),
        click.option("--trust", required=True, help="The trust file: YAML that says whose keys count."),
        click.option("--experiment", help="The experiment for the run of the decision; else that of the model."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


_until_option = click.option("--until", help="Until when it holds, in UTC: 2027-01-31T12:00:00Z.")


@click.command("request")
@_decision_options
@_until_option
@tracking_options
def request_command(tracking_uri: str | None, debug: bool, **told: Any) -> None:  # noqa: ANN401 - as click gives them
    """Ask that a version gets an alias: exit status 0 done, 1 refused, 2 error."""
    _carry_out(nnperm_mlflow.request, tracking_uri, debug, told)


@click.command("approve")
@_decision_options
@click.option("--condition", "conditions", multiple=True, help="Under which it is approved, in words. Repeatable.")
@click.option("--waive", "waives", multiple=True, metavar="CHECK", help="A check that may be missed. Repeatable.")
@_until_option
@tracking_options
def approve_command(tracking_uri: str | None, debug: bool, **told: Any) -> None:  # noqa: ANN401 - as click gives them
    """Approve the newest request that a version gets an alias, which somebody else has made: exit status as request."""
    _carry_out(nnperm_mlflow.approve, tracking_uri, debug, told)


@click.command("refuse")
@_decision_options
@tracking_options
def refuse_command(tracking_uri: str | None, debug: bool, **told: Any) -> None:  # noqa: ANN401 - as click gives them
    """Refuse the newest request that a version gets an alias: exit status as request."""
    _carry_out(nnperm_mlflow.refuse, tracking_uri, debug, told)


def _carry_out(
    verb: Callable[..., nnperm_mlflow.Decision], tracking_uri: str | None, debug: bool, told: dict[str, Any]
) -> None:
    with prepared(tracking_uri, debug):
        given = {name: value for name, value in told.items() if value is not None}
        try:
            done = verb(given.pop("model_uri"), given.pop("alias"), password=key_password(), **given)
        except RefusedError as error:
            click.echo(printable(f"refused: {error}"), err=True)
            sys.exit(EXIT_FAIL)
        what = f"{done.act} of '{done.alias}' for version {done.version} of {done.model}, signed by '{done.person}'"
        on = f"on the audit of run {done.audited}: {done.verdict}"
        click.echo(in_lines([f"{what} (run {done.run_id})", on, f"sha256 of what was signed: {done.statement}"]))
