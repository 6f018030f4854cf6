"""`nnperm audit`: disturb one feature after the other, and say what came out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import nnperm_mlflow
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.cli.common import (
    EXIT_FAIL,
    WithSwitches,
    one_uri,
    prepared,
    run_option,
    tracking_options,
)
from nnperm_mlflow.cli.findings_text import describe, describe_forecast
from nnperm_mlflow.cli.pipeline_output import PipelineOutput, format_option


@click.command("audit", cls=WithSwitches)
@click.argument("uri", required=False)
@click.option("--model-uri", help="URI once more, as an option.")
@click.option("--config", "config_file", help="YAML file that names the data; see docs/config.md.")
@click.option("--policy", help="YAML file with the checks to apply; goes before those of the configuration.")
@click.option("--output", help="Also write the files into this directory.")
@click.option(
    "--trust-model", type=bool, is_flag=False, flag_value="true", default="false", metavar="",
    help="Let code that came with the model run (pickles, Lambda layers).",
)  # fmt: skip
@click.option("--no-table", is_flag=True, help="Keep the deviation table out of the tracking server.")
@click.option("--work-dir", help="Where an audit keeps its work, to go on from; else this user's cache directory.")
@click.option("--fresh", is_flag=True, help="Start over, whatever has been computed of this audit before.")
@click.option("--plan", "plan_only", is_flag=True, help="Only tell what the audit will take; nothing is logged.")
@click.option("--run-file", help="Also write the id of the run into this file.")
@click.option("--engine", type=click.Choice(["spark"]), help="Audit on a cluster; see docs/spark.md.")
@click.option("--master", help="The cluster of a new session of Spark, as spark://host:7077 or local[4].")
@click.option("--remote", help="Address of Spark Connect, as sc://host:15002.")
@click.option("--table", help="Where the cluster writes the deviation table, as s3a://lake/audits/credit-3.")
@format_option
@click.option("--experiment", envvar="MLFLOW_EXPERIMENT_NAME", help="Experiment of the run; else the model's own.")
@tracking_options
@run_option
def audit_command(
    uri: str | None,
    model_uri: str | None,
    config_file: str | None,
    policy: str | None,
    output: str | None,
    trust_model: bool,
    no_table: bool,
    work_dir: str | None,
    fresh: bool,
    plan_only: bool,
    run_file: str | None,
    engine: str | None,
    master: str | None,
    remote: str | None,
    table: str | None,
    form: str,
    experiment: str | None,
    tracking_uri: str | None,
    run_id: str | None,
    debug: bool,
) -> None:
    """Disturb one feature after the other and log how far each prediction moves.

    A deviation needs no labels and is no importance. Beside it, where the configuration asks for them: permutation
    importance (scores), also within strata (within), partial dependence (profile), temporal occlusion (windows).

    URI is models:/name/3, models:/name@alias, models:/m-..., runs:/... or a local path; it goes before the
    configuration's 'model:'. With a policy: exit status 0 pass, 1 fail, 2 error.
    """
    model = one_uri(uri, model_uri)
    pipeline = PipelineOutput(form, "audit", model or f"the model of {config_file}", policy)
    with prepared(tracking_uri, debug, trust_model), pipeline.tells_errors():
        if no_table and not output:
            raise ConfigError("--no-table leaves the deviation table on this machine alone: say where (--output DIR).")
        if plan_only and not pipeline.is_text:
            raise click.UsageError("--plan tells what an audit will take, in words alone (--format text).")
        if plan_only:
            planned = nnperm_mlflow.plan_audit(
                config_file or None,
                model_uri=model,
                policy=policy or None,
                output=output or None,
                trust_model=trust_model,
                work_dir=work_dir or None,
                engine=engine,
                master=master or None,
                remote=remote or None,
                table=table or None,
            )
            click.echo(describe_forecast(planned))
            return
        result = nnperm_mlflow.audit(
            config_file or None,
            model_uri=model,
            policy=policy or None,
            output=output or None,
            trust_model=trust_model,
            experiment=experiment or None,
            run_id=run_id or None,
            logs_table=not no_table,
            work_dir=work_dir or None,
            fresh=fresh,
            engine=engine,
            master=master or None,
            remote=remote or None,
            table=table or None,
        )
        if run_file:
            Path(run_file).write_text(f"{result.run_id}\n", encoding="utf-8")
        if pipeline.is_text:
            click.echo(describe(result, tracking_uri))
        pipeline.tell_verdict(result.verdict, _facts(result))
    if result.verdict is not None and result.verdict.blocks:
        sys.exit(EXIT_FAIL)


def _facts(result: nnperm_mlflow.AuditResult) -> dict[str, str | None]:
    """Return where the audit lies, for a pipeline."""
    return {
        "model": str(result.model),
        "run_id": result.run_id,
        "experiment_id": result.experiment_id,
        "address": result.address,
    }
