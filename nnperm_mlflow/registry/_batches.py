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
    last_tags: Sequence[RunTag] = (),
) -> None:
    """Write into a run.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    metrics : sequence of Metric
    params : sequence of Param
        At most 100, which go with the first metrics.
    tags, last_tags : sequence of RunTag
        At most 100 together; the ones go with the first metrics, too, the others with the last: MLflow's stores write
        the tags of a request behind all else of it.
    """
    starts = range(0, max(1, len(metrics)), _AT_ONCE)
    for start in starts:
        now = [*tags, *last_tags] if start == starts[-1] else tags
        client.log_batch(run_id, metrics[start : start + _AT_ONCE], params, now)
        params, tags = (), ()
