"""The audit, step by step: a model version and data in; a table, its statistics and a linked MLflow run out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow.analysis.findings import Findings, Progress
from nnperm_mlflow.analysis.profiles import find_profiles
from nnperm_mlflow.analysis.windows import window_table
from nnperm_mlflow.approval import DIGESTS, Audited, approve
from nnperm_mlflow.baselines import Likeness, pin_baselines
from nnperm_mlflow.config import AuditConfig
from nnperm_mlflow.digests import file_digest
from nnperm_mlflow.errors import TrackingError, name_list
from nnperm_mlflow.filenames import CONFIG_FILE, SUMMARY_FILE, TABLE_FILE
from nnperm_mlflow.forecasting import Forecast, forecast
from nnperm_mlflow.inputs.dataset import Dataset
from nnperm_mlflow.measuring import measure
from nnperm_mlflow.planning import AnyPolicy, Plan, as_config, prepare, with_policy
from nnperm_mlflow.policy import Policy
from nnperm_mlflow.registry.audits import MODEL_TAG
from nnperm_mlflow.registry.connection import connected, explained, run_address
from nnperm_mlflow.registry.evidence import Evidence, log_evidence, metrics_of
from nnperm_mlflow.registry.session import RunSession
from nnperm_mlflow.result import AuditResult, Folder, write_files
from nnperm_mlflow.verdict.judging import Subject

AnyConfig = AuditConfig | Mapping[str, object] | str | Path | None


def audit(
    config: AnyConfig = None,
    *,
    model_uri: str | None = None,
    policy: AnyPolicy = None,
    data: Dataset | None = None,
    output: str | Path | None = None,
    trust_model: bool = False,
    experiment: str | None = None,
    run_id: str | None = None,
    ends_run: bool = True,
    logs_metrics: bool = True,
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
    policy : Policy, str or Path, optional
        What the version must keep, or the file that says it; goes before the configuration's checks.
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
    logs_metrics : bool
        Whether metrics are logged; False leaves that to whoever gets them with the result.
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
    with (
        connected(run_id if ends_run else None) as (client, scratch),
        RunSession(client, run_id, ends=ends_run) as session,
        explained(),
    ):
        settings = with_policy(as_config(config), policy)
        folder = Folder.at(output)
        plan = prepare(client, settings, model_uri, data=data, trust_model=trust_model, scratch=scratch)
        pinned = pin_baselines(client, settings.policy)
        session.start(plan.reference, experiment)
        if not ends_run:
            _refuse_used(client, session.run_id, {**plan.record, "unit": plan.unit})
        calls = plan.job.predictor.calls
        found = measure(plan, folder.path / TABLE_FILE, progress)
        result = _result(plan, found, session, folder)
        evidence = _evidence(result, plan, found, plan.job.predictor.calls - calls)
        denied = log_evidence(client, session.run_id, plan.reference, evidence, logs_metrics)
        alike = settings.with_policy(Policy()).with_repeats(found.repeats)
        again = partial(audit, alike, data=data, trust_model=trust_model, experiment=experiment)
        approval = approve(
            client,
            _audited(result, plan, evidence, found.repeats),
            settings.policy,
            pinned,
            folder=scratch / "baselines",
            audit_now=lambda uri: again(model_uri=uri).run_id,
        )
    metrics = metrics_of(evidence)
    return replace(result, metrics=metrics, verdict=approval.settled(), not_linked=[*denied, *approval.denied])


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
    with connected(None) as (client, scratch):
        settings = as_config(config)
        return forecast(prepare(client, settings, model_uri, data=data, trust_model=trust_model, scratch=scratch))


def _refuse_used(client: MlflowClient, run_id: str, params: Mapping[str, object]) -> None:
    """Refuse a run of others that holds an audit already, or parameters that an audit's would contradict."""
    data = client.get_run(run_id).data
    taken = [key for key, value in params.items() if data.params.get(key, str(value)) != str(value)]
    if MODEL_TAG in data.tags or taken:
        holds = f"the parameters {name_list(taken)} with other values" if MODEL_TAG not in data.tags else "an audit"
        raise TrackingError(f"run {run_id} holds {holds} already. Begin a run of its own for this audit.")


def _result(plan: Plan, found: Findings, session: RunSession, folder: Folder) -> AuditResult:
    """Gather what was found, with what is drawn and told of it."""
    analysis = plan.used.analysis
    return AuditResult(
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


def _audited(result: AuditResult, plan: Plan, evidence: Evidence, repeats: int) -> Audited:
    """Return the audit as something that a policy can be applied to."""
    table = result.directory / TABLE_FILE
    subject = Subject(
        model=plan.reference.uri,
        run_id=result.run_id,
        experiment_id=result.experiment_id,
        **{name: evidence.params[name] for name in DIGESTS},
        rows=plan.dataset.n_rows,
        repeats=repeats,
        seed=plan.job.seed,
    )
    likeness = Likeness(evidence.data_digest, repeats, plan.used.analysis)
    return Audited(plan.reference, subject, result.summary, result.unit, table, likeness)


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
    files = [result.directory / TABLE_FILE, *write_files(result), config]
    digests = {
        "table_digest": file_digest(result.directory / TABLE_FILE),
        "summary_digest": file_digest(result.directory / SUMMARY_FILE),
    }
    return Evidence(
        summary=result.summary,
        files=files,
        params={key: str(value) for key, value in {**plan.record, "unit": result.unit, **digests}.items()},
        aggregates=aggregates,
        data_digest=str(plan.record["data_digest"]),
        data_source=plan.dataset.source,
        n_rows=plan.dataset.n_rows,
    )
