"""`nnperm audit`: disturb one feature after the other, and say what came out."""

from __future__ import annotations

import sys

import click
import pandas as pd

import nnperm_mlflow
from nnperm_mlflow.basics.audit_files import BOXPLOT_FILE, HEATMAP_FILE, PROFILES_PICTURE, SUMMARY_FILE, TABLE_FILE
from nnperm_mlflow.basics.errors import ConfigError, name_list
from nnperm_mlflow.basics.text import in_a_cell, in_lines, rows_to_show
from nnperm_mlflow.cli.check_command import describe_verdict
from nnperm_mlflow.cli.common import (
    EXIT_FAIL,
    WithSwitches,
    files_lines,
    one_uri,
    prepared,
    run_option,
    tracking_options,
    ui_command,
)
from nnperm_mlflow.cli.pipeline_output import PipelineOutput, format_option

_SHOWN_COLUMNS = ["perturbation", "way", "mean", "median", "q95", "changed_share"]
_SHOWN_ROWS, _SHOWN_SET_VALUES = 15, 8


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
    with prepared(tracking_uri, debug), pipeline.tells_errors():
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
        )
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


def describe_forecast(forecast: nnperm_mlflow.Forecast) -> str:
    """Return what an audit will take, a line for each thing that one may want to change."""
    return in_lines([forecast.subject, *(f"{name:<15}{fact}" for name, fact in forecast.facts)])


def describe(result: nnperm_mlflow.AuditResult, tracking_uri: str | None) -> str:
    """Return what a person wants to know at the end: the features that count, and where the rest is."""
    return in_lines([*describe_findings(result), "", *describe_places(result, tracking_uri)])


def describe_findings(result: nnperm_mlflow.AuditResult) -> list[str]:
    """Return lines on the features that count, and on the verdict."""
    columns = columns_to_show(result.summary, result.order_by)
    set_to = result.set_values.drop(columns="way").astype({"held": "Int64"})
    told_scores = ", ".join(f"{name} {score}" for name, score in result.own_scores.items())
    untested = result.summary.loc[~result.summary["tested"], "perturbation"]
    silent = result.summary.loc[~result.summary["measurable"] & result.summary["tested"], "perturbation"]
    return [
        "",
        f"{result.subtitle}: deviation of the prediction ({result.unit})",
        *_table(result.moved, columns, _SHOWN_ROWS),
        *(_table(set_to, ["held", *columns], _SHOWN_SET_VALUES, "set for everybody") if len(set_to) else []),
        *([f"no measurable effect: {name_list(silent)}"] if len(silent) else []),
        *([f"not tested, since no row's value changed: {name_list(untested)}"] if len(untested) else []),
        *([f"the model itself: {told_scores}"] if told_scores else []),
        *(describe_verdict(result.verdict) if result.verdict else []),
        *[f"not written for want of permission: {what}" for what in result.not_linked],
    ]


def columns_to_show(summary: pd.DataFrame, order_by: str) -> list[str]:
    """Return the columns of a table of perturbations: what leads with its interval, and then the others."""
    leading = [order_by, *(f"{order_by}{end}" for end in ("_low", "_high", "_error") if f"{order_by}{end}" in summary)]
    told = [name for name in map(str, summary) if name == "flipped_share" or name.endswith("_drop")]
    others = [*_SHOWN_COLUMNS, *(name for name in told if summary[name].notna().any())]
    return list(dict.fromkeys([*others[:2], *leading, *others[2:]]))


def _table(rows: pd.DataFrame, columns: list[str], most: int, title: str = "perturbation") -> list[str]:
    """Return the first rows as lines, and how many more there are; `title` heads the names."""
    shown = rows.head(rows_to_show(len(rows), most))
    names = shown["perturbation"].map(in_a_cell)
    kept = [name for name in columns if name in shown and name != "perturbation"]
    table = pd.concat([names.rename(title), shown[kept]], axis=1)
    more = len(rows) - len(shown)
    lines = table.to_string(index=False, float_format=lambda number: f"{number:.4f}").split("\n")
    return ["", *lines, *([f"... and {more} more in summary.csv"] if more > 0 else [])]


def describe_places(result: nnperm_mlflow.AuditResult, tracking_uri: str | None) -> list[str]:
    """Return lines that say where run, pictures and tables are."""
    where = result.address or ui_command(tracking_uri or "sqlite:///mlflow.db")
    drawn = {HEATMAP_FILE: result.windows, PROFILES_PICTURE: result.profiles}
    pictures = [BOXPLOT_FILE, *(name for name, numbers in drawn.items() if numbers is not None)]
    return [
        f"run {result.run_id}, experiment {result.experiment_id}: {where}",
        *files_lines(result.folder.asked_for, pictures, [SUMMARY_FILE, TABLE_FILE]),
    ]
