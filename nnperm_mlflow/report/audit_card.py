"""The card of an audit: one page of Markdown that a person can read and file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime

import pandas as pd

from nnperm_mlflow.analysis.statistics.own_score import OwnScore
from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.basics.text import as_table, as_text, rows_to_show, some_of
from nnperm_mlflow.verdict.verdict import Subject, Verdict, stamp

_TOP = 10
_MOST_SILENT = 60  # features that are named; summary.csv has all
_COLUMNS = {
    "median": "median",
    "mean": "mean",
    "q95": "95 % quantile",
    "changed_median": "median where the value changed",
    "flipped_share": "decisions flipped",
}


def audit_card(
    summary: pd.DataFrame,
    subject: Subject,
    *,
    unit: str,
    when: datetime,
    verdict: Verdict | None = None,
    address: str | None = None,
    own_scores: Mapping[str, OwnScore] | None = None,
) -> str:
    """Return an audit and its verdict as Markdown.

    Parameters
    ----------
    summary : DataFrame
        A row per perturbation, ordered; see `analysis.statistics.summary.summarize`.
    subject : Subject
        What was audited.
    unit : str
        Of prediction and deviation.
    when : datetime
        When the card was written, in UTC.
    verdict : Verdict, optional
        None where there was no policy to apply.
    address : str, optional
        The page of the run, where a server shows it.
    own_scores : mapping of str to OwnScore, optional
        Of the undisturbed predictions, where there are labels.
    """
    run = f"[{subject.run_id}]({address})" if address else f"`{subject.run_id}`"
    lines = [
        f"# Audit of {as_text(subject.model)}",
        "",
        f"{stamp(when)}, run {run}, on {subject.rows:,} rows, {_count(subject.repeats, 'shuffle')} of each "
        f"feature, seed {subject.seed}.",
        "",
        *_verdict_lines(verdict),
        *_own_score_lines(own_scores or {}),
        "## What the predictions rest on",
        "",
        f"How far the prediction of an observation moves ({as_text(unit)}) when one feature is disturbed, all else as "
        "it is; in brackets the 95 % interval.",
        "",
        *_top_lines(summary),
        "",
        *_silent_lines(summary),
        "## What this stands on",
        "",
        *as_table(
            ["what", "sha256"],
            [
                ("files of the model", subject.model_digest),
                ("data", subject.data_digest),
                ("what was done (config.yaml)", subject.config_digest),
                ("deviations.parquet", subject.table_digest),
                ("summary.csv", subject.summary_digest),
                *([("policy", verdict.policy.digest())] if verdict else []),
            ],
        ),
        "",
        "A deviation says how far a prediction moves, not whether it gets better or worse, and nothing about causes in "
        "the world. Features that go together share their effect (associations.csv).",
        "",
    ]
    return "\n".join(lines)


def _verdict_lines(verdict: Verdict | None) -> Iterator[str]:
    if verdict is None:
        yield from ("No policy was applied: there is no verdict.", "")
        return
    yield from (f"**Verdict: {as_text(verdict.in_words)}**", "")
    yield from as_table(
        ["check", "asks that", "came to", "kept"],
        [
            (outcome.check, outcome.asked, outcome.finding.words, _kept(outcome.passed, outcome.finding.state))
            for outcome in verdict.outcomes
        ],
    )
    yield ""
    for asked, uri in verdict.baselines.items():
        yield from (f"{as_text(asked)} was {as_text(uri)} then.", "")


def _kept(passed: bool, state: str) -> str:
    if state == "undecided":
        return f"undecided, counts as {'kept' if passed else 'not kept'}"
    return "yes" if passed else "no"


def _own_score_lines(scores: Mapping[str, OwnScore]) -> Iterator[str]:
    if not scores:
        return
    yield from ("## How good the model is", "")
    rows = [
        (name, str(score), "" if math.isnan(score.guess) else f"{score.guess:.4g}") for name, score in scores.items()
    ]
    yield from as_table(["score of the undisturbed predictions", "95 % interval in brackets", "a guess scores"], rows)
    yield ""
    poor = [name for name, score in scores.items() if score.no_better]
    if poor:
        yield f"**No better than guessing by {name_list(poor)}: are these the data and the outcomes it was made for?**"
        yield ""
    untold = [name for name, score in scores.items() if not score.has_interval]
    if untold:
        yield f"How sure {name_list(untold)} is cannot be told from these rows."
        yield ""


def _top_lines(summary: pd.DataFrame) -> list[str]:
    columns = {column: title for column, title in _COLUMNS.items() if summary[column].notna().any()}
    shown = summary.head(rows_to_show(len(summary), _TOP))
    rows = [[row["perturbation"], *[_number(row, column) for column in columns]] for _, row in shown.iterrows()]
    table = as_table(["feature", *columns.values()], rows)
    more = len(summary) - len(shown)
    return [*table, *(["", f"{_count(more, 'more')} in summary.csv."] if more > 0 else [])]


def _number(row: pd.Series, column: str) -> str:
    value = float(row[column])
    if math.isnan(value):
        return ""
    low, high = (float(row.get(f"{column}_{end}", math.nan)) for end in ("low", "high"))
    return f"{value:.3g}" if math.isnan(low) or low == high else f"{value:.3g} ({low:.3g} to {high:.3g})"


def _silent_lines(summary: pd.DataFrame) -> list[str]:
    untested = summary["changed_share"] == 0
    told = {
        "No measurable effect": summary.loc[~summary["measurable"] & ~untested, "perturbation"],
        "Not tested, since no row's value changed": summary.loc[untested, "perturbation"],
    }
    lines = [f"{what}: {some_of([*map(as_text, names)], _MOST_SILENT)}." for what, names in told.items() if len(names)]
    return [part for line in lines for part in (line, "")]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 or what == "more" else f"{number:,} {what}s"
