"""The first screen: what an audit came to, in plain words that are made from its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.statistics.order import (
    DROP,
    FAR,
    FLIPS,
    MEAN,
    in_words,
    other_leaders,
    out_of_data,
    set_values,
    shuffles,
)
from nnperm_mlflow.analysis.uncertainty.interval_columns import interval_ends
from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.basics.text import some_of
from nnperm_mlflow.report.page.numbers import interval, moment, number, several, share
from nnperm_mlflow.report.page.reported_audit import ReportedAudit
from nnperm_mlflow.report.page.segment_names import renamed

_NAMED = 3  # features behind the first, in a sentence
_MOST_NAMES = 8
_LEADING = 5  # whose intervals are told of
TOP = 6
"""Features of the small picture."""


@dataclass(frozen=True)
class Answer:
    """A question with its answer.

    Attributes
    ----------
    question : str
    sentences : list of str
    where : str
        Anchor of the part of the page that tells more; empty where there is none.
    mark : str
        "good", "bad", "open" or nothing: how the answer is marked.
    """

    question: str
    sentences: list[str]
    where: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Bar:
    """A feature of the small picture: its name, the number, the interval, and places from 0 to 100."""

    name: str
    number: str
    ends: str
    value: float
    low: float
    high: float


def headline(audit: ReportedAudit) -> str:
    """Return what leads, in a sentence."""
    leading = _told(audit)
    if leading.empty:
        return "No feature could be tested: no row's value changed."
    first = leading.iloc[0]
    if not bool(first["measurable"]):
        return "No feature has a measurable effect on the predictions."
    rest = [
        f"{row['perturbation']} ({_number(row[audit.order_by], audit.order_by)})"
        for row in leading.iloc[1 : 1 + _NAMED].to_dict("records")
        if bool(row["measurable"])
    ]
    behind = f" Behind it come {name_list_plain(rest)}." if rest else ""
    return f"{_what(audit, first)}.{behind}"


def _what(audit: ReportedAudit, row: pd.Series) -> str:
    """Say of a row what happens when the feature is shuffled."""
    name, order_by = str(row["perturbation"]), audit.order_by
    if name in audit.groups:
        name = f"{name} ({name_list_plain([*audit.groups[name]])} together)"
    low, high = (side[0] for side in interval_ends(pd.DataFrame([row]), order_by))
    told = _number(row[order_by], order_by)
    ends = f" (95 % interval {_ends(low, high, order_by)})" if _ends(low, high, order_by) else ""
    if order_by == FLIPS:
        return f"Decisions rest most on {name}: shuffled among the rows, it turns {told} of them{ends}"
    if order_by.endswith(DROP):
        score = order_by.removesuffix(DROP)
        return f"{score} rests most on {name}: shuffled among the rows, it costs {told}{ends}"
    on_average = "on average" if order_by == MEAN else "in the middle of all rows"
    moves = "the predicted probability" if audit.unit == "probability" else "predictions"
    unit = "" if audit.unit in ("", "probability") else f", in their unit ({audit.unit})"
    return (
        f"Predictions rest most on {name}: shuffled among the rows, it moves {moves} by {told} {on_average}{ends}{unit}"
    )


def name_list_plain(names: list[str]) -> str:
    """Return names in a line.

    >>> name_list_plain(["a", "b", "c"])
    'a, b and c'
    """
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def bars_of(audit: ReportedAudit) -> list[Bar]:
    """Return the features that lead, for the small picture."""
    rows = _told(audit).head(TOP)
    if rows.empty:
        return []
    lows, highs = interval_ends(rows, audit.order_by)
    values = rows[audit.order_by].to_numpy(float)
    largest = max([*(each for each in (*values, *highs) if math.isfinite(each)), 0.0]) or 1.0
    return [
        Bar(
            name=str(name),
            number=_number(value, audit.order_by),
            ends=_ends(low, high, audit.order_by),
            value=_percent(value, largest),
            low=_percent(low if math.isfinite(low) else value, largest),
            high=_percent(high if math.isfinite(high) else value, largest),
        )
        for name, value, low, high in zip(rows["perturbation"], values, lows, highs, strict=True)
    ]


def _percent(value: float, largest: float) -> float:
    return round(100 * max(0.0, value) / largest, 2)


def _told(audit: ReportedAudit) -> pd.DataFrame:
    """Return the shuffles that were tested and have a number, the leading one first; no windows."""
    rows = shuffles(audit.summary)
    rows = rows[(rows["changed_share"] > 0) & rows[audit.order_by].notna()]
    return rows[rows["kind"] != "window"] if "kind" in rows else rows


def answers_of(audit: ReportedAudit) -> list[Answer]:
    """Return the questions that a reader has, with their answers."""
    return [*answers_by_topic(audit).values()]


def answers_by_topic(audit: ReportedAudit) -> dict[str, Answer]:
    """Return the same by what each is about: rests_on, sure, scores, policy, decision, change, rows, limits."""
    return {
        "rests_on": Answer("What do the predictions rest on?", [*_rests_on(audit)], "features"),
        "sure": Answer("How sure is that?", [*_how_sure(audit)], "features"),
        "scores": _own_scores(audit),
        "policy": _policy(audit),
        "decision": Answer("Who decided?", [*_decision(audit)], "checks"),
        "change": Answer(
            "What changed since the version in use?", [*_change(audit)], "checks" if _compares(audit) else ""
        ),
        "rows": Answer("Which rows does it tell of?", [*_rows(audit)], "segments" if audit.segments else "provenance"),
        "limits": Answer("What does it not show?", [*_limits(audit)], "method"),
    }


def _rests_on(audit: ReportedAudit) -> Iterator[str]:
    leading = [str(row["perturbation"]) for row in _told(audit).to_dict("records") if bool(row["measurable"])]
    if not leading:
        yield headline(audit)
    elif len(leading) > _LEADING:
        more = len(leading) - _LEADING
        have = "one more has" if more == 1 else f"{more:,} more have"
        yield f"Most on {', '.join(leading[:_LEADING])}, in this order; {have} a measurable effect."
    else:
        yield f"On {name_list_plain(leading)}{', in this order' if len(leading) > 1 else ''}."
    tested = audit.summary[audit.summary["changed_share"] > 0]
    own = shuffles(tested)
    silent = [str(name) for name in own.loc[~own["measurable"].astype(bool), "perturbation"]]
    if silent:
        yield f"No measurable effect: {some_of(silent, _MOST_NAMES)} ({len(silent):,} of {len(own):,})."
    untested = [str(name) for name in audit.summary.loc[audit.summary["changed_share"] == 0, "perturbation"]]
    if untested:
        yield f"Not tested, since no row's value changed: {some_of(untested, _MOST_NAMES)}."
    largest = set_values(tested).head(1)
    for row in largest.to_dict("records"):
        yield (
            f"Asked apart, what if everybody had one value: {row['perturbation']} would move predictions most "
            f"({in_words(audit.order_by)} {_number(row[audit.order_by], audit.order_by)})."
        )


def _how_sure(audit: ReportedAudit) -> Iterator[str]:
    leading = _told(audit).head(_LEADING)
    lows, highs = interval_ends(leading, audit.order_by)
    if len(leading) and all(math.isnan(low) for low in lows):
        yield "How sure the numbers are cannot be told from so few rows."
        return
    if len(leading) > 1:
        first, second = leading["perturbation"].iloc[0], leading["perturbation"].iloc[1]
        apart = lows[0] > highs[1]
        yield (
            f"The intervals of {first} and {second} do not overlap: the first place is no chance."
            if apart
            else f"The intervals of {first} and {second} overlap: which of the two leads may be chance."
        )
    widths = [(high - low) / 2 for low, high in zip(lows, highs, strict=True) if math.isfinite(high - low)]
    if widths:
        yield (
            f"Each of the leading {len(leading)} numbers is right to within {_number(max(widths), audit.order_by, 2)}, "
            f"with 95 % confidence: so far would other {audit.subject.rows:,} rows like these, or another shuffle, "
            "move it."
        )
    if audit.too_wide:
        yield f"Less precise than was asked for: {some_of([*audit.too_wide], _MOST_NAMES)}."
    others = other_leaders(audit.summary, audit.order_by)
    for name, features in others.items():
        yield f"By {in_words(name)} {name_list_plain(features)} would be among the first five as well."


def _own_scores(audit: ReportedAudit) -> Answer:
    question = "How good is the model itself?"
    if not audit.own_scores:
        told = "Not told: the audit was asked for no scores, or had no outcomes to hold predictions against."
        return Answer(question, [told], mark="open")
    sentences = [_score_words(name, score) for name, score in audit.own_scores.items()]
    poor = [name for name, score in audit.own_scores.items() if score.no_better]
    if poor:
        sentences.append(
            f"No better than guessing by {name_list(poor)}: are these the data and outcomes it was made for?"
        )
    return Answer(question, sentences, mark="bad" if poor else "")


def _score_words(name: str, score: OwnScore) -> str:
    ends = f" ({interval(score.low, score.high)})" if interval(score.low, score.high) else ""
    guess = "" if math.isnan(score.guess) else f"; the same guess for all rows scores {number(score.guess)}"
    return f"{name} {number(score.value)}{ends} of the undisturbed predictions{guess}."


def _policy(audit: ReportedAudit) -> Answer:
    question, verdict = "Does it keep the policy?", audit.verdict
    if verdict is None:
        return Answer(question, ["No policy was applied: there is no verdict."], mark="open")
    words = f"{verdict.in_words[0].upper()}{verdict.in_words[1:]}."
    sentences = [renamed(words, audit.segment_names)]
    if verdict.mode != "enforce":
        sentences.append("A dry run: nothing is held up by it.")
    if verdict.attempts:
        tried = several(len(verdict.attempts), "other audit")
        sentences.append(f"There {'is' if len(verdict.attempts) == 1 else 'are'} {tried} of these model files on "
                         "these data under policies of that name.")  # fmt: skip
    return Answer(question, sentences, "checks", "good" if verdict.verdict == "pass" else "bad")


def _decision(audit: ReportedAudit) -> Iterator[str]:
    verdict = audit.verdict
    if verdict is None:
        yield "Nobody yet: the audit is a measurement. A policy decides (nnperm check --policy FILE)."
        return
    yield f"The verdict follows from the policy, which {verdict.given_by} applied, {moment(verdict.given_at)}."
    owner = verdict.policy.get("owner")
    if owner:
        yield f"The policy is that of {owner}."
    yield "Whether the version got an alias on it (nnperm promote) stands on the version and in nnperm history."


def _compares(audit: ReportedAudit) -> bool:
    return audit.verdict is not None and bool(audit.verdict.baselines)


def _change(audit: ReportedAudit) -> Iterator[str]:
    if audit.verdict is None or not audit.verdict.baselines:
        yield (
            f"Not compared: no check of a policy names another version. nnperm compare OLD {audit.subject.model} tells "
            "what changed, feature by feature."
        )
        return
    for asked, uri in audit.verdict.baselines.items():
        yield f"{asked} was {uri} then." if asked != uri else f"It was compared with {uri}."
        for told in audit.verdict.checks:
            if asked in str(told.get("asked", "")) or uri in str(told.get("asked", "")):
                kept = "kept" if told.get("passed") else "not kept"
                yield f"{told.get('check', '')}: {kept}; {renamed(str(told.get('in_words', '')), audit.segment_names)}."


def _rows(audit: ReportedAudit) -> Iterator[str]:
    subject = audit.subject
    yield f"Of {subject.rows_in_words} of {audit.data}."
    if subject.clusters is not None:
        yield f"They are of {several(subject.clusters, 'cluster')} of rows that belong together."
    if subject.positives is not None and subject.rows:
        yield (
            f"{share(subject.positives / subject.rows)} of the outcomes are positive."
            if (subject.sampled_from is None)
            else f"{subject.positives:,} of the outcomes are positive."
        )
    if audit.excluded:
        yield f"Left out, as was asked: {some_of([*audit.excluded], _MOST_NAMES)}."
    if audit.segments is None:
        yield "Parts of the rows were not told apart (analysis: segments)."
        return
    names = audit.segment_names
    for each in audit.segments.largest_differences[:2]:
        more, less = names.get(each.more, each.more), names.get(each.less, each.less)
        sure = "surely" if each.is_sure else "perhaps by chance"
        yield f"{more} and {less} lie farthest apart, {sure}: {each.what} differs by {number(each.value)}."


def _limits(audit: ReportedAudit) -> Iterator[str]:
    yield "How far a prediction moves is not whether it gets better, and says nothing about causes in the world."
    pairs = 0 if audit.associations is None else len(audit.associations)
    if pairs:
        yield f"{several(pairs, 'pair')} of features that go together share their effect: each alone looks smaller."
    far = [str(name) for name in out_of_data(audit.summary)["perturbation"]]
    if far:
        yield (
            f"Much of what was asked under {some_of(far, _MOST_NAMES)} cannot occur: a learner tells such rows from "
            f"the data (beyond {FAR:g}), and the model has seen none like them."
        )
    yield "It tells of rows like these, by this model; nothing of rows that look otherwise."
    if not audit.verdict:
        yield "Nobody has said what would be acceptable."


def _number(value: float, statistic: str, digits: int = 3) -> str:
    return share(float(value)) if statistic == FLIPS else number(float(value), digits)


def _ends(low: float, high: float, statistic: str) -> str:
    if statistic != FLIPS or math.isnan(low) or low == high:
        return interval(float(low), float(high))
    return f"{share(float(low))} to {share(float(high))}"
