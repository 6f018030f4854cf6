"""`nnperm policy`: work on the file of a policy."""

from __future__ import annotations

from pathlib import Path

import click

import nnperm_mlflow
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.cli.common import prepared


@click.group("policy")
def policy_command() -> None:
    """Work on the file of a policy."""


@policy_command.command("upgrade")
@click.argument("file")
@click.option("--output", help="The file to write; else FILE itself.")
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
def upgrade_command(file: str, output: str | None, debug: bool) -> None:
    """Write a policy of the first format in the present one: what it meant without saying so is said.

    FILE is a policy, or a configuration with checks. Each check keeps its meaning: one that named no statistic meant
    the median.
    """
    with prepared(None, debug):
        upgraded = nnperm_mlflow.upgrade_policy(file)
        target = Path(output or file)
        try:
            target.write_text(upgraded.text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"'{target}' cannot be written: {error.strerror}. Choose another place.") from error
        click.echo(printable(f"{target}: format 2, policy {upgraded.policy.digest()[:12]}"))
        for title in upgraded.explicit:
            click.echo(printable(f"  statistic: median is written down for '{title}'"))
        if upgraded.explicit:
            click.echo(
                "A median is 0 wherever a shuffle leaves most rows as they are, as that of a rare flag: such a check "
                "cannot fail, and is refused as an error. Consider 'mean' (docs/approval.md).",
                err=True,
            )
        click.echo("Verdicts under the policy have to be given again: nnperm check --policy FILE")
