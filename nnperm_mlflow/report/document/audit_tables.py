"""The tables of the document: features with their numbers, scores, segments and checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nnperm_mlflow.report.document.chapters import Block, Heading, Table, Words
from nnperm_mlflow.report.page.boxes import Boxes, Row, boxes_of
from nnperm_mlflow.report.page.checks import checks_of
from nnperm_mlflow.report.page.numbers import interval, number, several
from nnperm_mlflow.report.page.parts import parts_of
from nnperm_mlflow.report.page.reported_audit import ReportedAudit, ReportedVerdict

MOST_FEATURES, MOST_SET, MOST_NUMBERS = 25, 12, 4
"""Rows that are told, those that lead, of shuffles and of set values, and columns of numbers; summary.csv has all."""
_MOST_FEATURES_BESIDE = 4  # of segments: features and scores for which a page has room


def features_table(audit: ReportedAudit) -> Table:
    """Return the features that lead, each with its numbers and the interval of that by which they are ordered."""
    boxes = _boxes(audit)
    rows = [row for row in (*boxes.moved, *boxes.conditional) if row.kind != "window"]  # of which the heat map tells
    return _table(boxes, rows[:MOST_FEATURES], boxes.n_moved + boxes.n_conditional, "Features, the leading one first")


def set_values_table(audit: ReportedAudit) -> Table | None:
    """Return the values that were set for everybody, those that move predictions most; None where there are none."""
    boxes = _boxes(audit)
    if not boxes.set_values:
        return None
    return _table(boxes, boxes.set_values[:MOST_SET], boxes.n_set, "Values set for everybody")


def _boxes(audit: ReportedAudit) -> Boxes:
    return boxes_of(audit.summary, audit.unit, audit.order_by, audit.labels.of_perturbations(audit.summary))


def _table(boxes: Boxes, rows: Sequence[Row], total: int, title: str) -> Table:
    columns = [at for at, column in enumerate(boxes.columns) if not column.is_more][:MOST_NUMBERS]
    left = f"; {several(total - len(rows), 'more row')} in summary.csv" if total > len(rows) else ""
    return Table(
        f"{title}{left}",
        ("", "Feature", *(boxes.columns[at].title for at in columns)),
        [(row.place, _name_of(row), *(_cell(row, at, at == columns[0]) for at in columns)) for row in rows],
        (0.6, 3.6, *(2.9 if at == columns[0] else 1.5 for at in columns)),
        (True, False, *(True for _ in columns)),
    )


def _name_of(row: Row) -> str:
    label = f" ({row.label})" if row.label else ""
    way = "" if row.way in ("shuffle", "set") else f", {row.way_words}"
    note = f": {row.note}" if row.note else ""
    return f"{row.name}{label}{way}{note}"


def _cell(row: Row, at: int, with_ends: bool) -> str:
    told, ends = row.cells[at]
    return f"{told} ({ends})" if ends and with_ends else told


def scores_table(audit: ReportedAudit) -> Table:
    """Return what scores say of the undisturbed predictions."""
    return Table(
        "Scores of the undisturbed predictions",
        ("Score", "Value", "95 % interval", "The same guess for all rows"),
        [
            (name, number(score.value), interval(score.low, score.high), number(score.guess))
            for name, score in audit.own_scores.items()
        ],
        (3, 2, 3, 3),
        (False, True, True, True),
    )


def segments_tables(audit: ReportedAudit) -> Iterator[Block]:
    """Give for each column the differences in words, and its segments with the features that lead."""
    if audit.segments is None:
        return
    yield Words("Mean deviation by segment, under the features that lead, and what scores say of the model there.")
    for part in parts_of(audit.segments, audit.summary, audit.segment_names):
        yield Heading(part.column)
        for words, _ in part.differences:
            yield Words(words)
        # the scores stand last, and are told before features that lead less
        features = part.features[:_MOST_FEATURES_BESIDE]
        kept = [*range(len(features))]
        if len(part.features) > len(features):
            kept[-1] = len(part.features) - 1
        yield Table(
            f"Segments of {part.column}",
            ("Segment", "Rows", *(part.features[at] for at in kept)),
            [
                (
                    f"{segment.name}{': too few to judge' if segment.is_small else ''}",
                    segment.rows,
                    *(_with_ends(*segment.cells[at][:2]) for at in kept),
                )
                for segment in part.segments
            ],
            (2.5, 1, *(2 for _ in kept)),
            (False, True, *(True for _ in kept)),
        )
        if part.n_left_out:
            yield Words(f"And {several(part.n_left_out, 'smaller segment')} in segments.csv.", "soft")


def _with_ends(told: str, ends: str) -> str:
    return f"{told} ({ends})" if ends else told


def checks_table(verdict: ReportedVerdict, names: Mapping[str, str]) -> Table:
    """Return the checks, each with its number held against its limit."""
    return Table(
        "Checks",
        ("Check", "Asked", "Number", "Limit", "Result"),
        [
            (
                check.name,
                check.asked,
                f"{check.of}: {_with_ends(check.number, check.ends)}" if check.number else check.words,
                check.limit,
                f"{check.result}{f'; also not held by {check.also}' if check.also else ''}",
            )
            for check in checks_of(verdict, names)
        ],
        (2.2, 3.4, 3, 1.5, 1.8),
    )
