"""The audit, step by step: a model version and data in; a table, its statistics and a linked MLflow run out."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nnperm_mlflow import __version__
from nnperm_mlflow.analysis.deviation import choose_measure
from nnperm_mlflow.analysis.engine import (
    Job,
    Progress,
    choose_block_rows,
    count_outputs,
    probe_rows,
    run_blocks,
    tally_and_write,
)
from nnperm_mlflow.analysis.perturbations import plan_perturbations
from nnperm_mlflow.analysis.statistics import Tally, summarize
from nnperm_mlflow.analysis.table import TableWriter, column_names, read_deviations
from nnperm_mlflow.config import AuditConfig, load_config, parse_config
from nnperm_mlflow.errors import ConfigError, DataError
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import Dataset, load_dataset
from nnperm_mlflow.models.loading import download_model, load_predictor
from nnperm_mlflow.models.pinning import ModelReference, pin_model
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.registry.artifacts import Fetcher
from nnperm_mlflow.registry.connection import connect, explained, run_address
from nnperm_mlflow.registry.evidence import Evidence, log_evidence
from nnperm_mlflow.registry.linking import link_version
from nnperm_mlflow.registry.session import RunSession
from nnperm_mlflow.report.boxplot import boxplot_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

TABLE_FILE, SUMMARY_FILE, BOXPLOT_FILE, CONFIG_FILE = "deviations.parquet", "summary.csv", "boxplot.png", "config.yaml"
_RECORDED_PACKAGES = ("mlflow", "numpy", "pandas", "tensorflow", "tensorflow-cpu", "keras", "scikit-learn")
_LOG_EVERY_SECONDS = 10.0
_BOXPLOT_DPI = 110
_FEWEST_ROWS = 2


@dataclass(frozen=True)
class AuditResult:
    """What an audit found.

    Attributes
    ----------
    model : ModelReference
        The pinned version.
    run_id, experiment_id : str
        The run that holds everything.
    address : str or None
        The run's page; None where the tracking store is no server.
    summary : DataFrame
        A row per perturbation, ordered by median deviation, largest first; see `analysis.statistics.summarize`.
    directory : Path
        Where the files lie: the deviation table, the summary, the boxplot, the configuration as used.
    unit : str
        Unit of prediction and deviation.
    subtitle : str
        What was audited, on how many rows.
    not_linked : list of str
        What could not be written in the registry for want of permission.
    """

    model: ModelReference
    run_id: str
    experiment_id: str
    address: str | None
    summary: pd.DataFrame
    directory: Path
    unit: str
    subtitle: str
    not_linked: list[str] = field(default_factory=list)
    _keep: object = None  # a temporary directory, which lives as long as the result

    @property
    def table(self) -> pd.DataFrame:
        """The deviation table: one row per observation and repeat, one float32 column per perturbation."""
        return pd.read_parquet(self.directory / TABLE_FILE)

    @property
    def figure(self) -> Figure:
        """The boxplot, drawn anew."""
        return boxplot_figure(self.summary, self.subtitle, self.unit)


def audit(
    config: AuditConfig | Mapping[str, object] | str | Path | None = None,
    *,
    model_uri: str | None = None,
    data: Dataset | None = None,
    output: str | Path | None = None,
    trust_model: bool = False,
    experiment: str | None = None,
    run_id: str | None = None,
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
        A run to continue, instead of a new one; it is ended with the audit.
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
    config = _as_config(config)
    uri = model_uri or config.model
    if not uri:
        raise ConfigError("no model is named: give a URI (--model-uri models:/credit/3), or 'model:' in the config.")
    client = connect(run_id)
    with ExitStack() as stack:
        stack.enter_context(explained())
        session = stack.enter_context(RunSession(client, run_id))
        scratch = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        reference = pin_model(client, uri)
        model = _load_model(reference, Path(scratch), trust_model)
        dataset = data if data is not None else load_dataset(config.data, Fetcher(Path(scratch) / "data"))
        plan = _plan(config, model, dataset)
        session.start(reference, experiment)
        files = _Files.at(output)
        summary, tally = _measure(plan, files, progress or _log_progress())
        result = AuditResult(
            model=reference,
            run_id=session.run_id,
            experiment_id=session.experiment_id,
            address=run_address(session.experiment_id, session.run_id),
            summary=summary,
            directory=files.directory,
            unit=config.analysis.unit or model.predictor.outputs.unit or "unit of the prediction",
            subtitle=f"{reference.uri} on {dataset.n_rows:,} rows of {Path(dataset.source).name}",
            _keep=files,
        )
        log_evidence(client, session.run_id, reference, _evidence(result, plan, tally))
        denied = link_version(client, reference, session.run_id, session.experiment_id, summary)
    return replace(result, not_linked=denied)


@dataclass(frozen=True)
class _Model:
    reference: ModelReference
    predictor: Predictor
    digest: str


@dataclass(frozen=True)
class _Plan:
    job: Job
    dataset: Dataset
    block_rows: int
    used: AuditConfig
    record: dict[str, object]


@dataclass(frozen=True)
class _Files:
    directory: Path
    temporary: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def at(cls, output: str | Path | None) -> _Files:
        """Make the directory asked for, or a temporary one that lives as long as this object."""
        if output is None:
            temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            return cls(Path(temporary.name), temporary)
        try:
            Path(output).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"the output directory '{output}' cannot be made: {error.strerror}.") from error
        return cls(Path(output))


def _as_config(config: AuditConfig | Mapping[str, object] | str | Path | None) -> AuditConfig:
    if isinstance(config, AuditConfig):
        return config
    return load_config(config) if isinstance(config, (str, Path)) else parse_config(config or {})


def _load_model(reference: ModelReference, scratch: Path, trust_model: bool) -> _Model:
    folder = scratch / "model"
    folder.mkdir()
    files = download_model(reference, folder)
    return _Model(reference, load_predictor(files, reference, trust_model), files.digest())


def _plan(config: AuditConfig, model: _Model, dataset: Dataset) -> _Plan:
    """Check everything that can be wrong before the first row is disturbed."""
    if dataset.n_rows < _FEWEST_ROWS:
        raise DataError(f"{dataset.source} holds one row, which has no other to exchange values with; give more.")
    inputs = bind_inputs(model.predictor.inputs, dataset, config.inputs)
    uri, analysis = model.reference.uri, config.analysis
    perturbations = plan_perturbations(inputs, uri, analysis)
    predictor = model.predictor.fitted(inputs.read(probe_rows(dataset.n_rows)))
    outputs = count_outputs(predictor, inputs)
    measure = choose_measure(analysis.output, outputs, model.predictor.outputs.names)
    used = config.without_secrets().model_copy(update={"model": uri, "inputs": dict(inputs.wanted)})
    record: dict[str, object] = {
        "model": uri,
        "model_digest": model.digest,
        "data_digest": dataset.digest(),
        "config_digest": used.digest(),
        "seed": analysis.seed,
        "repeats": analysis.repeats,
        "rows": dataset.n_rows,
        **_package_versions(),
    }
    job = Job(predictor, inputs, perturbations, measure, uri, analysis.seed, analysis.repeats)
    return _Plan(job, dataset, choose_block_rows(inputs, analysis.block_rows), used, record)


def _measure(plan: _Plan, files: _Files, progress: Progress) -> tuple[pd.DataFrame, Tally]:
    """Disturb, predict, and describe what came out."""
    job, table = plan.job, files.directory / TABLE_FILE
    logger.info(
        "%s: %s rows, %d features, %d perturbations, at most %s rows a model call",
        job.model, f"{plan.dataset.n_rows:,}", len(job.inputs.features), len(job.perturbations), f"{plan.block_rows:,}",
    )  # fmt: skip
    names = job.measure.baseline_names
    with TableWriter(table, job.perturbations, names, plan.dataset.row_ids, plan.record) as writer:
        tally = tally_and_write(run_blocks(job, plan.block_rows), writer.write, job, progress)
    columns = column_names(job.perturbations, names)
    summary = summarize(job.perturbations, tally, lambda number: read_deviations(table, columns[number]))
    unsteady = float(tally.unmoved_largest.max())
    if unsteady > 0:
        logger.warning(
            "rows whose value did not change moved by up to %.3g: the model mixes rows or draws random numbers, and "
            "deviations of that size mean nothing",
            unsteady,
        )
    return summary, tally


def _evidence(result: AuditResult, plan: _Plan, tally: Tally) -> Evidence:
    """Write the files beside the table and gather what goes into the run."""
    folder = result.directory
    result.summary.to_csv(folder / SUMMARY_FILE, index=False)
    result.figure.savefig(folder / BOXPLOT_FILE, dpi=_BOXPLOT_DPI)
    (folder / CONFIG_FILE).write_text(plan.used.to_yaml(), encoding="utf-8")
    aggregates = {
        "rows": plan.dataset.n_rows,
        "features": len(plan.job.inputs.features),
        "perturbations": len(plan.job.perturbations),
        "largest_median": float(result.summary["median"].max()),
        "reuse": float(plan.job.predictor.reuses),
        "unmoved_largest": float(tally.unmoved_largest.max()),
    }
    return Evidence(
        summary=result.summary,
        files=[folder / name for name in (TABLE_FILE, SUMMARY_FILE, BOXPLOT_FILE, CONFIG_FILE)],
        params={key: str(value) for key, value in plan.record.items()},
        aggregates=aggregates,
        data_digest=str(plan.record["data_digest"]),
        data_source=plan.dataset.source,
        n_rows=plan.dataset.n_rows,
    )


def _package_versions() -> dict[str, str]:
    found = {"nnperm": __version__, "python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


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
