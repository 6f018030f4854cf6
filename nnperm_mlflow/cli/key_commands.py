"""`nnperm keys` and `nnperm sign`: what touches private keys, each in a process of its own."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

import click

import nnperm_mlflow
from nnperm_mlflow.basics.text import in_lines
from nnperm_mlflow.cli.common import prepared, tracking_options

PASSWORD = "NNPERM_KEY_PASSWORD"  # noqa: S105 - the name of a variable
"""The environment variable with the password of a key's file, for whoever cannot be asked."""

_ROLES = ("auditor", "requester", "approver", "promoter")


def key_password(*, is_new: bool = False) -> str:
    """Return the password of a key, from the environment or from whoever sits there; nothing of it is shown."""
    if PASSWORD in os.environ:
        return os.environ[PASSWORD]
    return str(click.prompt("password of the key", hide_input=True, confirmation_prompt=is_new, err=True))


@click.group("keys")
def keys_command() -> None:
    """Keys that sign."""


@keys_command.command("new")
@click.argument("file")
@click.option("--person", required=True, help="Whose key it is, as the trust file shall say.")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(_ROLES), help="What it may sign.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it holds.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def new_command(file: str, person: str, roles: tuple[str, ...], days: int, debug: bool) -> None:
    """Make a key, write it encrypted into FILE (mode 600), and print its entry for a trust file.

    The password comes from a prompt or from NNPERM_KEY_PASSWORD. The entry holds nothing secret: whoever keeps the
    trust file adds it there.
    """
    with prepared(None, debug):
        import yaml  # noqa: PLC0415

        from nnperm_mlflow.attestation.key_files import new_key  # noqa: PLC0415 - needs the extra

        made = new_key(file, key_password(is_new=True))
        today = datetime.now(timezone.utc).date()
        told = {"person": person, "roles": list(roles), "public": made.public}
        until = today + timedelta(days=days)
        entry = {made.key_id: {**told, "from": today, "until": until}}
        line = yaml.safe_dump(entry, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True)
        click.echo(line.strip()[1:-1])  # as one more line of a mapping
        click.echo(f"the key is in {file}; the line above goes under 'keys:' of the trust file", err=True)


@click.command("sign")
@click.argument("run_id")
@click.option("--key", required=True, help="File of the auditor's key.")
@click.option("--trust", required=True, help="The trust file: YAML that says whose keys count.")
@click.option("--table", help="Your copy of the deviation table, where it was kept out of the run (--no-table).")
@tracking_options
def sign_command(run_id: str, key: str, trust: str, table: str | None, tracking_uri: str | None, debug: bool) -> None:
    """Sign the audit in a run, and its verdict: a step of its own, for the service that made them.

    The password of the key comes from a prompt or from NNPERM_KEY_PASSWORD.
    """
    with prepared(tracking_uri, debug):
        done = nnperm_mlflow.sign(run_id, key=key, password=key_password(), trust=trust, table=table or None)
        signed = [f"{kind}: sha256 {digest}" for kind, digest in done.statements.items()]
        where = f"written into the run: {', '.join(done.files)}" if done.files else "all of it was signed before"
        click.echo(in_lines([f"{done.model}, run {done.run_id}, signed by '{done.person}'", *signed, where]))
