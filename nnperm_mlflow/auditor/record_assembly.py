"""What is recorded of an audit: its files, its record, and all that is to be written of it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from nnperm_mlflow.analysis.engine.table import column_names
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.statistics.order import leading
from nnperm_mlflow.analysis.statistics.summary import window_table
from nnperm_mlflow.approval.audit_contents import contents_of
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.auditor.result import AuditResult, Folder, write_findings
from nnperm_mlflow.basics.audit_files import (
    CONFIG_FILE,
    DIFFERENCES_FILE,
    INTERACTIONS_FILE,
    MEDIANS_FILE,
    NAMES_FILE,
    OUTCOME_FILE,
    PARTS_FILE,
    SCORE_DIFFERENCES_FILE,
    SCORES_FILE,
    SEGMENT_SCORES_FILE,
    SEGMENTS_FILE,
    SUMMARY_FILE,
    TABLE_FILE,
    file_digest,
)
from nnperm_mlflow.basics.locations import without_secrets
from nnperm_mlflow.evidence.audit_folder import FolderFiles
from nnperm_mlflow.evidence.audit_record import (
    CONFIG_DIGEST,
    DIFFERENCES_DIGEST,
    INTERACTIONS_DIGEST,
    OUTCOME_DIGEST,
    SCORE_DIFFERENCES_DIGEST,
    SCORES_DIGEST,
    SEGMENT_SCORES_DIGEST,
    SEGMENTS_DIGEST,
    SUMMARY_DIGEST,
    TABLE_DIGEST,
    AuditRecord,
)
from nnperm_mlflow.evidence.scores_file import write_own_scores
from nnperm_mlflow.evidence.summary_file import write_table
from nnperm_mlflow.registry.connection import run_address
from nnperm_mlflow.registry.publication import Publication, RunContent
from nnperm_mlflow.registry.records import moment_of
from nnperm_mlflow.registry.run_content import (
    LEADING_PARAMS,
    POLICY_PARAM,
    describe_dataset,
    describe_names,
    metrics_of,
    write_medians,
)
from nnperm_mlflow.registry.run_session import RunSession
from nnperm_mlflow.registry.tags import AUDIT, DATA_TAG, KEPT_OUT, KIND_TAG, MODEL_TAG, TABLE_TAG
from nnperm_mlflow.report.feature_labels import FeatureLabels


def gather(
    plan: Plan,
    found: Findings,
    session: RunSession,
    folder: Folder,
    *,
    profiles: pd.DataFrame | None,
    effects: pd.DataFrame | None,
    calls: int,
) -> AuditResult:
    """Gather what was found, with what is drawn and told of it.

    Parameters
    ----------
    plan : Plan
    found : Findings
    session : RunSession
        Of the run that shall hold it.
    folder : Folder
        With the deviation table; the other files go there.
    profiles : DataFrame or None
        As `auditor.measurement.profile` returns it.
    effects : DataFrame or None
        As `auditor.measurement.accumulate_effects` returns it.
    calls : int
        Of the model, that the audit made.
    """
    strata = None if plan.job.strata is None else plan.job.strata.sizes
    return AuditResult(
        model=plan.reference,
        run_id=session.run_id,
        experiment_id=session.experiment_id,
        address=run_address(session.experiment_id, session.run_id),
        summary=found.summary,
        folder=folder,
        unit=plan.unit,
        subtitle=f"{plan.reference.uri} on {plan.dataset.in_words}",
        order_by=plan.order_by,
        windows=window_table(plan.job.perturbations, found.summary),
        profiles=profiles,
        effects=effects,
        associations=plan.companions.pairs,
        strata=strata,
        groups=found.groups,
        subgroups=found.subgroups,
        own_scores=found.own_scores,
        segments=found.segments,
        interactions=found.interactions,
        labels=FeatureLabels.of(plan.used.labels, plan.used.data.temporal, plan.used.analysis.windows),
        metrics=metrics_of(
            found.summary,
            _aggregates(plan, found, strata, calls),
            {name: score.value for name, score in found.own_scores.items()},
        ),
    )


def record_of(
    plan: Plan, found: Findings, folder: Path, run_id: str, experiment_id: str, *, start_time: int | None = None
) -> AuditRecord:
    """Return the record of an audit whose evidence has been written, see `write_evidence`.

    Parameters
    ----------
    plan : Plan
    found : Findings
    folder : Path
        With the deviation table and what else was written.
    run_id, experiment_id : str
        The run that holds the audit, or shall hold it.
    start_time : int or None
        When it began, in milliseconds since 1970.
    """
    digests = {
        TABLE_DIGEST: TABLE_FILE if plan.elsewhere is None else PARTS_FILE,
        SUMMARY_DIGEST: SUMMARY_FILE,
        CONFIG_DIGEST: CONFIG_FILE,
    }
    if plan.elsewhere is not None:
        digests[OUTCOME_DIGEST] = OUTCOME_FILE
    if found.own_scores:
        digests[SCORES_DIGEST] = SCORES_FILE
    if found.segments is not None:
        digests |= {SEGMENTS_DIGEST: SEGMENTS_FILE, DIFFERENCES_DIGEST: DIFFERENCES_FILE}
        if found.segments.scores is not None:
            digests |= {SEGMENT_SCORES_DIGEST: SEGMENT_SCORES_FILE, SCORE_DIFFERENCES_DIGEST: SCORE_DIFFERENCES_FILE}
    if found.interactions is not None:
        digests[INTERACTIONS_DIGEST] = INTERACTIONS_FILE
    told = {
        **plan.record,
        "repeats_made": found.repeats,
        "unit": plan.unit,
        "order_by": plan.order_by,
        **_leaders(found.summary, plan.order_by),
        **({POLICY_PARAM: plan.used.name} if plan.used.name and plan.used.policy.applies else {}),
        **{key: file_digest(folder / name) for key, name in digests.items()},
    }
    params = {key: str(value) for key, value in told.items()}
    tags = {KIND_TAG: AUDIT, MODEL_TAG: plan.reference.uri, DATA_TAG: params["data_digest"]}
    dataset = describe_dataset(plan.dataset.source, params["data_digest"], plan.rows)
    begun_at = moment_of(start_time)
    return AuditRecord(run_id, experiment_id, params, FolderFiles(folder), tags, begun_at, dataset=dataset)


def _leaders(summary: pd.DataFrame, order_by: str) -> dict[str, str]:
    """Return the features that lead as parameters: a comparison of runs begins with what differs, digits first."""
    names = leading(summary, order_by)["perturbation"].astype(str)
    return dict(zip(LEADING_PARAMS, names, strict=False))


def publication_of(
    plan: Plan,
    record: AuditRecord,
    result: AuditResult,
    files: Sequence[str],
    *,
    ends_run: bool = True,
    logs_metrics: bool = True,
    logs_table: bool = True,
    work_dir: Path | None = None,
) -> Publication:
    """Return all that is to be written of an audit, as yet without a verdict.

    Parameters
    ----------
    plan : Plan
    record : AuditRecord
    result : AuditResult
    files : sequence of str
        Names of those that were written, as `write_files` returns them.
    ends_run : bool
        Whether the run ends with the audit.
    logs_metrics, logs_table : bool
        Whether the run gets metrics, and the deviation table.
    work_dir : Path or None
        Where finished parts are kept until all is written.
    """
    content = RunContent(
        files=[name for name in files if logs_table or name != TABLE_FILE],
        params=record.params,
        tags={**record.tags, **_where_the_table_is(plan, logs_table)},
        metrics=result.metrics if logs_metrics else {},
        at=int(time.time() * 1000),
        dataset=record.dataset,
    )
    verdict, link = contents_of(record, None)
    return Publication(
        run_id=record.run_id,
        experiment_id=record.experiment_id,
        model=plan.reference.uri,
        model_id=plan.reference.model_id,
        name=plan.reference.name,
        version=plan.reference.version,
        run=content,
        verdict=verdict,
        link=link,
        ends_run=ends_run,
        is_temporary=result.folder.vanishes is not None,
        work_dir=None if work_dir is None else str(work_dir),
    )


def _where_the_table_is(plan: Plan, logs_table: bool) -> dict[str, str]:
    """Return the tag of a run that does not hold the deviation table."""
    if plan.elsewhere is not None:
        return {TABLE_TAG: without_secrets(plan.elsewhere.location)}
    return {} if logs_table else {TABLE_TAG: KEPT_OUT}


def write_files(plan: Plan, found: Findings, result: AuditResult) -> list[str]:
    """Write all files but the table, and return the names of all."""
    folder = result.directory
    written = [*write_evidence(plan, found, folder), *write_findings(result)]
    write_medians(result.summary, folder / MEDIANS_FILE)
    job = plan.job
    columns = column_names(job.perturbations, job.measure.baseline_names, has_clusters=job.clusters is not None)
    called = {done.name: column for done, column in zip(job.perturbations, columns, strict=True)}
    names = describe_names(called, result.summary)
    (folder / NAMES_FILE).write_text(json.dumps(names, indent=1, ensure_ascii=False), encoding="utf-8")
    of_table = [TABLE_FILE] if plan.elsewhere is None else [PARTS_FILE, OUTCOME_FILE]
    return [*of_table, *written, MEDIANS_FILE, NAMES_FILE]


def write_evidence(plan: Plan, found: Findings, folder: Path) -> list[str]:
    """Write what a verdict rests on beside the table, and return the names: numbers, and the configuration as used."""
    tables = {SUMMARY_FILE: found.summary}
    if found.segments is not None:
        tables |= {SEGMENTS_FILE: found.segments.segments, DIFFERENCES_FILE: found.segments.differences}
        of_scores = found.segments.scores
        if of_scores is not None:
            tables |= {SEGMENT_SCORES_FILE: of_scores.scores, SCORE_DIFFERENCES_FILE: of_scores.differences}
    if found.interactions is not None:
        tables[INTERACTIONS_FILE] = found.interactions
    for name, table in tables.items():
        write_table(table, folder / name)
    (folder / CONFIG_FILE).write_text(plan.used.to_yaml(), encoding="utf-8")
    if found.own_scores:
        write_own_scores(found.own_scores, folder / SCORES_FILE)
    return [*tables, CONFIG_FILE, *([SCORES_FILE] if found.own_scores else [])]


def _aggregates(plan: Plan, found: Findings, strata: pd.DataFrame | None, calls: int) -> dict[str, float]:
    """Return numbers about the audit as a whole."""
    aggregates = {
        "rows": plan.dataset.n_rows,
        **({} if plan.sampled_rows is None else {"data_rows": plan.rows}),
        "features": len(plan.job.inputs.features),
        "perturbations": len(plan.job.perturbations),
        "repeats": found.repeats,
        "largest_median": float(found.summary["median"].max()),
        "widest_interval": found.widest,
        "model_calls": calls,
        "reuse": float(plan.job.predictor.reuses),
        "self_noise": plan.noise.largest,
        "unmoved_largest": float(found.tally.unmoved_largest.max()),
        "skipped": int(found.summary["skipped"].sum()),
        "associated_pairs": len(plan.companions.pairs),
    }
    if not plan.used.analysis.exact:
        aggregates["inexact_largest"] = plan.job.predictor.largest_difference
    if strata is not None:
        aggregates["small_strata"] = int(strata["small"].sum())
    return aggregates
