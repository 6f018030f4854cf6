"""Metrics, parameters and tags of a run, written in as few requests as the server takes them."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

_AT_ONCE = 500  # MLflow takes 1000 things, of which 100 parameters and 100 tags


def log_batches(
    client: MlflowClient,
    run_id: str,
    metrics: Sequence[Metric],
    *,
    params: Sequence[Param] = (),
    tags: Sequence[RunTag] = (),
) -> None:
    """Write into a run.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    metrics : sequence of Metric
    params : sequence of Param
        At most 100, which go with the first metrics.
    tags : sequence of RunTag
        At most 100, which go with them, too.
    """
    for start in range(0, max(1, len(metrics)), _AT_ONCE):
        client.log_batch(run_id, metrics[start : start + _AT_ONCE], params, tags)
        params, tags = (), ()
