"""What of an audit a policy is applied to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import nnperm_mlflow.analysis.perturbation.deal as dealing
from nnperm_mlflow.analysis.difference.feature_order import pair_errors
from nnperm_mlflow.analysis.difference.influences import Statistic
from nnperm_mlflow.analysis.perturbation.donors import shuffle_block_sizes
from nnperm_mlflow.analysis.perturbation.looks import looks_of
from nnperm_mlflow.analysis.uncertainty.families import PairErrors
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.verdict.audit_evidence import Baseline, Evidence


def evidence_of(record: AuditRecord, baselines: Mapping[str, Baseline]) -> Evidence:
    """Return what a policy is applied to; the deviation table is fetched only where a check rests on it."""

    def differences(statistic: Statistic, names: Sequence[str], others: Sequence[str]) -> PairErrors | None:
        return pair_errors(record.table, record.summary, statistic, names, others)

    confirm_look(record)
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
        interactions=record.interactions,
        design=record.config.design_digest(),
        groups=groups if isinstance(groups, dict) else {},  # features that do not vary go together with none
    )


def confirm_look(record: AuditRecord) -> None:
    """Refuse an audit that says it stopped at a look that there was not: its numbers would be surer than they are.

    Where clusters or strata are dealt, only an audit made again tells.

    Parameters
    ----------
    record : AuditRecord

    Raises
    ------
    EvidenceError
        If checks said when to stop, and the record does not say at which look they did, or at one that cannot be.
    """
    subject, analysis = record.subject, record.config.analysis
    if not analysis.stops_by_verdict:
        return
    if subject.looks is None:
        raise EvidenceError(
            f"{record} went on until its checks were decided, and does not say at which look that was: nobody can tell "
            "how sure its numbers are. Audit the version again."
        )
    if analysis.within or subject.clusters is not None:
        return
    sizes = shuffle_block_sizes(record.data_rows, dealing.BATCH_ROWS)
    looks = looks_of(sizes, analysis.max_rows)
    there_are = [(number, len(looks), sum(sizes[:n_batches])) for number, n_batches in enumerate(looks, 1)]
    if (subject.look, subject.looks, subject.rows) not in there_are:
        raise EvidenceError(
            f"{record} says that it stopped at look {subject.look} of {subject.looks}, on {subject.rows:,} rows, and "
            f"of {record.data_rows:,} rows there is no such look. Audit the version again."
        )
