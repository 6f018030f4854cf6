"""The page of an audit as one file of HTML that asks nobody for anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from nnperm_mlflow.analysis.statistics.order import in_words
from nnperm_mlflow.report.page.answers import answers_of, bars_of, headline
from nnperm_mlflow.report.page.association_grid import association_grid_of
from nnperm_mlflow.report.page.boxes import WIDTH, Boxes, Row, boxes_of
from nnperm_mlflow.report.page.checks import checks_of
from nnperm_mlflow.report.page.curves import curves_of, effects_of
from nnperm_mlflow.report.page.heat import heat_of
from nnperm_mlflow.report.page.joint_effects import joint_effects_of
from nnperm_mlflow.report.page.numbers import count, number
from nnperm_mlflow.report.page.parts import parts_of
from nnperm_mlflow.report.page.rendering import render
from nnperm_mlflow.report.page.reported_audit import ReportedAudit
from nnperm_mlflow.report.page.segment_names import renamed

MOST_PAIRS = 60
"""Associated pairs that are shown, the strongest."""


@dataclass(frozen=True)
class Part:
    """A part of the page that others make: its anchor, how the bar calls it, its title, and markup that is safe."""

    anchor: str
    link: str
    title: str
    html: Markup


def audit_page(audit: ReportedAudit, more: Sequence[Part] = ()) -> str:
    """Return the page; from the same audit it is the same, byte by byte.

    Parameters
    ----------
    audit : ReportedAudit
    more : sequence of Part
        That stand behind the profiles.
    """
    boxes = boxes_of(audit.summary, audit.unit, audit.order_by, audit.labels.of_perturbations(audit.summary))
    labelled = audit.labelled
    return render(
        "audit.html.j2",
        audit=labelled,
        boxes=boxes,
        close_width=float(f"{boxes.close_end / boxes.end * WIDTH:g}"),
        more=more,
        glossary=audit.labels.glossary(),
        words_of=words_of,
        **_parts_of(labelled),
    )


def _parts_of(audit: ReportedAudit) -> dict[str, Any]:
    """Return what the template shows beside the boxes, by name."""
    segments, verdict = audit.segments, audit.verdict
    names = audit.segment_names
    pairs = audit.associations
    return {
        "headline": headline(audit),
        "leads": in_words(audit.order_by).capitalize(),
        "bars": bars_of(audit),
        "answers": answers_of(audit),
        "heat": None if audit.windows is None else heat_of(audit.windows, audit.order_by),
        "curves": None if audit.profiles is None else curves_of(audit.profiles, shows_values=audit.shows_values),
        "effects": None if audit.effects is None else effects_of(audit.effects, shows_values=audit.shows_values),
        "joint": None if audit.interactions is None else joint_effects_of(audit.interactions),
        "parts": None if segments is None else parts_of(segments, audit.summary, names),
        "hides_names": any(name != called for name, called in names.items()),
        "pairs": None if pairs is None else _pairs(audit),
        "grid": None if pairs is None else association_grid_of(pairs),
        "n_pairs": 0 if pairs is None else len(pairs),
        "checks": [] if verdict is None else checks_of(verdict, names),
        "verdict_words": "" if verdict is None else renamed(verdict.in_words, names),
        "strata": _strata(audit),
        "provenance": list(provenance_of(audit)),
    }


def words_of(row: Row, boxes: Boxes) -> str:
    """Return what is to be said of a row, in a sentence."""
    told = [
        f"{column.title} {cell}{f' ({ends})' if ends else ''}"
        for column, (cell, ends) in zip(boxes.columns, row.cells, strict=True)
        if cell and not column.is_more
    ]
    place = f"; place {row.place} of {boxes.n_placed.get(row.way, 0)}" if row.place else ""
    note = f" ({row.note})" if row.note else ""
    name = f"{row.name} ({row.label})" if row.label else row.name
    return f"{name}, {row.way_words}{note}{place}{': ' if told else ''}{', '.join(told)}."


def _pairs(audit: ReportedAudit) -> list[tuple[str, str, str, str, str]]:
    if audit.associations is None:
        return []
    shown = audit.associations.head(MOST_PAIRS).astype({"group": object}).fillna({"group": ""})
    return [
        (str(row["first"]), str(row["second"]), str(row["measure"]).replace("_", " "), number(float(row["value"]), 2),
         str(row["group"]))
        for row in shown.to_dict("records")
    ]  # fmt: skip


def _strata(audit: ReportedAudit) -> str:
    """Return in words which rows exchanged values with each other."""
    if audit.strata is None:
        return ""
    columns = [str(name) for name in audit.strata if name not in ("rows", "small")]
    small = int(audit.strata["small"].astype(bool).sum()) if "small" in audit.strata else 0
    return (
        f"alike in {', '.join(columns)}, in {count(len(audit.strata))} strata, of which {count(small)} hold few rows "
        "(strata.csv)"
    )


def provenance_of(audit: ReportedAudit) -> list[tuple[str, str, bool]]:
    """Return what identifies the audit: what it is called, what it is, and whether that is a digest."""
    subject, verdict = audit.subject, audit.verdict
    facts: Mapping[str, tuple[str, bool]] = {
        "model": (subject.model, False),
        "run": (subject.run_id, True),
        "rows": (subject.rows_in_words, False),
        "shuffles of each feature": (count(subject.repeats), False),
        "seed": (str(subject.seed), False),
        "sha256 of the model's files": (subject.model_digest, True),
        "sha256 of the data": (subject.data_digest, True),
        "sha256 of what was done": (subject.config_digest, True),
        "sha256 of the deviation table": (subject.table_digest, True),
        "sha256 of summary.csv": (subject.summary_digest, True),
        **({} if verdict is None else {"sha256 of the policy": (verdict.policy_digest, True)}),
        **{name: (value, False) for name, value in audit.facts.items()},
    }
    return [(name, *told) for name, told in facts.items()]
