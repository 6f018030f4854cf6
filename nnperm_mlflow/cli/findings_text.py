"""What a command found, in lines for a terminal."""

from __future__ import annotations

import pandas as pd

import nnperm_mlflow
from nnperm_mlflow.basics.audit_files import (
    ASSOCIATIONS_PICTURE,
    BOXPLOT_FILE,
    EFFECTS_PICTURE,
    HEATMAP_FILE,
    INTERACTIONS_PICTURE,
    PARTS_FILE,
    PROFILES_PICTURE,
    REPORT_FILE,
    SUMMARY_FILE,
    TABLE_FILE,
)
from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.basics.text import four_decimals, in_a_cell, in_lines, rows_to_show
from nnperm_mlflow.cli.common import files_lines, ui_command

_SHOWN_COLUMNS = ["perturbation", "way", "mean", "median", "q95", "changed_share"]
_SHOWN_ROWS, _SHOWN_SET_VALUES = 15, 8
_SIGN_WIDTH = len("NOT KEPT")


def _table_file(result: nnperm_mlflow.AuditResult) -> str:
    """Return the file of the deviation table: itself, or of an audit on a cluster the list of its parts."""
    return PARTS_FILE if (result.directory / PARTS_FILE).exists() else TABLE_FILE


def describe_forecast(forecast: nnperm_mlflow.Forecast) -> str:
    """Return what an audit will take, a line for each thing that one may want to change."""
    return in_lines([forecast.subject, *(f"{name:<15}{fact}" for name, fact in forecast.facts)])


def describe(result: nnperm_mlflow.AuditResult, tracking_uri: str | None) -> str:
    """Return what a person wants to know at the end: the features that count, and where the rest is."""
    return in_lines([*describe_findings(result), "", *describe_places(result, tracking_uri)])


def describe_findings(result: nnperm_mlflow.AuditResult) -> list[str]:
    """Return lines on the features that count, and on the verdict."""
    columns, called = columns_to_show(result.summary, result.order_by), result.labels.in_summary
    set_to = result.set_values.drop(columns="way").astype({"held": "Int64"})
    alike = result.conditionals.drop(columns="way")
    told_scores = ", ".join(f"{name} {score}" for name, score in result.own_scores.items())
    summary = called(result.summary)
    untested = summary.loc[~summary["tested"], "perturbation"]
    silent = summary.loc[~summary["measurable"] & summary["tested"], "perturbation"]
    return [
        "",
        f"{result.subtitle}: deviation of the prediction ({result.unit})",
        *_table(called(result.plain), columns, _SHOWN_ROWS),
        *(_table(called(alike), ["donors", *columns], _SHOWN_ROWS, "among alike rows") if len(alike) else []),
        *(_table(called(set_to), ["held", *columns], _SHOWN_SET_VALUES, "set for everybody") if len(set_to) else []),
        *([f"no measurable effect: {name_list(silent)}"] if len(silent) else []),
        *([f"not tested, since no row's value changed: {name_list(untested)}"] if len(untested) else []),
        *([f"the model itself: {told_scores}"] if told_scores else []),
        *_segment_lines(result),
        *(describe_verdict(result.verdict) if result.verdict else []),
        *[f"not written for want of permission: {what}" for what in result.not_linked],
    ]


def _segment_lines(result: nnperm_mlflow.AuditResult) -> list[str]:
    """Return lines on the segments that differ most, and on those that are too small to tell."""
    if result.segments is None:
        return []
    lines = [
        f"segments of {each.column} differ most in {each.what}: {each.more} has {each.number} more than {each.less}"
        for each in result.segments.largest_differences
    ]
    small = result.segments.too_small
    return [*lines, *([f"segments too small to judge: {name_list(small)}"] if small else [])]


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
    lines = table.to_string(index=False, float_format=four_decimals).split("\n")
    return ["", *lines, *([f"... and {more} more in summary.csv"] if more > 0 else [])]


def describe_places(result: nnperm_mlflow.AuditResult, tracking_uri: str | None) -> list[str]:
    """Return lines that say where run, pictures and tables are."""
    where = result.address or ui_command(tracking_uri or "sqlite:///mlflow.db")
    drawn = {
        HEATMAP_FILE: result.windows,
        PROFILES_PICTURE: result.profiles,
        EFFECTS_PICTURE: result.effects,
        INTERACTIONS_PICTURE: result.interactions,
        ASSOCIATIONS_PICTURE: result.associations,
    }
    pictures = [BOXPLOT_FILE, *(name for name, numbers in drawn.items() if numbers is not None and len(numbers))]
    return [
        f"run {result.run_id}, experiment {result.experiment_id}: {where}",
        *files_lines(result.folder.asked_for, pictures, [SUMMARY_FILE, _table_file(result)], [REPORT_FILE]),
    ]


def describe_verdict(verdict: nnperm_mlflow.Verdict) -> list[str]:
    """Return lines on a verdict for a person: what it is, and for each check what it came to."""
    lines = ["", f"verdict: {verdict.in_words}"]
    width = max(_SIGN_WIDTH, *(len(outcome.in_words) for outcome in verdict.outcomes))
    for outcome in verdict.outcomes:
        lines.append(f"  {outcome.in_words:<{width}}  {outcome.check}")
        lines.append(f"{'':<{width + 4}}{outcome.finding.words}")
    if verdict.look_in_words is not None:
        lines.append(verdict.look_in_words)
    if verdict.next_stage is not None:
        lines.append(
            f"undecided is no fail under its trial: the next audit makes {verdict.next_stage} repeats by itself"
        )
    if verdict.attempts:
        lines.append(f"other audits of these model files on these data under {verdict.policy.label}:")
        lines += [f"  {attempt.in_words}" for attempt in verdict.attempts]
    return lines
