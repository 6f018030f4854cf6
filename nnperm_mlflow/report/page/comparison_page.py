"""The page of a comparison: both versions side by side, as one file of HTML that asks nobody for anything."""

from __future__ import annotations

from nnperm_mlflow.report.page.boxes import WIDTH
from nnperm_mlflow.report.page.checks import checks_of
from nnperm_mlflow.report.page.compared_answers import compared_answers, compared_headline, pairs_of
from nnperm_mlflow.report.page.compared_audits import ComparedAudits
from nnperm_mlflow.report.page.compared_boxes import compared_boxes_of
from nnperm_mlflow.report.page.numbers import count, interval, number
from nnperm_mlflow.report.page.rendering import render
from nnperm_mlflow.report.page.reported_audit import ReportedAudit
from nnperm_mlflow.report.page.segment_names import renamed


def comparison_page(compared: ComparedAudits) -> str:
    """Return the page; from the same two audits it is the same, byte by byte.

    Parameters
    ----------
    compared : ComparedAudits
    """
    boxes, labelled = compared_boxes_of(compared), compared.labelled
    return render(
        "comparison.html.j2",
        compared=compared,
        headline=compared_headline(labelled),
        pairs=pairs_of(labelled),
        answers=compared_answers(labelled),
        boxes=boxes,
        close_width=float(f"{boxes.close_end / boxes.end * WIDTH:g}"),
        scores=_scores(compared),
        verdicts=[_verdict(name, audit) for name, audit in zip(compared.names, compared.audits, strict=True)],
        provenance=_provenance(compared),
        glossary=compared.labels.glossary(),
    )


def _scores(compared: ComparedAudits) -> list[tuple[str, str, str, str]]:
    """Return for each score of both what it says of either version, and the difference, each with its interval."""
    before, now = (audit.own_scores for audit in compared.audits)
    told = []
    for name in dict.fromkeys([*before, *now]):
        found = [side.get(name) for side in (before, now)]
        first, second = ("" if each is None else _with_ends(each.value, each.low, each.high) for each in found)
        difference = compared.own_scores.get(name)
        told.append((name, first, second, "" if difference is None else _with_ends(*difference)))
    return told


def _with_ends(value: float, low: float, high: float) -> str:
    ends = interval(low, high)
    return f"{number(value)} ({ends})" if ends else number(value)


def _verdict(name: str, audit: ReportedAudit) -> dict[str, object]:
    """Return what a policy said of one version."""
    verdict, names = audit.verdict, audit.segment_names
    return {
        "name": name,
        "verdict": verdict,
        "words": "" if verdict is None else renamed(verdict.in_words, names),
        "checks": [] if verdict is None else checks_of(verdict, names),
    }


def _provenance(compared: ComparedAudits) -> list[tuple[str, str, str, bool]]:
    """Return what identifies both audits: what it is called, what it is of either, and whether that is a digest."""
    subjects = [audit.subject for audit in compared.audits]
    facts = [
        ("model", [each.model for each in subjects], False),
        ("run of the audit", [each.run_id for each in subjects], True),
        ("rows", [each.rows_in_words for each in subjects], False),
        ("data", [audit.data for audit in compared.audits], False),
        ("shuffles of each feature", [count(each.repeats) for each in subjects], False),
        ("seed", [str(each.seed) for each in subjects], False),
        ("sha256 of the model's files", [each.model_digest for each in subjects], True),
        ("sha256 of the data", [each.data_digest for each in subjects], True),
        ("sha256 of what was done", [each.config_digest for each in subjects], True),
        ("sha256 of deviations.parquet", [each.table_digest for each in subjects], True),
        ("made by nnperm", [audit.facts.get("nnperm", "") for audit in compared.audits], False),
    ]  # fmt: skip
    return [(name, first, second, is_digest) for name, (first, second), is_digest in facts]
