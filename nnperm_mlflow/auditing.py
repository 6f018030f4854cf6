"""The audit, step by step: a model version and data in; a table, its statistics and a linked MLflow run out."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.analysis.findings import Findings, Progress, find
from nnperm_mlflow.analysis.importance import with_scores
from nnperm_mlflow.analysis.profiles import find_profiles
from nnperm_mlflow.analysis.windows import window_table
from nnperm_mlflow.config import AuditConfig
from nnperm_mlflow.errors import name_list
from nnperm_mlflow.forecasting import Forecast, forecast
from nnperm_mlflow.inputs.dataset import Dataset
from nnperm_mlflow.planning import Plan, as_config, prepare
from nnperm_mlflow.registry.connection import connect, explained, run_address
from nnperm_mlflow.registry.evidence import Evidence, log_evidence
from nnperm_mlflow.registry.linking import link_version
from nnperm_mlflow.registry.session import RunSession
from nnperm_mlflow.result import CONFIG_FILE, TABLE_FILE, AuditResult, Folder, write_files

logger = logging.getLogger(__name__)

_LOG_EVERY_SECONDS = 10.0

AnyConfig = AuditConfig | Mapping[str, object] | str | Path | None


def audit(
    config: AnyConfig = None,
    *,
    model_uri: str | None = None,
    data: Dataset | None = None,
    output: str | Path | None = None,
    trust_model: bool = False,
    experiment: str | None = None,
    run_id: str | None = None,
    ends_run: bool = True,
    progress: Progress | None = None,
) -> AuditResult:
    """Measure how far each prediction of a registered model moves when one feature is disturbed.

    Parameters
    ----------
    config : AuditConfig, mapping, str or Path, optional
        What to do, or the YAML file that says it.
    model_uri : str, optional
        `models:/name/3`, `models:/name@alias`, `models:/m-...`, `runs:/...` or a local path; goes before the
        configuration's `model`.
    data : Dataset, optional
        Rows in memory, instead of the files that the configuration names. Not modified.
    output : str or Path, optional
        Directory for a copy of the files.
    trust_model : bool
        Allow code that came with the model to run.
    experiment : str, optional
        Name of the experiment for the run; by default the one that the model was logged in.
    run_id : str, optional
        A run to continue, instead of a new one.
    ends_run : bool
        Whether the run ends with the audit; False leaves that to whoever began it.
    progress : callable, optional
        Is told the rows done and the rows in all, at first with none done; by default lines are logged.

    Returns
    -------
    AuditResult

    Raises
    ------
    AuditError
        For whatever hinders the audit. The run, if one was begun, is then marked as failed.

    Notes
    -----
    What disturbs the data is `analysis.perturbations`, which rows exchange values `analysis.shuffling`, and what the
    columns of the summary mean `analysis.statistics.summarize`.
    """
    with _connected(run_id) as (client, scratch), RunSession(client, run_id, ends=ends_run) as session, explained():
        settings = as_config(config)
        folder = Folder.at(output)
        plan = prepare(client, settings, model_uri, data=data, trust_model=trust_model, scratch=scratch)
        session.start(plan.reference, experiment)
        calls = plan.job.predictor.calls
        found = _measure(plan, folder.path / TABLE_FILE, progress or _log_progress())
        analysis = plan.used.analysis
        result = AuditResult(
            model=plan.reference,
            run_id=session.run_id,
            experiment_id=session.experiment_id,
            address=run_address(session.experiment_id, session.run_id),
            summary=found.summary,
            folder=folder,
            unit=plan.unit,
            subtitle=f"{plan.reference.uri} on {plan.dataset.n_rows:,} rows of {Path(plan.dataset.source).name}",
            windows=window_table(plan.job.perturbations, found.summary),
            profiles=find_profiles(plan.job, plan.block_rows, analysis.profile) if analysis.profile else None,
            associations=plan.companions.pairs,
            strata=None if plan.job.strata is None else plan.job.strata.sizes,
        )
        calls = plan.job.predictor.calls - calls
        log_evidence(client, session.run_id, plan.reference, _evidence(result, plan, found, calls))
        denied = link_version(client, plan.reference, session.run_id, session.experiment_id, found.summary)
    return replace(result, not_linked=denied)


def plan_audit(
    config: AnyConfig = None,
    *,
    model_uri: str | None = None,
    data: Dataset | None = None,
    trust_model: bool = False,
) -> Forecast:
    """Check an audit and tell what it will take, without a run and without disturbing more than one block of rows.

    Parameters
    ----------
    config, model_uri, data, trust_model
        As for `audit`.

    Returns
    -------
    Forecast

    Raises
    ------
    AuditError
        For whatever would hinder the audit.
    """
    with _connected(None) as (client, scratch):
        settings = as_config(config)
        return forecast(prepare(client, settings, model_uri, data=data, trust_model=trust_model, scratch=scratch))


@contextmanager
def _connected(run_id: str | None) -> Iterator[tuple[MlflowClient, Path]]:
    """Give a client and a directory for downloads; what MLflow refuses inside is told in one line."""
    with explained(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        yield connect(run_id), Path(scratch)


def _measure(plan: Plan, table: Path, progress: Progress) -> Findings:
    """Disturb, predict, and describe what came out."""
    job = plan.job
    logger.info(
        "%s: %s rows, %d features, %d perturbations, at most %s rows a block",
        job.model, f"{plan.dataset.n_rows:,}", len(job.inputs.features), len(job.perturbations), f"{plan.block_rows:,}",
    )  # fmt: skip
    if not plan.used.analysis.exact:
        logger.info("shortcuts were off by at most %.3g on the rows tried out", job.predictor.largest_difference)
    found = find(
        job,
        plan.block_rows,
        table,
        progress,
        row_ids=plan.dataset.row_ids,
        record=plan.record,
        precision=plan.precision,
    )
    found.summary["measurable"] = found.summary["max"] > plan.noise.largest
    if plan.scores is not None:
        found = with_scores(found, job, plan.scores, plan.used.analysis.p_values)
    _point_out(found, plan.noise.largest)
    return found


def _point_out(found: Findings, noise: float) -> None:
    """Say what a reader of the numbers should know."""
    summary = found.summary
    silent = summary.loc[~summary["measurable"], "perturbation"]
    if len(silent):
        logger.info("no measurable effect (at most %.3g, the model's own noise): %s", noise, name_list(silent))
    skipped = summary.loc[summary["skipped"] > 0, "perturbation"]
    if len(skipped):
        most = int(summary["skipped"].max())
        logger.warning(
            "rows without a prediction were left out: up to %d of %d, of %s",
            most,
            summary["rows"][0],
            name_list(skipped),
        )
    unsteady = float(found.tally.unmoved_largest.max())
    if unsteady > 0:
        logger.warning(
            "rows whose value did not change moved by up to %.3g: the model mixes rows or draws random numbers, and "
            "deviations of that size mean nothing",
            unsteady,
        )


def _evidence(result: AuditResult, plan: Plan, found: Findings, calls: int) -> Evidence:
    """Write the files beside the table and gather what goes into the run."""
    config = result.directory / CONFIG_FILE
    config.write_text(plan.used.to_yaml(), encoding="utf-8")
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
    return Evidence(
        summary=result.summary,
        files=[result.directory / TABLE_FILE, *write_files(result), config],
        params={key: str(value) for key, value in plan.record.items()},
        aggregates=aggregates,
        data_digest=str(plan.record["data_digest"]),
        data_source=plan.dataset.source,
        n_rows=plan.dataset.n_rows,
    )


def _log_progress() -> Progress:
    """Return a listener that logs a line now and then, with an estimate of the time left."""
    started = told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if done and (now - told >= _LOG_EVERY_SECONDS or done == total):
            left = (now - started) / done * (total - done)
            logger.info("%s of %s rows done, about %.0f s left", f"{done:,}", f"{total:,}", left)
            told = now

    return tell
