"""`nnperm bundle` and `nnperm verify`: evidence that leaves the server, and is verified without it."""

from __future__ import annotations

import json
import sys

import click

import nnperm_mlflow
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.basics.text import in_lines, printable
from nnperm_mlflow.cli.common import EXIT_FAIL, prepared, tracking_options


@click.command("bundle")
@click.argument("run_id")
@click.option("--output", required=True, help="What to write: a zip where it ends in .zip, else a folder.")
@click.option("--trust", help="A trust file: what other keys have signed is left out.")
@click.option("--alias", help="Whose decisions and promotions go with it; needed where there are some of several.")
@click.option("--table", help="Your copy of the deviation table, where it was kept out of the run (--no-table).")
@tracking_options
def bundle_command(
    run_id: str,
    output: str,
    trust: str | None,
    alias: str | None,
    table: str | None,
    tracking_uri: str | None,
    debug: bool,
) -> None:
    """Pack the audit in a run with all that was signed of it, for whoever verifies it without the server."""
    with prepared(tracking_uri, debug):
        done = nnperm_mlflow.bundle(run_id, output, trust=trust or None, alias=alias or None, table=table or None)
        for name in done.left_out:
            click.echo(printable(f"left out: {name}"), err=True)
        click.echo(in_lines([f"{done.path}: {', '.join(done.files)}"]))


@click.command("verify")
@click.argument("bundle")
@click.option("--trust", required=True, help="The trust file of whoever verifies.")
@click.option("--alias", help="The alias that the version is for; needed where the trust file names several.")
@click.option("--model", help="A folder with the model's files, to be held against what was signed.")
@click.option("--config", help="YAML file that says where the data are, to be held against what was signed.")
@click.option("--recompute", is_flag=True, help="Make the audit again with both, and compare all that is judged.")
@click.option("--trust-model", is_flag=True, help="With --recompute: allow code that came with the model to run.")
@click.option("--json", "as_json", is_flag=True, help="Print what was verified as JSON.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def verify_command(
    bundle: str,
    trust: str,
    alias: str | None,
    model: str | None,
    config: str | None,
    recompute: bool,
    trust_model: bool,
    as_json: bool,
    debug: bool,
) -> None:
    """Verify a BUNDLE without any server: exit status 0 it is verified and a pass, 1 it is not, 2 error."""
    with prepared(None, debug):
        try:
            found = nnperm_mlflow.verify(
                bundle,
                trust=trust,
                alias=alias or None,
                model=model or None,
                config=config or None,
                recompute=recompute,
                trust_model=trust_model,
            )
        except EvidenceError as error:
            click.echo(printable(f"not verified: {error}"), err=True)
            sys.exit(EXIT_FAIL)
        click.echo(_as_json(found) if as_json else in_lines(_lines(found)))
    if found.verdict != "pass":
        sys.exit(EXIT_FAIL)


def _lines(found: nnperm_mlflow.VerifiedBundle) -> list[str]:
    signed = (
        f"signed by '{each.person}' ({each.key_id[:12]}), {each.statement.at:%Y-%m-%d %H:%M} UTC by their own clock: "
        f"{each.statement.kind}, sha256 {each.digest}"
        for each in found.signed
    )
    return [
        f"verified: models:/{found.model}/{found.version} of registry '{found.registry}' for '{found.alias}'",
        f"verdict: {found.in_words}",
        f"decision: {found.decision}",
        f"sha256 of the model's files: {found.model_digest}",
        *signed,
        f"computed or read again here: {', '.join(found.recomputed) or 'nothing'}",
        f"taken on trust: {', '.join(found.on_trust) or 'nothing'}",
    ]


def _as_json(found: nnperm_mlflow.VerifiedBundle) -> str:
    plain = {key: value for key, value in vars(found).items() if key != "signed"}
    signed = [
        {"person": each.person, "key_id": each.key_id, "sha256": each.digest, "statement": json.loads(each.payload)}
        for each in found.signed
    ]
    return json.dumps({**plain, "signed": signed}, indent=2, ensure_ascii=False)
