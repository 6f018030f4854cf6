"""What of an audit a policy is applied to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nnperm_mlflow.analysis.difference.feature_order import pair_errors
from nnperm_mlflow.analysis.difference.influences import Statistic
from nnperm_mlflow.analysis.uncertainty.families import PairErrors
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.verdict.audit_evidence import Baseline, Evidence


def evidence_of(record: AuditRecord, baselines: Mapping[str, Baseline]) -> Evidence:
    """Return what a policy is applied to; the deviation table is fetched only where a check rests on it."""

    def differences(statistic: Statistic, names: Sequence[str], others: Sequence[str]) -> PairErrors | None:
        return pair_errors(record.table, record.summary, statistic, names, others)

    if record.config.analysis.stops_by_verdict and record.subject.looks is None:
        raise EvidenceError(
            f"{record} went on until its checks were decided, and does not say at which look that was: nobody can tell "
            "how sure its numbers are. Audit the version again."
        )
    groups = record.config.analysis.groups
    kept_out = record.is_on_cluster or (record.lacks_table and record.own_table is None)
    return Evidence(
        record.subject,
        record.summary,
        baselines,
        differences=None if kept_out else differences,
        excluded=tuple(record.config.analysis.exclude),
        training=record.training,
        model_code=record.model_code,
        rows_mix=record.rows_mix,
        own_scores=record.own_scores,
        segments=record.segments,
        design=record.config.design_digest(),
        groups=groups if isinstance(groups, dict) else {},  # features that do not vary go together with none
    )
