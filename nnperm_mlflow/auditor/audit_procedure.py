"""The audit, step by step: a model version and data in; a table, its statistics and a linked MLflow run out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.approval.audit_judgement import try_to_judge
from nnperm_mlflow.approval.baselines import pin_baselines, refuse_itself
from nnperm_mlflow.auditor.cluster_terms import needs_table, refuse_what_no_cluster_does
from nnperm_mlflow.auditor.elsewhere import RowsElsewhere, is_spark_frame, rows_elsewhere, without_files
from nnperm_mlflow.auditor.enough_rows import what_is_open
from nnperm_mlflow.auditor.forecast import Forecast, forecast
from nnperm_mlflow.auditor.measurement import accumulate_effects, expect_rows, measure, profile, with_interactions
from nnperm_mlflow.auditor.memory import AnyRows, Names, Rows, rows_given
from nnperm_mlflow.auditor.outbox import kept_until_published, publish_audit, refuse_overwriting
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.auditor.preparation import prepare, what_was_asked, with_policy
from nnperm_mlflow.auditor.progress import AnyProgress, watched
from nnperm_mlflow.auditor.record_assembly import gather, publication_of, record_of, write_evidence, write_files
from nnperm_mlflow.auditor.resources import check_room
from nnperm_mlflow.auditor.result import AuditResult, Folder
from nnperm_mlflow.auditor.sampling import looks
from nnperm_mlflow.auditor.workspace import Workspace, left_unmade
from nnperm_mlflow.basics.audit_files import TABLE_FILE
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.config.policy import AnyPolicy, Policy
from nnperm_mlflow.inputs.dataset import Dataset
from nnperm_mlflow.registry.connection import connected
from nnperm_mlflow.registry.error_explanation import explained
from nnperm_mlflow.registry.run_session import RunSession
from nnperm_mlflow.registry.tags import AUDIT, KIND_TAG, MODEL_TAG

AnyConfig = AuditConfig | Mapping[str, object] | str | Path | None


def audit(
    asked: AnyConfig = None,
    *,
    model_uri: str | None = None,
    config: AnyConfig = None,
    policy: AnyPolicy = None,
    data: AnyRows | Rows | None = None,
    labels: object = None,
    channels: Names | None = None,
    output: str | Path | None = None,
    trust_model: bool = False,
    isolate: bool = True,
    experiment: str | None = None,
    run_id: str | None = None,
    ends_run: bool = True,
    logs_metrics: bool = True,
    logs_table: bool = True,
    work_dir: str | Path | None = None,
    fresh: bool = False,
    progress: AnyProgress = None,
    engine: str | None = None,
    master: str | None = None,
    remote: str | None = None,
    table: str | Path | None = None,
) -> AuditResult:
    """Measure how far each prediction of a registered model moves when one feature is disturbed.

    Parameters
    ----------
    asked : str, Path, AuditConfig or mapping, optional
        The model (`models:/name/3`, `models:/name@alias`, `models:/m-...`, `runs:/...`, a local directory), or the
        configuration; the other one goes behind its own name.
    model_uri : str, optional
        The model; goes before the configuration's `model`.
    config : AuditConfig, mapping, str or Path, optional
        What to do, or the YAML file that says it.
    policy : Policy, str or Path, optional
        What the version must keep, or the file that says it; goes before the configuration's checks.
    data : DataFrame, dict of arrays, ndarray, (DataFrame, ndarray) or Dataset, optional
        Rows in memory, instead of the files that the configuration names: a table; arrays by the names of the model's
        inputs, as Keras takes them; the array of the only input; a table with an array of histories of shape
        (n_rows, n_steps, n_channels); or what `dataset_from` makes. Not modified.
    labels : array of shape (n_rows,), optional
        The observed outcomes of such rows, for scores.
    channels : dict of str to list of str, optional
        For such arrays, by the name of the input, names for its numbers or channels; those of a DataFrame are its
        columns, others are called `num_input 1`, `temporal_input channel 1`.
    output : str or Path, optional
        Directory for a copy of the files.
    trust_model : bool
        Allow code that came with the model to run.
    isolate : bool
        Run such code in a process of its own, without this one's environment and open files; False runs it here, as for
        classes that this process has registered.
    experiment : str, optional
        Name of the experiment for the run; by default the one that the model was logged in.
    run_id : str, optional
        A run to continue, instead of a new one.
    ends_run : bool
        Whether the run ends with the audit; False leaves that to whoever began it.
    logs_metrics : bool
        Whether metrics are logged; False leaves that to whoever gets them with the result.
    logs_table : bool
        Whether the deviation table goes into the run; False keeps it out of the tracking server, and in `output`.
    work_dir : str or Path, optional
        Where finished parts and unpublished results lie, from which an audit that was interrupted goes on; by default
        this user's cache directory.
    fresh : bool
        Start over, whatever has been computed of the same audit before.
    progress : callable or False, optional
        Is told the rows done and the rows in all, at first with none done; False tells nobody. By default a bar is
        shown at a terminal and in a notebook, and lines are logged elsewhere.
    engine : "spark", optional
        Audit on a cluster of Spark, in its active session or a new one; so are DataFrames of Spark given as `data`, and
        tables of a catalogue (`data: table`).
    master, remote : str, optional
        Where a new session begins: a cluster, as `spark://host:7077`, or Spark Connect, as `sc://host:15002`.
    table : str or Path, optional
        Where the cluster writes the deviation table, in parts: a directory that all of its machines reach.

    Returns
    -------
    AuditResult

    Raises
    ------
    AuditError
        For whatever hinders the audit. The run, if one was begun, is then marked as failed.

    Notes
    -----
    What disturbs the data is `analysis.perturbation.kinds`, which rows exchange values `analysis.perturbation.donors`,
    and what the columns of the summary mean `analysis.statistics.summary.summarize`.
    """
    with (
        connected(run_id if ends_run else None) as (client, scratch),
        RunSession(client, run_id, ends=ends_run) as session,
        explained(),
        ExitStack() as held,
    ):
        session.refuse_used()
        settings, model_uri = what_was_asked(asked, config, model_uri)
        settings = without_files(with_policy(settings, policy), data)
        rows = held.enter_context(
            _rows_of(
                data, labels, channels, settings,
                engine=engine, master=master, remote=remote, table=table, trust_model=trust_model,
            )
        )  # fmt: skip
        workspace = Workspace.at(work_dir)
        folder = Folder.at(output, workspace.results)
        held.enter_context(folder.held())
        plan = prepare(
            client, settings, model_uri, data=rows, trust_model=trust_model, isolate=isolate, scratch=scratch
        )
        held.callback(plan.close)
        if plan.elsewhere is None:
            check_room(next(looks(plan)), folder.path, workspace.root)
        refuse_overwriting(folder.path, plan.record)
        pinned = pin_baselines(client, settings.policy)
        refuse_itself(pinned, plan.reference.uri)
        session.refuse_used({**plan.record, "unit": plan.unit})
        session.start(plan.reference, experiment, tags={KIND_TAG: AUDIT, MODEL_TAG: plan.reference.uri})
        state = workspace.open(plan, fresh)
        calls = plan.job.predictor.calls
        tell = held.enter_context(watched(progress))
        lacks = partial(_open_checks, folder.path) if plan.used.analysis.stops_by_verdict else None
        plan, found = measure(plan, folder.path / TABLE_FILE, tell, state.journal, lacks=lacks)
        profiles = profile(plan, tell, state.journal)
        effects = accumulate_effects(plan, tell, state.journal)
        found = with_interactions(plan, found, tell, state.journal)
        plan.close()  # its memory is free for what is drawn, and for audits of baselines
        calls = plan.job.predictor.calls - calls
        result = gather(plan, found, session, folder, profiles=profiles, effects=effects, calls=calls)
        files = write_files(plan, found, result)
        record = record_of(
            plan, found, folder.path, session.run_id, session.experiment_id, start_time=session.start_time
        )
        publication = publication_of(
            plan,
            record,
            result,
            files,
            ends_run=ends_run,
            logs_metrics=logs_metrics,
            logs_table=logs_table,
            work_dir=workspace.root,
        )
        alike = settings.without_labels().with_policy(Policy()).with_repeats(found.repeats).with_seed(plan.job.seed)
        alike = alike.with_rows(plan.sampled_rows)
        again = partial(
            audit,
            alike,
            data=None if isinstance(rows, RowsElsewhere) else rows,
            trust_model=trust_model,
            isolate=isolate,
            experiment=experiment,
            work_dir=work_dir,
        )
        with kept_until_published(publication, folder, state, settings.policy.applies):
            judgement = try_to_judge(
                client,
                record,
                settings.policy,
                pinned,
                folder=scratch / "baselines",
                audit_now=(lambda uri: again(model_uri=uri).run_id) if logs_table and plan.elsewhere is None else None,
            )
            denied = publish_audit(client, folder.path, publication, record, judgement, begun=session.begun)
            session.leave()
        state.remove()
    return replace(result, verdict=judgement.settled(), not_linked=denied)


def _open_checks(folder: Path, plan: Plan, found: Findings) -> str:
    """Judge a look as if it were the last, and return in words what is open."""
    write_evidence(plan, found, folder)
    return what_is_open(record_of(plan, found, folder, run_id="", experiment_id=""))


@contextmanager
def _rows_of(
    data: Any,  # noqa: ANN401 - what `rows_given` refuses, or a DataFrame of Spark
    labels: object,
    channels: Names | None,
    config: AuditConfig,
    *,
    engine: str | None,
    master: str | None,
    remote: str | None,
    table: str | Path | None,
    trust_model: bool,
) -> Iterator[Rows | Dataset | RowsElsewhere | None]:
    """Give rows in memory, or on a cluster, as they were asked for; a session that is begun ends with the block."""
    on_cluster = engine is not None or is_spark_frame(data) or config.data.table is not None
    if not on_cluster:
        if named := [name for name, it in (("master", master), ("remote", remote), ("table", table)) if it is not None]:
            raise ConfigError(f"'{named[0]}' is about an audit on a cluster: ask for one (--engine spark).")
        yield rows_given(data, labels, channels)
        return
    if engine not in (None, "spark"):
        raise ConfigError(f"there is no engine '{engine}': 'spark' is the only one; without it this process audits.")
    if (data is not None and not is_spark_frame(data)) or labels is not None or channels is not None:
        raise ConfigError(
            "a cluster audits a DataFrame of Spark, or files that the configuration names: give such data, without "
            "labels or channels, or leave out the engine."
        )
    refuse_what_no_cluster_does(config, trust_model=trust_model)
    location = needs_table(table)
    with rows_elsewhere(engine or "spark", data, master=master, remote=remote, table=location) as rows:
        yield rows


def plan_audit(
    asked: AnyConfig = None,
    *,
    model_uri: str | None = None,
    config: AnyConfig = None,
    policy: AnyPolicy = None,
    data: AnyRows | None = None,
    labels: object = None,
    channels: Names | None = None,
    output: str | Path | None = None,
    trust_model: bool = False,
    work_dir: str | Path | None = None,
    engine: str | None = None,
    master: str | None = None,
    remote: str | None = None,
    table: str | Path | None = None,
) -> Forecast:
    """Check an audit and tell what it will take, without a run and without disturbing more than one block of rows.

    Parameters
    ----------
    asked, model_uri, config, policy, data, labels, channels, output, trust_model, work_dir
        As for `audit`. Directories that are not there are made, to see whether they can be written, and removed again.
    engine, master, remote, table
        As for `audit`: the cluster reads all rows once, and disturbs none.

    Returns
    -------
    Forecast

    Raises
    ------
    AuditError
        For what is wrong with model, data, policy or directories, or too little memory or disk.
    """
    given = [] if output is None else [Path(output)]
    with connected(None) as (client, scratch), left_unmade([*given, *Workspace.named(work_dir).folders]):
        settings, model_uri = what_was_asked(asked, config, model_uri)
        settings = without_files(with_policy(settings, policy), data)
        workspace = Workspace.at(work_dir)
        folder = workspace.results if output is None else Folder.at(output).path
        rows_there = _rows_of(
            data, labels, channels, settings,
            engine=engine, master=master, remote=remote, table=table, trust_model=trust_model,
        )  # fmt: skip
        with (
            rows_there as rows,
            closing(prepare(client, settings, model_uri, data=rows, trust_model=trust_model, scratch=scratch)) as plan,
        ):
            if plan.elsewhere is None:
                check_room(next(looks(plan)), folder, workspace.root)
            refuse_overwriting(folder, plan.record)
            refuse_itself(pin_baselines(client, settings.policy), plan.reference.uri)
            return forecast(plan, expect_rows(plan))
