"""Writing an audit into its run: parameters, metrics, the data set, files."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, LoggedModelInput, Metric, Param
from mlflow.exceptions import MlflowException

from nnperm_mlflow.filenames import MEDIANS_FILE
from nnperm_mlflow.locations import is_uri, without_secrets
from nnperm_mlflow.models.pinning import ModelReference
from nnperm_mlflow.registry.audits import AUDIT, KIND_TAG, MODEL_TAG
from nnperm_mlflow.registry.connection import refused
from nnperm_mlflow.registry.names import metric_key

_MEDIANS_COLUMNS = [
    "perturbation",
    "median",
    "median_low",
    "median_high",
    "mean",
    "q95",
    "changed_share",
    "changed_median",
]
_BATCH = 500  # metrics in one request; MLflow takes 1000
_DIGEST = 36  # characters of a data set's digest that MLflow takes


@dataclass(frozen=True)
class Evidence:
    """What an audit leaves behind.

    Attributes
    ----------
    summary : DataFrame
        A row per perturbation, ordered.
    files : list of Path
        What goes to the root of the run.
    params : mapping of str to str
    aggregates : mapping of str to float
        Numbers about the audit as a whole.
    data_digest : str
        sha256 of the data.
    data_source : str
        Where the data came from.
    n_rows : int
    """

    summary: pd.DataFrame
    files: list[Path]
    params: Mapping[str, str]
    aggregates: Mapping[str, float]
    data_digest: str
    data_source: str
    n_rows: int


def log_evidence(
    client: MlflowClient, run_id: str, reference: ModelReference, evidence: Evidence, logs_metrics: bool = True
) -> list[str]:
    """Write an audit into a run; the model becomes an input of the run, and its metrics are the model's.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    reference : ModelReference
    evidence : Evidence
    logs_metrics : bool
        Whether metrics are logged, too.

    Returns
    -------
    list of str
        What could not be written on the model for want of permission; in the run it stands all the same.
    """
    for file in evidence.files:
        client.log_artifact(run_id, str(file))
    medians = evidence.summary[_MEDIANS_COLUMNS]
    client.log_table(run_id, medians.astype(object).where(medians.notna(), None), MEDIANS_FILE)
    params = [Param(key, str(value)) for key, value in evidence.params.items()]
    client.log_batch(run_id, params=params)
    client.set_tag(run_id, KIND_TAG, AUDIT)
    client.set_tag(run_id, MODEL_TAG, reference.uri)
    client.set_tag(run_id, "nnperm.data_digest", evidence.data_digest)
    dataset = _dataset(evidence)
    context = [InputTag("mlflow.data.context", "audit")]
    inputs = [DatasetInput(dataset, context)]
    metrics = metrics_of(evidence) if logs_metrics else {}
    denied = []
    model_id = reference.model_id
    if model_id:
        try:
            client.log_inputs(run_id, datasets=inputs, models=[LoggedModelInput(model_id)])
            _log_metrics(client, run_id, model_id, dataset, metrics)
        except MlflowException as error:
            denied.append(refused(error, f"the metrics of {model_id}"))
            model_id = None
    if not model_id:
        client.log_inputs(run_id, datasets=inputs)
        _log_metrics(client, run_id, None, dataset, metrics)
    return denied


def metrics_of(evidence: Evidence) -> dict[str, float]:
    """Return an audit's metrics by key, the finite ones; `nnperm/undefined` counts the others."""
    summary = evidence.summary
    drops = {column: column for column in summary.columns if str(column).endswith("_drop")}
    columns = {"median": "median", "mean": "mean", "flipped": "flipped_share", **drops}
    metrics = {
        metric_key(prefix, name): float(value)
        for prefix, column in columns.items()
        if summary[column].notna().any()
        for name, value in zip(summary["perturbation"], summary[column], strict=True)
    }
    metrics |= {f"nnperm/{name}": float(value) for name, value in evidence.aggregates.items()}
    finite = {key: value for key, value in metrics.items() if math.isfinite(value)}
    return {**finite, "nnperm/undefined": float(len(metrics) - len(finite))}


def _log_metrics(
    client: MlflowClient, run_id: str, model_id: str | None, dataset: DatasetEntity, values: Mapping[str, float]
) -> None:
    now = int(time.time() * 1000)
    items = list(values.items())
    for start in range(0, len(items), _BATCH):
        batch = items[start : start + _BATCH]
        client.log_batch(run_id, metrics=[_metric(item, now, model_id, dataset, run_id) for item in batch])


def _metric(item: tuple[str, float], now: int, model_id: str | None, dataset: DatasetEntity, run_id: str) -> Metric:
    key, value = item
    return Metric(
        key,
        value,
        now,
        0,
        model_id=model_id,
        dataset_name=dataset.name,
        dataset_digest=dataset.digest,
        run_id=run_id,
    )


def _dataset(evidence: Evidence) -> DatasetEntity:
    location = without_secrets(evidence.data_source)
    scheme = location.partition(":")[0] if is_uri(location) else "local"
    remote = scheme in ("http", "https")
    return DatasetEntity(
        name=Path(location).name[:200] or "data",
        digest=evidence.data_digest[:_DIGEST],
        source_type="http" if remote else scheme,
        source=json.dumps({"url" if remote else "uri": location}),
        profile=json.dumps({"num_rows": evidence.n_rows, "sha256": evidence.data_digest}),
    )
