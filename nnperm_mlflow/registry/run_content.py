"""Writing an audit into its run: files, parameters, tags, the data set, metrics. Doing it twice changes nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset as DatasetEntity
from mlflow.entities import DatasetInput, InputTag, LoggedModelInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.audit_files import MEDIANS_FILE
from nnperm_mlflow.basics.locations import is_uri, without_secrets
from nnperm_mlflow.registry._batches import log_batches
from nnperm_mlflow.registry._metric_keys import METRIC_PREFIXES, metric_names
from nnperm_mlflow.registry.artifacts import repository_of
from nnperm_mlflow.registry.error_explanation import refused
from nnperm_mlflow.registry.publication import RunContent

MEDIANS_COLUMNS = [
    "perturbation", "median", "median_low", "median_high", "mean", "mean_low", "mean_high", "q95", "changed_share",
    "changed_median",
]  # fmt: skip
"""Of the summary, what MLflow's table view compares."""

POLICY_PARAM = "policy_name"
"""Parameter of a run with the name of the policy that the audit was asked to apply, which nobody can change later."""

RESULT_PARAM = "policy_result"
"""Parameter of a run with what came of that, see `verdict.attempt`."""

LEADING_PARAMS = ("1st feature", "2nd feature", "3rd feature")
"""Parameters of a run with the features that lead; MLflow compares runs by the first parameters that differ."""

_LOGGED_TABLES = json.dumps([{"path": MEDIANS_FILE, "type": "table"}])  # tells MLflow's UI which files are tables
_DIGEST = 36  # characters of a data set's digest that MLflow takes


def log_files(client: MlflowClient, run: Run, folder: Path, names: Sequence[str]) -> None:
    """Write files that lie in a folder into the root of a run."""
    repository = repository_of(client, run)
    for name in names:
        repository.log_artifact(str(folder / name))


def log_run_content(
    client: MlflowClient, run: Run, model_id: str | None, content: RunContent, last_tags: Mapping[str, str]
) -> list[str]:
    """Write all of an audit into a run but files; the model becomes an input of it, and its metrics are the model's.

    Parameters
    ----------
    client : MlflowClient
    run : Run
        As it is before.
    model_id : str or None
        Of MLflow's logged model.
    content : RunContent
    last_tags : mapping of str to str
        Tags that come behind all else.

    Returns
    -------
    list of str
        What could not be written on the model for want of permission; in the run it stands all the same.
    """
    denied = []
    if model_id:
        try:
            _log_numbers(client, run, model_id, content, last_tags)
        except MlflowException as error:
            denied.append(refused(error, f"the metrics of {model_id}"))
    if denied or not model_id:
        _log_numbers(client, run, None, content, last_tags)
    return denied


def _log_numbers(
    client: MlflowClient, run: Run, model_id: str | None, content: RunContent, last_tags: Mapping[str, str]
) -> None:
    """Write the data set, parameters, tags, and those metrics that the run did not have before."""
    dataset = DatasetEntity(**content.dataset)
    datasets = [DatasetInput(dataset, [InputTag("mlflow.data.context", "audit")])]
    models = [LoggedModelInput(model_id)] if model_id else []
    run_id, there = str(run.info.run_id), run.data.metrics
    client.log_inputs(run_id, datasets=datasets, models=models)
    new = [item for item in content.metrics.items() if there.get(item[0]) != item[1]]
    tags = {**content.tags, **({"mlflow.loggedArtifacts": _LOGGED_TABLES} if MEDIANS_FILE in content.files else {})}
    log_batches(
        client,
        run_id,
        metrics=[_metric(item, content.at, model_id, dataset, run_id) for item in new],
        params=[Param(key, value) for key, value in content.params.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
        last_tags=[RunTag(key, value) for key, value in last_tags.items()],
    )


def write_medians(summary: pd.DataFrame, path: Path) -> None:
    """Write what MLflow's table view compares over runs, as its `log_table` would."""
    medians = summary[MEDIANS_COLUMNS]
    medians.astype(object).where(medians.notna(), None).to_json(path, orient="split", index=False)


def metrics_of(
    summary: pd.DataFrame, aggregates: Mapping[str, float], own_scores: Mapping[str, float]
) -> dict[str, float]:
    """Return an audit's metrics by key, the finite ones; `nnperm/undefined` counts the others.

    Parameters
    ----------
    summary : DataFrame
        A row per perturbation.
    aggregates : mapping of str to float
        Numbers about the audit as a whole.
    own_scores : mapping of str to float
        Of the undisturbed predictions, for `score/<name>`.
    """
    drops = {column: column for column in summary.columns if str(column).endswith("_drop")}
    columns = {**{prefix: column for column, prefix in METRIC_PREFIXES.items()}, **drops}
    names = metric_names(summary["perturbation"])
    metrics = {
        f"{prefix}/{names[name]}": float(value)
        for prefix, column in columns.items()
        if summary[column].notna().any()
        for name, value in zip(summary["perturbation"], summary[column], strict=True)
    }
    metrics |= {f"score/{name}": score for name, score in own_scores.items()}
    metrics |= {f"nnperm/{name}": float(value) for name, value in aggregates.items()}
    finite = {key: value for key, value in metrics.items() if math.isfinite(value)}
    return {**finite, "nnperm/undefined": float(len(metrics) - len(finite))}


def describe_names(table: Mapping[str, str], summary: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return for each perturbation what it is called where: its metric keys and its column in the table.

    Parameters
    ----------
    table : mapping of str to str
        The deviation table's column for each perturbation.
    summary : DataFrame
        A row per perturbation.
    """
    metrics = metric_names(summary["perturbation"])
    return {
        str(row.perturbation): {
            "metric": metrics[row.perturbation],
            "column": table[row.perturbation],
            "feature": row.feature,
            "way": row.way,
            "value": row.value if row.way == "set" else None,
        }
        for row in summary[["perturbation", "feature", "way", "value"]].itertuples(index=False)
    }


def describe_dataset(location: str, digest: str, n_rows: int) -> dict[str, str]:
    """Return the data of an audit as MLflow describes a data set, without secrets of their location.

    Parameters
    ----------
    location : str
        Where they came from.
    digest : str
        Their sha256.
    n_rows : int
    """
    location = without_secrets(location)
    scheme = location.partition(":")[0] if is_uri(location) else "local"
    remote = scheme in ("http", "https")
    return {
        "name": Path(location).name[:200] or "data",
        "digest": digest[:_DIGEST],
        "source_type": "http" if remote else scheme,
        "source": json.dumps({"url" if remote else "uri": location}),
        "profile": json.dumps({"num_rows": n_rows, "sha256": digest}),
    }


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
