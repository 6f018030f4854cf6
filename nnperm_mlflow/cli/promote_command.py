"""`nnperm promote`: give a version an alias, after its evidence has been read again."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

import nnperm_mlflow
from nnperm_mlflow.basics.errors import RefusedError, name_list
from nnperm_mlflow.basics.text import in_lines, printable
from nnperm_mlflow.cli.common import EXIT_FAIL, WithSwitches, prepared, tracking_options
from nnperm_mlflow.cli.key_commands import key_password
from nnperm_mlflow.cli.pipeline_output import PipelineOutput, format_option


@click.command("promote", cls=WithSwitches)
@click.argument("model_uri")
@click.option("--alias", required=True, help="The alias that the version shall have: champion.")
@click.option("--policy", help="YAML file that the version must keep; else the checks of --config, or of its audit.")
@click.option("--run", "run_id", help="The run with the audit to rely on; else the version's newest.")
@click.option("--experiment", help="The only experiment whose audits count.")
@click.option("--config", "config_file", help="YAML file that the version should have been audited with.")
@click.option(
    "--recompute", type=bool, is_flag=False, flag_value="true", default="false", metavar="",
    help="Make the audits again, and judge what comes out.",
)  # fmt: skip
@click.option(
    "--trust-model", type=bool, is_flag=False, flag_value="true", default="false", metavar="",
    help="With --config or --recompute: let the model's own code run.",
)  # fmt: skip
@click.option(
    "--allow-data",
    multiple=True,
    metavar="PREFIX",
    help="Read data that a run names from there alone; else from files of this machine. Repeatable.",
)
@click.option("--waive", "waiver", metavar="REASON", help="Promote in spite of other attempts, and write down why.")
@click.option("--seed-secret", metavar="FILE", help="With --recompute: audit with a seed that this secret gives.")
@click.option("--trust", help="A trust file: carry out what people have signed (nnperm request, approve), and sign it.")
@click.option("--key", help="With --trust: file of the promoter's key; its password is asked for.")
@click.option("--emergency", metavar="REASON", help="With --trust: promote without an audit, signed by one approver.")
@click.option(
    "--audit-within", type=click.FloatRange(min=0, min_open=True), default=72, show_default=True, metavar="HOURS",
    help="With --emergency: until when an ordinary promotion has to follow.",
)  # fmt: skip
@click.option("--no-data", is_flag=True, help="Do not read the data again; rely on their digest on record.")
@click.option("--table", help="Your copy of the deviation table, where it was kept out of the run (--no-table).")
@format_option
@tracking_options
def promote_command(
    model_uri: str,
    alias: str,
    policy: str | None,
    run_id: str | None,
    experiment: str | None,
    config_file: str | None,
    recompute: bool,
    trust_model: bool,
    allow_data: tuple[str, ...],
    waiver: str | None,
    seed_secret: str | None,
    trust: str | None,
    key: str | None,
    emergency: str | None,
    audit_within: float,
    no_data: bool,
    table: str | None,
    form: str,
    tracking_uri: str | None,
    debug: bool,
) -> None:
    """Set an alias once the evidence bears it: exit status 0 done, 1 refused, 2 error."""
    output = PipelineOutput(form, "promote", model_uri, policy)
    with prepared(tracking_uri, debug):
        try:
            with output.tells_errors():
                done = nnperm_mlflow.promote(
                    model_uri,
                    alias,
                    policy=policy or None,
                    run_id=run_id or None,
                    experiment=experiment or None,
                    table=table or None,
                    config=config_file or None,
                    reads_data=not no_data,
                    recompute=recompute,
                    trust_model=trust_model,
                    allow_data=allow_data,
                    waiver=waiver,
                    seed_secret=seed_secret or None,
                    trust=trust or None,
                    key=key or None,
                    password=key_password() if trust and key else None,
                    emergency=emergency,
                    audit_within_hours=audit_within,
                )
        except RefusedError as error:
            click.echo(printable(f"refused: {error}"), err=True)
            sys.exit(EXIT_FAIL)
        before = f", which version {done.replaced} had before" if done.replaced else ""
        evidence = f"evidence: run {done.run_id}" if done.run_id else "an emergency, without an audit"
        now = f"version {done.version} of {done.model} is '{done.alias}' now{before} ({evidence})"
        on_trust = [f"taken on trust: {', '.join(done.taken_on_trust)}"] if done.taken_on_trust else []
        waived = [f"waived: {done.waiver}"] if done.waiver else []
        by_name = [f"not listed under 'inputs:' of --config: {_receipts(done)}"] if done.found_by_name else []
        others = [f"another attempt: {attempt.in_words}" for attempt in done.attempts]
        if output.is_text:
            click.echo(in_lines([now, *_signed(done), *on_trust, *by_name, *waived, *others]))
        output.tell_promotion(alias, "; ".join([now, *on_trust]), {"promotion": asdict(done)})


def _signed(done: nnperm_mlflow.Promotion) -> list[str]:
    """Return who has signed and decided, and what remains open."""
    told = done.signed
    if told is None:
        return []
    if not told.audited_by:
        return [f"signed as promotion {told.number} by '{told.by}', without an audit: {told.reason}"]
    approved = f"approved by {name_list(told.approved_by)}"
    refused = f", refused by {name_list(told.refused_by)}" if told.refused_by else ""
    return [
        f"signed as promotion {told.number} by '{told.by}': audited by {name_list(told.audited_by)}, asked for by "
        f"'{told.requested_by}' ({told.reason}), {approved}{refused}",
        *(f"condition: {condition}" for condition in told.conditions),
        *(f"open, and waived: {check}" for check in told.open_findings),
    ]


def _receipts(done: nnperm_mlflow.Promotion) -> str:
    """Return what each input receives that was found by its name."""
    shown = ((name, [of] if isinstance(of, str) else of) for name, of in done.found_by_name.items())
    return "; ".join(f"'{name}' receives {name_list(of, 6)}" for name, of in shown)
