"""Two audits on record as the page of their comparison is made of them."""

from __future__ import annotations

import logging
from pathlib import PurePath

from nnperm_mlflow.basics.audit_files import VERDICT_FILE
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.comparison.pairs import Pair
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.report.feature_labels import FeatureLabels
from nnperm_mlflow.report.page.reported_audit import ReportedAudit, ReportedVerdict

logger = logging.getLogger(__name__)


def reported_pair(pair: Pair) -> tuple[ReportedAudit, ReportedAudit]:
    """Return of two audits what a comparison tells: numbers, scores, and the newest verdict."""
    return _reported(pair[0]), _reported(pair[1])


def labels_of(pair: Pair) -> FeatureLabels:
    """Return what features are called: as in the second audit, else as in the first."""
    first, second = (
        FeatureLabels.of(record.config.labels, record.config.data.temporal, record.config.analysis.windows)
        for record in pair
    )
    return second.over(first)


def _reported(record: AuditRecord) -> ReportedAudit:
    static = record.config.data.static
    return ReportedAudit(
        subject=record.subject,
        summary=record.summary,
        unit=record.unit,
        order_by=record.order_by,
        data=PurePath(static).name if static else "rows in memory",
        facts={"nnperm": str(record.params.get("nnperm", ""))},
        verdict=_verdict(record),
        own_scores=record.own_scores,
        segments=record.segments,
    )


def _verdict(record: AuditRecord) -> ReportedVerdict | None:
    """Return the newest verdict; None where there is none, or it is damaged: what is compared does not rest on it."""
    try:
        return record.read(VERDICT_FILE, ReportedVerdict) if record.holds(VERDICT_FILE) else None
    except EvidenceError as error:
        logger.warning("the report tells no verdict of %s: %s", record.model, error)
        return None
