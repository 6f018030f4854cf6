"""`nnperm compare`: what changed between two versions, feature by feature."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

import nnperm_mlflow
from nnperm_mlflow.basics.audit_files import COMPARISON_FILE, COMPARISON_PICTURE, COMPARISON_REPORT
from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.basics.text import four_decimals, in_a_cell, in_lines, printable, rows_to_show
from nnperm_mlflow.cli.common import WithSwitches, files_lines, prepared, run_option, tracking_options, ui_command

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_ROWS = 15
_ALIKE = "conditional"  # as the column `way` has it


@click.command("compare", cls=WithSwitches)
@click.argument("a")
@click.argument("b")
@click.option("--config", "config_file", help="Audit a version that has no audit to compare by this YAML file, now.")
@click.option(
    "--unpaired", type=bool, is_flag=False, flag_value="true", default="false", metavar="",
    help="Compare the newest audits, whatever data or seed they were made with.",
)  # fmt: skip
@click.option("--output", help="Also write the files into this directory.")
@click.option(
    "--trust-model", type=bool, is_flag=False, flag_value="true", default="false", metavar="",
    help="Let code that came with a model run (pickles, Lambda layers).",
)  # fmt: skip
@click.option("--experiment", envvar="MLFLOW_EXPERIMENT_NAME", help="Experiment of the run; else that of B.")
@tracking_options
@run_option
def compare_command(
    a: str,
    b: str,
    config_file: str | None,
    unpaired: bool,
    output: str | None,
    trust_model: bool,
    experiment: str | None,
    tracking_uri: str | None,
    run_id: str | None,
    debug: bool,
) -> None:
    """Compare what the predictions of two versions rest on: A before, B after.

    Their audits are found in the tracking store; differences are paired, row by row.
    """
    with prepared(tracking_uri, debug):
        result = nnperm_mlflow.compare(
            a,
            b,
            config=config_file or None,
            paired=not unpaired,
            experiment=experiment or None,
            output=output or None,
            trust_model=trust_model,
            run_id=run_id or None,
        )
        click.echo(describe(result, tracking_uri))


def describe(result: nnperm_mlflow.ComparisonResult, tracking_uri: str | None) -> str:
    """Return what a person wants to know at the end: what changed most, and where the rest is."""
    comparison = result.comparison
    first, second = result.names
    correlation, shift = comparison.rank_correlation, comparison.largest_shift
    alike = comparison.by_way[_ALIKE].rank_correlation if _ALIKE in comparison.by_way else None
    shown = comparison.differences.head(rows_to_show(len(comparison.differences), _SHOWN_ROWS))
    statistic, difference = comparison.statistic, comparison.difference_column
    titles = {
        "perturbation": "perturbation",
        f"{statistic}_a": printable(first),
        f"{statistic}_b": printable(second),
        difference: "difference",
        f"{difference}_low": "low",
        f"{difference}_high": "high",
        "rank_a": "rank before",
        "rank_b": "rank after",
    }
    more = len(comparison.differences) - len(shown)
    where = result.address or ui_command(tracking_uri or "sqlite:///mlflow.db")
    lines = [
        "",
        f"{second} against {first}: {result.how}",
        f"{statistic} deviation of the prediction ({result.unit}), difference with its 95 % interval",
        "",
        *_table(shown[list(titles)].rename(columns=titles)),
        *([f"... and {more} more in comparison.csv"] if more > 0 else []),
        "",
        f"rank correlation  {_number(correlation.value, correlation.low, correlation.high)}",
        *([f"of conditional shuffles alone  {_number(alike.value, alike.low, alike.high)}"] if alike else []),
        f"largest shift     {_number(shift.value, shift.low, shift.high)}",
        *[f"{name} of the models themselves, difference  {_number(*it)}" for name, it in result.own_scores.items()],
        *([f"only in {first}: {name_list(comparison.only_a)}"] if comparison.only_a else []),
        *([f"only in {second}: {name_list(comparison.only_b)}"] if comparison.only_b else []),
        *([f"without a deviation in one of them: {name_list(comparison.undefined)}"] if comparison.undefined else []),
        "",
        f"run {result.run_id}, experiment {result.experiment_id}: {where}",
        *files_lines(result.folder.asked_for, [COMPARISON_PICTURE], [COMPARISON_FILE], [COMPARISON_REPORT]),
    ]
    return in_lines(lines)


def _table(differences: pd.DataFrame) -> list[str]:
    """Return the rows as lines; without one, words."""
    if differences.empty:
        return ["no feature is in both"]
    named = differences.assign(perturbation=differences["perturbation"].map(in_a_cell))
    return named.to_string(index=False, na_rep="", float_format=four_decimals).split("\n")


def _number(value: float, low: float, high: float) -> str:
    """Return a number with its interval."""
    told, *ends = map(four_decimals, (value, low, high))
    return "not defined" if math.isnan(value) else f"{told} ({' to '.join(ends)})"
