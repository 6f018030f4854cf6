"""Everything that can be wrong is found out before the first row is disturbed, and so is what an audit will cost."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient

from nnperm_mlflow import __version__
from nnperm_mlflow.analysis.deviation import choose_measure
from nnperm_mlflow.analysis.engine import (
    Job,
    audit_first_block,
    begins_together,
    choose_block_rows,
    count_blocks,
    count_outputs,
    probe_rows,
)
from nnperm_mlflow.analysis.noise import SelfNoise, measure_noise
from nnperm_mlflow.analysis.perturbations import plan_perturbations
from nnperm_mlflow.analysis.shuffling import SHUFFLE_BLOCK_ROWS
from nnperm_mlflow.config import AuditConfig, load_config, parse_config
from nnperm_mlflow.errors import ConfigError, DataError, ModelError
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import Dataset, load_dataset
from nnperm_mlflow.models.loading import download_model, load_predictor
from nnperm_mlflow.models.pinning import ModelReference, pin_model
from nnperm_mlflow.registry.artifacts import Fetcher

_RECORDED_PACKAGES = ("mlflow", "numpy", "pandas", "tensorflow", "tensorflow-cpu", "keras", "scikit-learn")
_FEWEST_ROWS = 2
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Plan:
    """An audit that can begin.

    Attributes
    ----------
    reference : ModelReference
    dataset : Dataset
    job : Job
        What is done to every block of rows.
    block_rows : int
        Most rows of a block.
    used : AuditConfig
        The configuration with what was found out filled in: the pinned version, the inputs.
    record : dict
        What identifies the audit: digests, seed, versions.
    noise : SelfNoise
        By how much undisturbed rows differ.
    """

    reference: ModelReference
    dataset: Dataset
    job: Job
    block_rows: int
    used: AuditConfig
    record: dict[str, object]
    noise: SelfNoise

    @property
    def unit(self) -> str:
        """Unit of the prediction, as configured or as the network tells."""
        return self.used.analysis.unit or self.job.predictor.outputs.unit or "unit of the prediction"


@dataclass(frozen=True)
class Forecast:
    """What an audit will take, from its first block.

    Attributes
    ----------
    plan : Plan
    block_calls : int
        Calls of the model, or of a part of it, for a block.
    n_blocks : int
    seconds : float
        Of the whole loop.
    peak_bytes : int or None
        Largest memory of this process, expected: that so far, and what is kept of the rows that exchange values. What
        comes at the end (the statistics, the picture) is not in it.
    """

    plan: Plan
    block_calls: int
    n_blocks: int
    seconds: float
    peak_bytes: int | None


def as_config(config: AuditConfig | Mapping[str, object] | str | Path | None) -> AuditConfig:
    """Read or check a configuration, in whatever form it is given."""
    if isinstance(config, AuditConfig):
        return config
    return load_config(config) if isinstance(config, (str, Path)) else parse_config(config or {})


def prepare(
    client: MlflowClient,
    config: AuditConfig,
    model_uri: str | None,
    *,
    data: Dataset | None,
    trust_model: bool,
    scratch: Path,
) -> Plan:
    """Load model and data, bind them to each other, and check all that is asked for.

    Parameters
    ----------
    client : MlflowClient
    config : AuditConfig
    model_uri : str or None
        Goes before the configuration's model.
    data : Dataset or None
        Rows in memory, instead of the configuration's files.
    trust_model : bool
        Allow code that came with the model to run.
    scratch : Path
        Directory for downloads; must live as long as rows are read.

    Returns
    -------
    Plan

    Raises
    ------
    AuditError
        For whatever would hinder the audit, except what only a row can show.
    """
    asked = model_uri or config.model
    if not asked:
        raise ConfigError("no model is named: give a URI (--model-uri models:/credit/3), or 'model:' in the config.")
    reference = pin_model(client, asked)
    (scratch / "model").mkdir()
    files = download_model(reference, scratch / "model")
    predictor = load_predictor(files, reference, trust_model)
    dataset = data if data is not None else load_dataset(config.data, Fetcher(scratch / "data"))
    if dataset.n_rows < _FEWEST_ROWS:
        raise DataError(f"{dataset.source} holds one row, which has no other to exchange values with; give more.")
    inputs = bind_inputs(predictor.inputs, dataset, config.inputs)
    analysis, uri = config.analysis, reference.uri
    perturbations = plan_perturbations(inputs, uri, analysis)
    fitted = predictor.fitted(inputs.read(probe_rows(dataset.n_rows)), analysis.exact)
    measure = choose_measure(analysis.output, count_outputs(fitted, inputs), fitted.outputs.names)
    noise = measure_noise(fitted, inputs, measure)
    if noise.is_random and not analysis.random:
        raise ModelError(
            f"{uri} draws random numbers: the same rows predicted twice differ by up to {noise.again:.3g}, and "
            "deviations of that size mean nothing. Log it as it shall predict (dropout off), or set "
            "'analysis: {random: true}'."
        )
    used = config.without_secrets().model_copy(update={"model": uri, "inputs": dict(inputs.wanted)})
    record: dict[str, object] = {
        "model": uri,
        "model_digest": files.digest(),
        "data_digest": dataset.digest(),
        "config_digest": used.digest(),
        "seed": analysis.seed,
        "repeats": analysis.repeats,
        "rows": dataset.n_rows,
        **_package_versions(),
    }
    job = Job(fitted, inputs, perturbations, measure, uri, analysis.seed, analysis.repeats)
    return Plan(reference, dataset, job, choose_block_rows(job, analysis.block_rows), used, record, noise)


def forecast(plan: Plan) -> Forecast:
    """Time one block, and tell from it what the audit will take; nothing is logged or kept."""
    job = plan.job
    calls = job.predictor.calls
    started = time.monotonic()
    first = audit_first_block(job, plan.block_rows)
    seconds = (time.monotonic() - started) * plan.dataset.n_rows / len(first.rows)
    n_blocks = count_blocks(plan.dataset.n_rows, plan.block_rows)
    exchanging = min(plan.dataset.n_rows, SHUFFLE_BLOCK_ROWS)
    kept = job.predictor.kept_bytes * exchanging if begins_together(job, exchanging) else 0
    peak = _peak_bytes()
    return Forecast(plan, job.predictor.calls - calls, n_blocks, seconds, None if peak is None else peak + kept)


def _peak_bytes() -> int | None:
    """Return the largest memory of this process so far; Linux's `getrusage` would count that of its parent in."""
    if _STATUS.exists():
        told = [
            line.split()[1] for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:")
        ]
        return 1024 * int(told[0]) if told else None
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _package_versions() -> dict[str, str]:
    found = {"nnperm": __version__, "python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
