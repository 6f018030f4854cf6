"""`nnperm guard`: whether an alias is where its signed promotions have put it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

import nnperm_mlflow
from nnperm_mlflow.basics.text import in_lines
from nnperm_mlflow.cli.common import EXIT_FAIL, prepared, tracking_options


@click.command("guard")
@click.argument("model")
@click.option("--alias", required=True, help="The alias that is guarded: champion.")
@click.option("--trust", required=True, help="The trust file: YAML that says whose promotions count.")
@click.option("--once", is_flag=True, required=True, help="Look once: let a timer call it every few minutes.")
@click.option("--move-back", is_flag=True, help="Undo a move without a promotion, at most three times an hour.")
@click.option("--state-dir", help="Directory of what is remembered; else one of this user.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@tracking_options
def guard_command(
    model: str,
    alias: str,
    trust: str,
    once: bool,
    move_back: bool,
    state_dir: str | None,
    as_json: bool,
    tracking_uri: str | None,
    debug: bool,
) -> None:
    """Compare an alias of a MODEL with the last of its signed promotions: exit status 0 kept, 1 not, 2 error."""
    del once  # the only way so far, and said so
    with prepared(tracking_uri, debug):
        found = nnperm_mlflow.guard(model, alias, trust=trust, move_back=move_back, state_dir=state_dir or None)
        told = f"'{found.alias}' of {found.model}: {found.state}: {found.in_words}"
        click.echo(json.dumps(asdict(found), indent=2) if as_json else in_lines([told]))
    if not found.is_kept:
        sys.exit(EXIT_FAIL)
