"""A worked example: a trained network with the rows to audit it on, registered and audited as a user would."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow import MlflowClient
from mlflow.models.model import ModelInfo
from sklearn.metrics import roc_auc_score

import nnperm_mlflow
from nnperm_mlflow.registry.connection import connect
from nnperm_mlflow.registry.error_explanation import explained

logger = logging.getLogger(__name__)

EXPERIMENT = "nnperm-demo"
Inputs = Mapping[str, np.ndarray]


class TrainedNetwork(Protocol):
    """A network of whatever framework, ready to be logged."""

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Return chances of shape (n_rows, 1)."""

    def log(self, name: str, inputs: Inputs, predicted: np.ndarray) -> ModelInfo:
        """Log the network in the active run, with the signature of these rows, and register it under its name."""


@dataclass(frozen=True)
class Example:
    """A network and rows that it was not trained on.

    Attributes
    ----------
    name : str
        Name of the registered model, of the files and of the configuration.
    network : TrainedNetwork
    table : DataFrame of shape (n_rows, ...)
        The static table.
    arrays : mapping of str to ndarray
        Temporal arrays by file name.
    inputs : mapping of str to ndarray
        The same rows as the network takes them.
    labels : ndarray of shape (n_rows,)
        Observed outcomes, 0 or 1.
    """

    name: str
    network: TrainedNetwork
    table: pd.DataFrame
    arrays: Mapping[str, np.ndarray]
    inputs: Inputs
    labels: np.ndarray


def run_example(example: Example, folder: Path, run_id: str | None) -> nnperm_mlflow.AuditResult:
    """Write an example's data, register its network and audit it.

    Parameters
    ----------
    example : Example
    folder : Path
        Where data, configuration and files of the audit go; it exists.
    run_id : str or None
        A run to write the audit to, as `mlflow run` makes one.

    Returns
    -------
    AuditResult
    """
    with explained():
        config = write_files(example, folder)
        version = register(example, folder, run_id)
    return nnperm_mlflow.audit(
        config,
        model_uri=f"models:/{example.name}/{version}",
        output=folder / f"{example.name}-audit",
        run_id=run_id,
    )


def write_files(example: Example, folder: Path) -> Path:
    """Write the table, the arrays, and the example's configuration with the paths of these; return the latter."""
    example.table.to_parquet(folder / f"{example.name}.parquet")
    for name, array in example.arrays.items():
        np.save(folder / name, array)
    config = yaml.safe_load(_shipped_config(example.name).read_text(encoding="utf-8"))
    config["data"]["static"] = Path(config["data"]["static"]).name
    for series in config["data"].get("temporal", {}).values():
        if "file" in series:
            series["file"] = Path(series["file"]).name
    path = folder / f"{example.name}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def register(example: Example, folder: Path, run_id: str | None) -> str:
    """Log the network with its area under the curve in a training run, register it, and return its version."""
    client = connect(run_id)
    experiment_id = client.get_run(run_id).info.experiment_id if run_id else _experiment(client, folder)
    predicted = example.network.predict(example.inputs)
    area = float(roc_auc_score(example.labels, predicted[:, 0]))
    training = client.create_run(experiment_id, run_name=f"training of {example.name}")
    mlflow.set_experiment(experiment_id=experiment_id)
    with mlflow.start_run(run_id=training.info.run_id):
        mlflow.log_metric("auc", area)
        logged = example.network.log(example.name, example.inputs, predicted)
    logger.info("%s: registered as version %s, AUC %.3f", example.name, logged.registered_model_version, area)
    return str(logged.registered_model_version)


def _experiment(client: MlflowClient, folder: Path) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    on_disk = str(mlflow.get_tracking_uri()).startswith("sqlite:")
    location = (folder.resolve() / "mlartifacts").as_uri() if on_disk else None
    return str(client.create_experiment(EXPERIMENT, artifact_location=location))


def _shipped_config(name: str) -> Path:
    """Return an example's configuration: beside the package in a checkout, inside it where it was installed."""
    package = Path(__file__).parents[1]
    places = [package.parent / "configs", package / "configs"]
    return next(place / f"{name}.yaml" for place in places if (place / f"{name}.yaml").is_file())
