"""The card of an audit: one page of Markdown that a person can read and file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import pandas as pd

from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.statistics.order import (
    FAR,
    FEW_HELD,
    MEAN,
    conditionals,
    in_words,
    other_leaders,
    out_of_data,
    plain,
    set_values,
)
from nnperm_mlflow.analysis.statistics.summary_columns import DONORS, OUT_OF_DATA
from nnperm_mlflow.analysis.uncertainty.interval_columns import interval_ends
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.basics.text import as_table, as_text, rows_to_show, some_of
from nnperm_mlflow.verdict.attempt import Attempt
from nnperm_mlflow.verdict.verdict import Subject, Verdict, stamp

_TOP = 10
_MOST_WIDE = 12
_MOST_SILENT = 60  # features that are named; summary.csv has all
_WAYS = {"shuffle": "of all rows", "conditional": "of rows that are alike"}
_COLUMNS = {
    "mean": "mean",
    "median": "median",
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
    order_by: str = MEAN,
    too_wide: Sequence[str] = (),
    verdict: Verdict | None = None,
    address: str | None = None,
    own_scores: Mapping[str, OwnScore] | None = None,
    segments: SegmentTables | None = None,
    interactions: pd.DataFrame | None = None,
    groups: pd.DataFrame | None = None,
    predicted_by: str | None = None,
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
    order_by : str
        The statistic that leads.
    too_wide : sequence of str
        What stayed less precise than was asked for.
    verdict : Verdict, optional
        None where there was no policy to apply.
    address : str, optional
        The page of the run, where a server shows it.
    own_scores : mapping of str to OwnScore, optional
        Of the undisturbed predictions, where there are labels.
    segments : SegmentTables, optional
        What is told of segments, where these were asked for.
    interactions : DataFrame, optional
        What pairs of features do together, where that was asked for.
    groups : DataFrame, optional
        What groups move beyond their members, where there are such.
    predicted_by : str, optional
        Function of the model that was called, where it is known.
    """
    run = f"[{subject.run_id}]({address})" if address else f"`{subject.run_id}`"
    lines = [
        f"# Audit of {as_text(subject.model)}",
        "",
        f"{stamp(when)}, run {run}, on {subject.rows_in_words}, {_count(subject.repeats, 'shuffle')} of each "
        f"feature, seed {subject.seed}{f'; predicted by {as_text(predicted_by)}' if predicted_by else ''}.",
        "",
        *_verdict_lines(verdict),
        *_own_score_lines(own_scores or {}),
        "## What the predictions rest on",
        "",
        f"How far the prediction of an observation moves ({as_text(unit)}) when one feature is disturbed, all else as "
        f"it is; in brackets the 95 % interval. The largest {in_words(order_by)} comes first.",
        "",
        *_table_lines(plain(summary), _columns_of(summary, order_by)),
        "",
        *_order_lines(summary, order_by),
        *_conditional_lines(conditionals(summary), _columns_of(summary, order_by)),
        *_far_lines(summary),
        *_set_lines(set_values(summary), _columns_of(summary, order_by)),
        *_group_lines(groups),
        *_silent_lines(summary),
        *_precision_lines(too_wide),
        *_interaction_lines(interactions),
        *_segment_lines(segments),
        "## What this stands on",
        "",
        *as_table(
            ["what", "sha256"],
            [
                ("files of the model", subject.model_digest),
                ("data", subject.data_digest),
                ("what was done (config.yaml)", subject.config_digest),
                ("deviation table", subject.table_digest),
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
    if verdict.policy.name:
        about = f", {as_text(verdict.policy.about)}" if verdict.policy.about else ""
        yield from (f"Policy: {as_text(verdict.policy.label)}{about}.", "")
    if verdict.attempts:
        yield from (f"Other audits of these model files on these data under '{as_text(verdict.policy.name)}':", "")
        rows = [
            (each.run_id, each.model, each.when, each.seed, each.repeats, _result(each)) for each in verdict.attempts
        ]
        yield from as_table(["run", "model", "ended", "seed", "repeats", "verdict"], rows)
        yield ""
    yield from as_table(
        ["check", "asks that", "came to", "kept"],
        [
            (outcome.check, outcome.asked, outcome.finding.words, _kept(outcome.passed, outcome.finding.state))
            for outcome in verdict.outcomes
        ],
    )
    yield ""
    if verdict.look_in_words is not None:
        yield from (f"The verdict was {verdict.look_in_words}.", "")
    for asked, uri in verdict.baselines.items():
        yield from (f"{as_text(asked)} was {as_text(uri)} then.", "")


def _result(attempt: Attempt) -> str:
    told = "no verdict on record" if attempt.result == "none" else attempt.result
    return f"{told}, run deleted" if attempt.is_deleted else told


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


def _columns_of(summary: pd.DataFrame, order_by: str) -> dict[str, str]:
    """Return the columns to tell with their titles, what leads first."""
    columns = {order_by: _COLUMNS.get(order_by, in_words(order_by)), **_COLUMNS}
    return {column: title for column, title in columns.items() if summary[column].notna().any()}


def _table_lines(rows: pd.DataFrame, columns: Mapping[str, str], counts: Mapping[str, str] | None = None) -> list[str]:
    """Return a table of the first rows; `counts` are columns with numbers of rows, by their titles."""
    shown, counted = rows.head(rows_to_show(len(rows), _TOP)), counts or {}
    told = [shown["perturbation"], *(shown[column].map("{:,.0f}".format) for column in counted.values())]
    told += [_numbers(shown, column, is_first=place == 0) for place, column in enumerate(columns)]
    table = as_table(["feature", *counted, *columns.values()], zip(*told, strict=True))
    more = len(rows) - len(shown)
    return [*table, *(["", f"{_count(more, 'more')} in summary.csv."] if more > 0 else [])]


def _numbers(rows: pd.DataFrame, column: str, *, is_first: bool) -> list[str]:
    """Return the numbers of a column with their intervals; 0 would look like no effect where nothing was tested."""
    untested = "not tested" if is_first else ""
    numbers = zip(rows[column], *interval_ends(rows, column), rows["changed_share"] == 0, strict=True)
    return [untested if is_untested else _number(value, low, high) for value, low, high, is_untested in numbers]


def _order_lines(summary: pd.DataFrame, order_by: str) -> list[str]:
    """Say in a line who is among the first five in another order."""
    others = other_leaders(summary, order_by)
    if not others:
        return []
    told = "; ".join(f"by {in_words(name)} {', '.join(map(as_text, names))}" for name, names in others.items())
    return [f"Other orders have others among the first five: {told}.", ""]


def _conditional_lines(rows: pd.DataFrame, columns: Mapping[str, str]) -> list[str]:
    """Tell what features add to the others, apart from what predictions rest on."""
    if rows.empty:
        return []
    return [
        "### Among rows that are alike in what the feature goes with",
        "",
        "What the feature tells beyond the others: each row received the value of one that is like it in these "
        "(subgroups.csv). What moves predictions above and not here, others of the features tell as well.",
        "",
        *_table_lines(rows, columns, {"rows that could give": DONORS} if DONORS in rows else None),
        "",
    ]


def _far_lines(summary: pd.DataFrame) -> list[str]:
    """Say which disturbed rows are unlike the data, where that was asked for."""
    if OUT_OF_DATA not in summary:
        return []
    far = out_of_data(summary)
    told = zip(far["perturbation"], far[OUT_OF_DATA], strict=True)
    named = some_of([f"{as_text(name)} ({area:.2f})" for name, area in told], _MOST_SILENT)
    if far.empty:
        return ["### Rows that cannot occur", "", f"No disturbed rows are told from the data by more than {FAR:g}.", ""]
    return [
        "### Rows that cannot occur",
        "",
        "A learner tells disturbed rows from the data (area under the ROC curve, 0.5 where it cannot), so that most of "
        f"what the model was asked there it has never seen: {named}. A conditional shuffle asks on rows that occur; "
        "features that go together can be shuffled as a group.",
        "",
    ]


def _group_lines(groups: pd.DataFrame | None) -> list[str]:
    """Tell what groups move beyond their members, where there are such."""
    if groups is None or groups.empty:
        return []
    rows = [
        (row["group"], _WAYS.get(row["way"], row["way"]),
         *(_number(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in ("total", "apart", "beyond")))
        for row in groups.head(rows_to_show(len(groups), _TOP)).to_dict("records")
    ]  # fmt: skip
    return [
        "### Groups beside their members",
        "",
        "Half the mean square of the deviations, over the variance of the predictions: of the group at once, of its "
        "members one by one, added up, and the first less the second. Beyond 0 the members go together and push the "
        "same way, so that each alone tells too little; below 0 they offset each other, or do something together that "
        "each alone counts in full. It is no `share`, which is a feature's part of the sum of mean deviations.",
        "",
        *as_table(["group", "donors", "at once", "one by one", "beyond its members"], rows),
        "",
    ]


def _set_lines(rows: pd.DataFrame, columns: Mapping[str, str]) -> list[str]:
    """Tell what happens if everybody has one value, apart from what predictions rest on."""
    if rows.empty:
        return []
    few = rows.loc[rows["held"] < FEW_HELD, "perturbation"] if "held" in rows else rows["perturbation"].head(0)
    named = some_of([*map(as_text, few)], _MOST_SILENT)
    return [
        "### If everybody had one value",
        "",
        *_table_lines(rows, columns, {"rows that held it": "held"} if "held" in rows else None),
        "",
        *([f"Fewer than {FEW_HELD} rows held {named}: the model may never have seen what it was asked.", ""] if len(few)
          else []),
    ]  # fmt: skip


def _precision_lines(too_wide: Sequence[str]) -> list[str]:
    if not too_wide:
        return []
    named = some_of([*map(as_text, too_wide)], _MOST_WIDE)
    return [f"Less precise than was asked for: {named}. More repeats (max_repeats) or more rows narrow intervals.", ""]


def _segment_lines(tables: SegmentTables | None) -> Iterator[str]:
    """Tell which two segments of each column differ most, and which are too small to tell."""
    if tables is None:
        return
    yield from ("## Parts of the rows", "")
    found = tables.largest_differences
    if found:
        yield from (
            "The two segments of each column that differ most, in the mean deviation under a feature and in the score "
            "of the model itself; in brackets the interval that is right of all pairs at once.",
            "",
        )
        yield from as_table(
            ["column", "in", "larger in", "than in", "by", "pairs", "surely"],
            [
                (each.column, each.what, each.more, each.less, each.number, f"{each.among:,}",
                 "yes" if each.is_sure else "no")
                for each in found
            ],
        )  # fmt: skip
        yield ""
    if tables.too_small:
        named = some_of([*map(as_text, tables.too_small)], _MOST_SILENT)
        yield f"Fewer than {FEWEST_ROWS} rows (or clusters), so counted and not judged: {named}."
        yield ""
    yield from ("All segments are in segments.csv.", "")


def _interaction_lines(pairs: pd.DataFrame | None) -> Iterator[str]:
    """Tell what pairs of features do together beyond what each does alone."""
    if pairs is None:
        return
    yield from ("## What features do together", "")
    shown = pairs[pairs["interacts"].astype(bool)]
    if len(shown):
        logit = " All of it before the activation, in log-odds." if (pairs["scale"] == "logit").all() else ""
        yield (
            "How far the prediction moves with two features from another row beyond what each moves it alone (the mean "
            "size), and the mean square of that over 4, as a share of the variance of the predictions; in brackets "
            f"the 95 % interval.{logit}"
        )
        yield ""
        head = shown.head(rows_to_show(len(shown), _TOP))
        rows = [
            (row["first"], row["second"], *(_number(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in
             ("mean", "share")), "" if math.isnan(row["h"]) else f"{row['h']:.3g}")
            for row in head.to_dict("records")
        ]  # fmt: skip
        yield from as_table(["feature", "with", "beyond both", "share of the variance", "H"], rows)
        yield ""
    silent = len(pairs) - len(shown)
    if silent:
        yield from (
            f"Of {_count(silent, 'pair')} no more than rounding was seen beyond what each feature does alone.",
            "",
        )
    yield from ("All pairs that were followed are in interactions.csv.", "")


def _number(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return ""
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
