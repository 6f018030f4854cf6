"""Writing a comparison of two versions into a run of its own, of which both are inputs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, Metric, Param, RunTag

from nnperm_mlflow.analysis.difference.comparison_result import DIFFERENCE_OF
from nnperm_mlflow.analysis.difference.influences import Statistic
from nnperm_mlflow.basics.audit_files import COMPARISON_TABLE
from nnperm_mlflow.evidence.audit_record import AuditRecord
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.registry._batches import log_batches
from nnperm_mlflow.registry._metric_keys import metric_names
from nnperm_mlflow.registry.tags import COMPARISON, KIND_TAG

_SHOWN_COLUMNS: dict[Statistic, list[str]] = {
    "median": ["median_a", "median_b", "difference", "difference_low", "difference_high"],
    "mean": ["mean_a", "mean_b", "mean_difference", "mean_difference_low", "mean_difference_high"],
}
_SHARED = ("data_digest", "seed")


@dataclass(frozen=True)
class ComparisonEvidence:
    """What a comparison leaves behind.

    Attributes
    ----------
    references : (ModelReference, ModelReference)
        The two versions, `a` and `b`.
    audits : (AuditRecord, AuditRecord)
        What was compared.
    paired : bool
        Whether row by row.
    table : DataFrame
        A row per perturbation, with the columns `perturbation`, `median_a`, `median_b`, `difference`,
        `difference_low` and `difference_high`, and the same of means.
    statistic : "median" or "mean"
        The one that leads.
    aggregates : mapping of str to float
        Numbers about the comparison as a whole.
    files : list of Path
        What goes to the root of the run.
    """

    references: tuple[ModelReference, ModelReference]
    audits: tuple[AuditRecord, AuditRecord]
    paired: bool
    table: pd.DataFrame
    statistic: Statistic
    aggregates: Mapping[str, float]
    files: list[Path]


def log_comparison(client: MlflowClient, run_id: str, evidence: ComparisonEvidence) -> None:
    """Write a comparison into a run; models and data become inputs of it, and no metric becomes a model's own.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    evidence : ComparisonEvidence
    """
    for file in evidence.files:
        client.log_artifact(run_id, str(file))
    client.log_table(run_id, shown_table(evidence.table, evidence.statistic), COMPARISON_TABLE)
    params = [Param(key, value) for key, value in _params(evidence).items()]
    tags = [RunTag(key, value) for key, value in _tags(evidence).items()]
    client.log_batch(run_id, params=params, tags=tags)
    client.log_inputs(run_id, datasets=_datasets(evidence), models=_models(evidence))
    now = int(time.time() * 1000)
    log_batches(client, run_id, [Metric(key, value, now, 0) for key, value in _metrics(evidence)])


def shown_table(table: pd.DataFrame, statistic: Statistic) -> pd.DataFrame:
    """Return what MLflow's table view shows of a comparison, what leads first; what is missing is None."""
    others = [column for name, columns in _SHOWN_COLUMNS.items() if name != statistic for column in columns]
    shown = table[["perturbation", *_SHOWN_COLUMNS[statistic], *others]]
    return shown.astype(object).where(shown.notna(), None)


def _params(evidence: ComparisonEvidence) -> dict[str, str]:
    """Return what identifies a comparison: once where both audits agree, else for each."""
    first, second = evidence.audits
    params = {"model_a": first.model, "model_b": second.model}
    told = {name: (first.param(name), second.param(name)) for name in _SHARED}
    told["rows"] = (str(first.rows), str(second.rows))
    told["repeats"] = (str(first.repeats), str(second.repeats))
    for name, (of_first, of_second) in told.items():
        params |= {name: of_first} if of_first == of_second else {f"{name}_a": of_first, f"{name}_b": of_second}
    return params


def _tags(evidence: ComparisonEvidence) -> dict[str, str]:
    first, second = evidence.audits
    return {
        KIND_TAG: COMPARISON,
        "nnperm.a": first.model,
        "nnperm.b": second.model,
        "nnperm.run_a": first.run_id,
        "nnperm.run_b": second.run_id,
        "nnperm.paired": str(evidence.paired).lower(),
    }


def _models(evidence: ComparisonEvidence) -> list[LoggedModelInput]:
    """Return the versions' logged models, once where both stand on the same."""
    ids = dict.fromkeys(reference.model_id for reference in evidence.references if reference.model_id)
    return [LoggedModelInput(model_id) for model_id in ids]


def _datasets(evidence: ComparisonEvidence) -> list[DatasetInput]:
    """Return the data of both audits, as their runs tell them."""
    told = [audit.dataset for audit in evidence.audits if audit.dataset]
    found = {(dataset["name"], dataset["digest"]): Dataset(**dataset) for dataset in told}
    return [DatasetInput(dataset, [InputTag("mlflow.data.context", "comparison")]) for dataset in found.values()]


def _metrics(evidence: ComparisonEvidence) -> Iterator[tuple[str, float]]:
    """Give the finite metrics by key."""
    names = metric_names(evidence.table["perturbation"])
    for column in DIFFERENCE_OF.values():
        for name, difference in zip(evidence.table["perturbation"], evidence.table[column], strict=True):
            if math.isfinite(difference):
                yield f"{column}/{names[name]}", float(difference)
    for name, value in evidence.aggregates.items():
        if math.isfinite(value):
            yield f"nnperm/{name}", float(value)
