"""Rows that are audited elsewhere than in this process: what a place for that has to do, and where one is found."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.progress import Progress
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.repeats.stopping_rule import Watched
from nnperm_mlflow.auditor.plan import DataElsewhere
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_uri import ModelReference

_PLACES = {"spark": "nnperm_mlflow.spark.cluster_rows"}
"""For each engine the module with `open_rows`. It stands above this room, and its library is an extra: so it is found
by name, when it is asked for."""


class AuditElsewhere(DataElsewhere, Protocol):
    """Rows that are bound, in a place that audits them."""

    def find(
        self,
        job: Job,
        block_rows: int,
        folder: Path,
        progress: Progress,
        *,
        reference: ModelReference,
        exact: bool,
        order_by: str,
        watched: Watched,
    ) -> Findings:
        """Disturb and predict all rows there, and describe what came out; the folder gets the list of the parts."""


@runtime_checkable
class RowsElsewhere(Protocol):
    """Rows as they were asked for."""

    def bind(self, specs: Sequence[InputSpec], config: AuditConfig, files: ModelFiles) -> AuditElsewhere:
        """Find out what has to be known of all rows, and bind the inputs of a model, of these files, to them."""


def is_spark_frame(data: object) -> bool:
    """Tell whether something is a DataFrame of Spark, without importing it."""
    return type(data).__name__ == "DataFrame" and type(data).__module__.startswith("pyspark.sql")


def without_files(config: AuditConfig, data: object) -> AuditConfig:
    """Return a configuration that names no table, where a DataFrame of Spark is given in its place."""
    if not is_spark_frame(data):
        return config
    table = config.data.model_copy(update={"static": None, "table": None, "version": None})
    return config.model_copy(update={"data": table})


def rows_elsewhere(
    engine: str,
    frame: Any,  # noqa: ANN401 - a DataFrame of Spark, or None
    *,
    master: str | None,
    remote: str | None,
    table: str,
) -> AbstractContextManager[RowsElsewhere]:
    """Return rows on a cluster; a session that is begun for them ends with the block.

    Parameters
    ----------
    engine : "spark"
    frame : DataFrame of Spark, or None
        None for what the configuration names.
    master, remote : str or None
        Where a new session begins.
    table : str
        Where the deviation table goes.
    """
    opened: AbstractContextManager[RowsElsewhere] = importlib.import_module(_PLACES[engine]).open_rows(
        frame, master=master, remote=remote, table=table
    )
    return opened
