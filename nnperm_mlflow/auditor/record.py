"""What is recorded of an audit: the files beside its table, and what its run and the version shall tell."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from nnperm_mlflow.analysis.statistics.findings import Findings
from nnperm_mlflow.analysis.statistics.table import columns_by_perturbation
from nnperm_mlflow.analysis.statistics.windows import window_table
from nnperm_mlflow.approval.baselines import Likeness
from nnperm_mlflow.approval.judgement import DIGESTS, Audited, told_of
from nnperm_mlflow.auditor.preparation import Plan
from nnperm_mlflow.auditor.result import AuditResult, Folder, write_files
from nnperm_mlflow.basics.files import CONFIG_FILE, MEDIANS_FILE, NAMES_FILE, SUMMARY_FILE, TABLE_FILE, file_digest
from nnperm_mlflow.registry.audits import AUDIT, DATA_TAG, KIND_TAG, MODEL_TAG, TABLE_TAG
from nnperm_mlflow.registry.connection import run_address
from nnperm_mlflow.registry.evidence import Evidence, describe_dataset, describe_names, metrics_of, write_medians
from nnperm_mlflow.registry.publication import Publication
from nnperm_mlflow.verdict.judgement import Subject, Verdict


@dataclass(frozen=True)
class Place:
    """Where an audit is recorded.

    Attributes
    ----------
    run_id, experiment_id : str
    folder : Folder
        On this machine.
    ends_run : bool
        Whether the run ends with the audit.
    logs_metrics, logs_table : bool
        Whether the run gets metrics, and the deviation table.
    work_dir : Path or None
        Where finished parts are kept until all is written.
    """

    run_id: str
    experiment_id: str
    folder: Folder
    ends_run: bool = True
    logs_metrics: bool = True
    logs_table: bool = True
    work_dir: Path | None = None


@dataclass(frozen=True)
class Record:
    """An audit that has been measured and is whole on this machine.

    Attributes
    ----------
    place : Place
    result : AuditResult
    audited : Audited
        As a policy can be applied to it.
    evidence : Evidence
        As its run shall hold it.
    """

    place: Place
    result: AuditResult
    audited: Audited
    evidence: Evidence

    def publication(self, verdict: Verdict | None = None, tags: dict[str, str] | None = None) -> Publication:
        """Return all that is to be written, with a verdict or more tags if there are some."""
        reference = self.audited.reference
        judgement, link = told_of(self.audited, verdict)
        evidence = replace(self.evidence, tags={**self.evidence.tags, **(tags or {})})
        return Publication(
            run_id=self.place.run_id,
            experiment_id=self.place.experiment_id,
            model=reference.uri,
            model_id=reference.model_id,
            name=reference.name,
            version=reference.version,
            evidence=evidence,
            judgement=judgement,
            link=link,
            ends_run=self.place.ends_run,
            is_temporary=self.place.folder.vanishes is not None,
            work_dir=None if self.place.work_dir is None else str(self.place.work_dir),
        )


def record(
    plan: Plan, found: Findings, place: Place, *, profiles: pd.DataFrame | None = None, calls_before: int = 0
) -> Record:
    """Write the files beside the table, and gather what is told.

    Parameters
    ----------
    plan : Plan
    found : Findings
    place : Place
    profiles : DataFrame, optional
        As `auditor.measurement.profile` returns it.
    calls_before : int
        Calls of the model before the audit.

    Returns
    -------
    Record
    """
    result = _result(plan, found, place, profiles)
    calls = plan.job.predictor.calls - calls_before
    files = _write_files(plan, result)
    digests = {
        "table_digest": file_digest(result.directory / TABLE_FILE),
        "summary_digest": file_digest(result.directory / SUMMARY_FILE),
        "config_file_digest": file_digest(result.directory / CONFIG_FILE),
    }
    told = {**plan.record, "repeats_made": found.repeats, "unit": result.unit, **digests}
    params = {key: str(value) for key, value in told.items()}
    metrics = metrics_of(result.summary, _aggregates(plan, found, result, calls))
    evidence = Evidence(
        files=[name for name in files if place.logs_table or name != TABLE_FILE],
        params=params,
        tags={
            KIND_TAG: AUDIT,
            MODEL_TAG: plan.reference.uri,
            DATA_TAG: params["data_digest"],
            **({} if place.logs_table else {TABLE_TAG: "kept out"}),
        },
        metrics=metrics if place.logs_metrics else {},
        at=int(time.time() * 1000),
        dataset=describe_dataset(plan.dataset.source, params["data_digest"], plan.dataset.n_rows),
    )
    audited = Audited(
        reference=plan.reference,
        subject=_subject(plan, params, place, found.repeats),
        summary=result.summary,
        unit=result.unit,
        table=result.directory / TABLE_FILE,
        likeness=Likeness(params["data_digest"], found.repeats, result.unit, plan.used.analysis),
    )
    return Record(place, replace(result, metrics=metrics), audited, evidence)


def _result(plan: Plan, found: Findings, place: Place, profiles: pd.DataFrame | None) -> AuditResult:
    """Gather what was found, with what is drawn and told of it."""
    return AuditResult(
        model=plan.reference,
        run_id=place.run_id,
        experiment_id=place.experiment_id,
        address=run_address(place.experiment_id, place.run_id),
        summary=found.summary,
        folder=place.folder,
        unit=plan.unit,
        subtitle=f"{plan.reference.uri} on {plan.dataset.n_rows:,} rows of {Path(plan.dataset.source).name}",
        windows=window_table(plan.job.perturbations, found.summary),
        profiles=profiles,
        associations=plan.companions.pairs,
        strata=None if plan.job.strata is None else plan.job.strata.sizes,
    )


def _write_files(plan: Plan, result: AuditResult) -> list[str]:
    """Write all files but the table, and return the names of all."""
    folder, written = result.directory, write_files(result)
    write_medians(result.summary, folder / MEDIANS_FILE)
    names = describe_names(columns_by_perturbation(pq.read_schema(folder / TABLE_FILE)), result.summary)
    (folder / NAMES_FILE).write_text(json.dumps(names, indent=1, ensure_ascii=False), encoding="utf-8")
    (folder / CONFIG_FILE).write_text(plan.used.to_yaml(), encoding="utf-8")
    return [TABLE_FILE, *written, MEDIANS_FILE, NAMES_FILE, CONFIG_FILE]


def _subject(plan: Plan, params: dict[str, str], place: Place, repeats: int) -> Subject:
    return Subject(
        model=plan.reference.uri,
        run_id=place.run_id,
        experiment_id=place.experiment_id,
        **{name: params[name] for name in DIGESTS},
        rows=plan.dataset.n_rows,
        repeats=repeats,
        seed=plan.job.seed,
    )


def _aggregates(plan: Plan, found: Findings, result: AuditResult, calls: int) -> dict[str, float]:
    """Return numbers about the audit as a whole."""
    aggregates = {
        "rows": plan.dataset.n_rows,
        "features": len(plan.job.inputs.features),
        "perturbations": len(plan.job.perturbations),
        "repeats": found.repeats,
        "largest_median": float(result.summary["median"].max()),
        "widest_interval": found.widest,
        "model_calls": calls,
        "reuse": float(plan.job.predictor.reuses),
        "self_noise": plan.noise.largest,
        "unmoved_largest": float(found.tally.unmoved_largest.max()),
        "skipped": int(result.summary["skipped"].sum()),
        "associated_pairs": len(result.associations),
    }
    if not plan.used.analysis.exact:
        aggregates["inexact_largest"] = plan.job.predictor.largest_difference
    if result.strata is not None:
        aggregates["small_strata"] = int(result.strata["small"].sum())
    return aggregates
