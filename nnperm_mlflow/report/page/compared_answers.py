"""The first screen of a comparison: what changed from one version to the other, in words that its numbers make."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from nnperm_mlflow.analysis.statistics.order import plain
from nnperm_mlflow.basics.text import some_of
from nnperm_mlflow.report.compared_numbers import is_changed, numbers_of
from nnperm_mlflow.report.page.answers import TOP, Answer, name_list_plain
from nnperm_mlflow.report.page.compared_audits import ComparedAudits
from nnperm_mlflow.report.page.numbers import interval, number, several
from nnperm_mlflow.report.page.segment_names import renamed

_MOST_NAMES = 8
_LEADING = 3


@dataclass(frozen=True)
class Pair:
    """A feature of the small picture: its name, the difference, and where it lies before and now, from 0 to 100."""

    name: str
    difference: str
    before: float
    now: float
    is_changed: bool


def compared_headline(compared: ComparedAudits) -> str:
    """Return what changed most, in a sentence."""
    moved = _common(compared)
    sure = moved[is_changed(moved)]
    first, second = compared.names
    if moved.empty:
        return f"{first} and {second} have no feature in common that could be compared."
    if sure.empty:
        return f"No feature surely moves the predictions of {second} more, or less, than those of {first}."
    row = sure.iloc[0]
    more = "more" if row["difference"] > 0 else "less"
    where = "on average" if compared.comparison.statistic == "mean" else "in the middle of all rows"
    ends = interval(row["difference_low"], row["difference_high"])
    return (
        f"{second} rests {more} on {row['perturbation']} than {first}: shuffled among the rows, it moves predictions "
        f"by {number(row['b'])} {where}, where it was {number(row['a'])} (difference {number(row['difference'])}, 95 % "
        f"interval {ends})."
    )


def pairs_of(compared: ComparedAudits) -> list[Pair]:
    """Return the features that changed most, for the small picture."""
    shown = _common(compared).head(TOP)
    largest = max([*shown["a"], *shown["b"], 0.0]) or 1.0
    return [
        Pair(
            name=str(row["perturbation"]),
            difference=_signed(float(row["difference"])),
            before=round(100 * max(0.0, float(row["a"])) / largest, 2),
            now=round(100 * max(0.0, float(row["b"])) / largest, 2),
            is_changed=changed,
        )
        for row, changed in zip(shown.to_dict("records"), is_changed(shown), strict=True)
    ]


def compared_answers(compared: ComparedAudits) -> list[Answer]:
    """Return the questions that a reader has, with their answers."""
    moved = _common(compared)
    sure = moved[is_changed(moved)]
    return [
        Answer("What counts more now?", [_named(sure[sure["difference"] > 0], moved)], "features"),
        Answer("What counts less now?", [_named(sure[sure["difference"] < 0], moved)], "features"),
        Answer("Is the order the same?", [*_order(compared)], "features"),
        Answer("What is new, and what is gone?", [*_alone(compared)], "features"),
        _scores(compared),
        Answer("Do they keep their policies?", [*_policies(compared)], "checks"),
        Answer("On what were they compared?", [f"{compared.how[:1].upper()}{compared.how[1:]}."], "provenance"),
        Answer("What does it not show?", [*_limits(compared)], "method"),
    ]


def _common(compared: ComparedAudits) -> pd.DataFrame:
    """Return the shuffles of features, groups and series that both have a number of, what differs most first."""
    rows = numbers_of(compared.table, compared.comparison.statistic)
    rows = plain(rows[(rows["only_in"] == "") & rows["difference"].notna()])
    return rows[rows["way"] == "shuffle"]


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)


def _named(rows: pd.DataFrame, among: pd.DataFrame) -> str:
    if rows.empty:
        return f"None of {several(len(among), 'feature')} surely does."
    told = [f"{row['perturbation']} ({_signed(row['difference'])})" for row in rows.to_dict("records")]
    return f"{some_of(told, _MOST_NAMES)}."


def _order(compared: ComparedAudits) -> Iterator[str]:
    leading = []
    for side in ("a", "b"):
        ranked = compared.table.dropna(subset=[f"rank_{side}"])
        ranked = ranked[ranked["way"] == "shuffle"].sort_values(f"rank_{side}")
        leading.append([str(name) for name in ranked["perturbation"].head(_LEADING)])
    before, now = leading
    if before and before == now:
        yield f"The first are: {name_list_plain(now)}, in both."
    elif before:
        yield f"Before: {', '.join(before)}. Now: {', '.join(now)}."
    found = compared.comparison.rank_correlation
    if not math.isnan(found.value):
        ends = f" ({interval(found.low, found.high)})" if interval(found.low, found.high) else ""
        yield f"The rank correlation of what they rest on is {number(found.value)}{ends}; 1 would be the same order."


def _alone(compared: ComparedAudits) -> Iterator[str]:
    table = compared.table
    for side, name in zip(("a", "b"), compared.names, strict=True):
        alone = [str(each) for each in table.loc[table["only_in"] == side, "perturbation"]]
        if alone:
            yield f"Only in {name}: {some_of(alone, _MOST_NAMES)}."
    if (table["only_in"] == "").all():
        yield "Nothing: what was disturbed is the same."


def _scores(compared: ComparedAudits) -> Answer:
    question, (first, second) = "Which predicts better?", compared.names
    before, now = (audit.own_scores for audit in compared.audits)
    sentences = []
    for name, (difference, low, high) in compared.own_scores.items():
        ends = f", 95 % interval {interval(low, high)}" if interval(low, high) else ""
        sure = "" if low > 0 or high < 0 else "; which is better may be chance"
        sentences.append(
            f"{name} is {number(before[name].value)} of {first} and {number(now[name].value)} of {second} (difference "
            f"{_signed(difference)}{ends}{sure})."
        )
    if not sentences:
        told = "Not told: the audits do not both tell scores of the same outcomes. What moves predictions is no answer."
        return Answer(question, [told], mark="open")
    return Answer(question, sentences)


def _policies(compared: ComparedAudits) -> Iterator[str]:
    for name, audit in zip(compared.names, compared.audits, strict=True):
        verdict = audit.verdict
        yield f"{name}: {'no verdict' if verdict is None else renamed(verdict.in_words, audit.segment_names)}."


def _limits(compared: ComparedAudits) -> Iterator[str]:
    yield "That predictions rest on a feature more or less than before says nothing of better or worse."
    if not compared.comparison.paired:
        yield "The audits were not made on the same rows with the same donors: part of a difference may be the rows."
    yield "Each interval is right by itself; of many differences some will look sure by chance."
