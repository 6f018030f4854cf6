"""What the run, and the version, tell of an audit and its verdict: the card, the page, and a link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import PurePath

import pandas as pd

from nnperm_mlflow.analysis.repeats.stopping_rule import named, widths_that_matter
from nnperm_mlflow.basics.audit_files import (
    ASSOCIATIONS_FILE,
    EFFECTS_FILE,
    GROUPS_FILE,
    PROFILES_FILE,
    REPORT_FILE,
    STRATA_FILE,
    VERDICT_FILE,
    WINDOWS_FILE,
)
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.config.profile_config import accumulated_of, dependence_of
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.evidence.summary_file import read_table
from nnperm_mlflow.registry.connection import run_address
from nnperm_mlflow.registry.publication import VerdictContent, VersionLink
from nnperm_mlflow.registry.verdicts import verdict_content
from nnperm_mlflow.registry.version_link import link_of
from nnperm_mlflow.report.audit_card import audit_card
from nnperm_mlflow.report.audit_note import audit_note
from nnperm_mlflow.report.feature_labels import FeatureLabels
from nnperm_mlflow.report.page.audit_page import audit_page
from nnperm_mlflow.report.page.reported_audit import ReportedAudit, ReportedVerdict
from nnperm_mlflow.verdict.check_targets import rests_on
from nnperm_mlflow.verdict.verdict import Verdict

_FACTS = (
    "nnperm", "python", "mlflow", "numpy", "pandas", "tensorflow", "tensorflow-cpu", "keras", "torch", "scikit-learn",
    "model_trusted", "model_code", "within", "donors", "cluster", "self_noise", "rows_mix",
)  # fmt: skip
"""Parameters of the run that the page tells as they are."""
_Columns = tuple[str, ...]

_WINDOWS: tuple[_Columns, _Columns] = ("channel", "window"), ("first", "last", "mean")
_PROFILES: tuple[_Columns, _Columns] = ("feature", "kind", "value"), ("mean", "low", "high", "share", "baseline")
_EFFECTS: tuple[_Columns, _Columns] = ("feature", "kind", "value"), ("effect", "low", "high", "share")
_ASSOCIATIONS: tuple[_Columns, _Columns] = ("first", "second", "measure", "group"), ("value",)
_GROUPS: tuple[_Columns, _Columns] = (
    ("group", "way", "members"),
    tuple(f"{name}{end}" for name in ("total", "apart", "beyond") for end in ("", "_low", "_high")),
)
"""Columns without which a table is none: texts, and numbers."""


def contents_of(record: AuditRecord, verdict: Verdict | None) -> tuple[VerdictContent, VersionLink]:
    """Return what the run, and what the version shall tell of an audit and its verdict."""
    when = datetime.now(timezone.utc)
    reported = reported_of(record, None, too_wide_of(record))
    shown = reported.labelled
    card = audit_card(
        shown.summary,
        record.subject,
        unit=record.unit,
        when=when,
        order_by=record.order_by,
        too_wide=shown.too_wide,
        verdict=verdict,
        address=run_address(record.experiment_id, record.run_id),
        own_scores=record.own_scores,
        segments=shown.segments,
        interactions=shown.interactions,
        groups=_groups(record, reported.labels),
        predicted_by=record.predicted_by,
    )
    content = verdict_content(verdict, card, when)
    if verdict is not None:
        given = ReportedVerdict.model_validate_json(content.texts[VERDICT_FILE])
        reported = replace(reported, verdict=given)
    told = replace(content, texts={**content.texts, REPORT_FILE: audit_page(reported)}, note=audit_note(reported))
    return told, link_of(record, when, verdict)


def too_wide_of(record: AuditRecord) -> list[str]:
    """Return which of the numbers that matter stayed less precise than the audit was asked for."""
    config = record.config
    if config.analysis.precision is None:
        return []
    watched = rests_on(config.policy, record.summary, record.model)
    widths = widths_that_matter(record.summary, record.order_by, watched, record.segments)
    return named(widths[widths["width"] > config.analysis.precision])


def _data_in_words(record: AuditRecord) -> str:
    data = record.config.data
    if data.static:
        return PurePath(data.static).name
    return data.table or ("a DataFrame of Spark" if record.is_on_cluster else "rows in memory")


def reported_of(
    record: AuditRecord, verdict: ReportedVerdict | None, too_wide: Sequence[str] = (), *, shows_values: bool = False
) -> ReportedAudit:
    """Return what the page of an audit, and the description of its run, are made of.

    Parameters
    ----------
    record : AuditRecord
    verdict : ReportedVerdict or None
        As the run holds it, or shall hold it.
    too_wide : sequence of str
        What stayed less precise than was asked for.
    shows_values : bool
        Whether values of the data may be shown.

    Raises
    ------
    EvidenceError
        If a file that the audit's digests are of has been changed.
    """
    analysis, summary = record.config.analysis, record.summary
    windows = (summary["kind"] == "window").any() if "kind" in summary else False
    return ReportedAudit(
        subject=record.subject,
        summary=summary,
        unit=record.unit,
        order_by=record.order_by,
        data=_data_in_words(record),
        facts={name: str(record.params[name]) for name in _FACTS if _says_something(record.params.get(name))},
        begun_at=record.begun_at,
        verdict=verdict,
        own_scores=record.own_scores,
        segments=record.segments,
        windows=_table(record, WINDOWS_FILE, *_WINDOWS) if windows else None,
        profiles=_table(record, PROFILES_FILE, *_PROFILES) if dependence_of(analysis.profile) else None,
        effects=None if accumulated_of(analysis.profile) is None else _table(record, EFFECTS_FILE, *_EFFECTS),
        interactions=record.interactions,
        associations=_table(record, ASSOCIATIONS_FILE, *_ASSOCIATIONS),
        strata=_table(record, STRATA_FILE, analysis.within, ("rows", "small")) if analysis.within else None,
        groups=analysis.groups if isinstance(analysis.groups, dict) else {},
        excluded=analysis.exclude,
        too_wide=too_wide,
        predicted_by=record.predicted_by,
        shows_values=shows_values,
        labels=FeatureLabels.of(record.config.labels, record.config.data.temporal, analysis.windows),
    )


def _groups(record: AuditRecord, labels: FeatureLabels) -> pd.DataFrame | None:
    """Return what groups move beyond their members; None where there are none, or the audit did not tell."""
    if "kind" not in record.summary or not (record.summary["kind"] == "group").any():
        return None
    table = _table(record, GROUPS_FILE, *_GROUPS)
    return None if table is None else labels.in_table(table, "group")


def _says_something(told: object) -> bool:
    return str(told) not in ("None", "", "[]")


def _table(record: AuditRecord, name: str, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame | None:
    """Return a table that no verdict rests on; None where it is not there, or is none: the page goes without it."""
    try:
        table = read_table(record.files.fetch(name), texts, [*texts, *numbers])
    except EvidenceError:
        return None
    return table if len(table) or name == ASSOCIATIONS_FILE else None
