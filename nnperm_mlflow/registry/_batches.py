"""Metrics, written in as few requests as the server takes them."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric

_AT_ONCE = 500  # MLflow takes 1000


def log_metrics(client: MlflowClient, run_id: str, metrics: Sequence[Metric]) -> None:
    """Write metrics into a run.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    metrics : sequence of Metric
    """
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + _AT_ONCE])
