"""An audit of what `mlflow.models.evaluate` hands over: the logged model behind a pyfunc, and rows in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.models.evaluation import EvaluationArtifact, EvaluationDataset, EvaluationResult
from mlflow.models.evaluation.artifacts import (
    CsvEvaluationArtifact,
    ImageEvaluationArtifact,
    JsonEvaluationArtifact,
    ParquetEvaluationArtifact,
    TextEvaluationArtifact,
)
from mlflow.pyfunc import FLAVOR_NAME, MODEL_CONFIG, PyFuncModel
from pydantic import Field

from nnperm_mlflow.auditor.audit_procedure import audit
from nnperm_mlflow.auditor.memory import Rows, as_labels
from nnperm_mlflow.auditor.preparation import as_config
from nnperm_mlflow.auditor.result import AuditResult
from nnperm_mlflow.basics.documents import Strict, validated
from nnperm_mlflow.basics.errors import ConfigError, DataError, ModelError, name_list
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.config.data_config import Names
from nnperm_mlflow.inputs.dataset import Dataset, load_dataset
from nnperm_mlflow.inputs.specs import Fetch
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from nnperm_mlflow.registry.artifacts import Fetcher
from nnperm_mlflow.registry.connection import connected

_UNNAMED_TARGETS = "targets"
_NETWORKS = {"keras", "tensorflow"}


class EvaluatorConfig(Strict):
    """What stands under `evaluator_config={"nnperm": ...}`.

    Attributes
    ----------
    config : AuditConfig, mapping, str or Path, optional
        What to do, or the YAML file that says it, as for `audit`.
    channels : dict of str to list of str
        For columns whose cells are arrays the names of the channels, or of the numbers.
    """

    config: Any = None
    channels: dict[str, Annotated[Names, Field(min_length=1)]] = Field(default_factory=dict)


class StoredTable(ParquetEvaluationArtifact):  # type: ignore[misc]  # MLflow is not typed
    """A table that stays in its run until it is asked for."""

    def _save(self, output_artifact_path: str) -> None:
        self.content.to_parquet(output_artifact_path)


def audit_evaluation(
    model: Any,  # noqa: ANN401 - whatever MLflow made of what it was given
    dataset: EvaluationDataset,
    *,
    run_id: str,
    model_id: str | None,
    settings: Mapping[str, Any],
    predictions: str | None = None,
) -> EvaluationResult:
    """Audit the logged model behind a pyfunc on the rows that it is evaluated on.

    Parameters
    ----------
    model : mlflow.pyfunc.PyFuncModel
        It tells which logged model is meant. That one's own files are audited, code that came with them included:
        whoever calls `evaluate` has run it in this process already, where it runs again. A model that MLflow serves
        from an environment of its own has not been run here, and what is nothing but code is then refused.
    dataset : EvaluationDataset
        Rows and targets; where the configuration names a static table, that table is audited instead.
    run_id : str
        The evaluation's run; it goes on.
    model_id : str or None
        The logged model on which MLflow logs the metrics of the result; where there is none, the audit logs them.
    settings : mapping
        See `EvaluatorConfig`.
    predictions : str, optional
        Of several outputs the one to follow, as the signature calls it, unless the configuration names one.

    Returns
    -------
    EvaluationResult
        The audit's metrics by key, and the files in the run by name.

    Raises
    ------
    AuditError
        If the model is not a logged one, the metrics would stand on another, or for whatever hinders the audit.
    """
    asked = validated(EvaluatorConfig, settings, "evaluator_config of 'nnperm'")
    config = as_config(asked.config)
    with connected() as (client, scratch):
        reference = _find_model(client, model, config.model, model_id)
        config = _follow(config, predictions, model)
        rows = _read_rows(config, dataset, asked.channels, model, Fetcher(scratch))
        result = audit(
            config,
            model_uri=reference.uri,
            data=rows,
            trust_model=type(model) is PyFuncModel,
            isolate=False,
            run_id=run_id,
            ends_run=False,
            logs_metrics=model_id is None,
        )
        return EvaluationResult(dict(result.metrics), _artifacts(client, result), run_id)


def _find_model(client: MlflowClient, model: Any, said: str | None, model_id: str | None) -> ModelReference:  # noqa: ANN401
    """Return the logged model behind a pyfunc, pinned; `said` may name the version, where several stand on it."""
    known = _known_uri(model)
    if said is None and known is None:
        raise ModelError(
            "the model was loaded from a directory that no tracking store knows. Name it: "
            "evaluator_config={'nnperm': {'config': {'model': '<directory>'}}}, or log the model."
        )
    reference = pin_model(client, said or str(known))
    logged = mlflow.models.get_model_info(reference.uri)
    if logged.model_uuid != model.metadata.model_uuid:
        given = known or "one from a directory"
        raise ConfigError(f"evaluate() was given another model ({given}) than 'config' names ({reference}).")
    if (logged.flavors[FLAVOR_NAME].get(MODEL_CONFIG) or {}) != (model.model_config or {}):
        raise ConfigError(
            "evaluate() was given a model_config, with which the model predicts otherwise than it was logged. Log it "
            "with that: log_model(..., model_config=...)."
        )
    if model_id not in (None, reference.model_id):
        raise ConfigError(
            f"MLflow would log the metrics of {reference} on another logged model, {model_id}. Leave model_id= out of "
            "evaluate(), and call mlflow.clear_active_model() where a model was set active."
        )
    return reference


def _known_uri(model: Any) -> str | None:  # noqa: ANN401
    """Return which logged model a pyfunc was loaded from; None where it came from a directory."""
    metadata = getattr(model, "metadata", None)
    if metadata is None:
        given = "no model" if model is None else "a function or an endpoint"
        raise ModelError(
            f"an audit is of a logged model, to which it is linked, but evaluate() was given {given}. Log it with a "
            "signature (mlflow.pyfunc.log_model takes functions, too) and give the URI of that."
        )
    if metadata.model_id:
        return f"models:/{metadata.model_id}"
    return f"runs:/{metadata.run_id}/{metadata.artifact_path}" if metadata.run_id else None


def _follow(config: AuditConfig, predictions: str | None, model: PyFuncModel) -> AuditConfig:
    """Return a configuration that follows the output called `predictions`, where it names none itself."""
    if predictions is None or config.analysis.output is not None:
        return config
    schema = model.metadata.get_output_schema()
    outputs = schema.input_names() if schema else []
    if predictions not in outputs:
        raise ConfigError(
            f"predictions: '{predictions}' is no output that the model's signature names, which are "
            f"{name_list(outputs)}. Say under 'analysis: output:' which one to follow."
        )
    if len(outputs) == 1:
        return config
    # a network calls its outputs as its signature does, in an order of its own, and some may be of several numbers
    is_network = not _NETWORKS.isdisjoint(model.metadata.flavors)
    by_place = not is_network and schema.is_tensor_spec()
    output = outputs.index(predictions) if by_place else predictions
    analysis = config.analysis.model_copy(update={"output": output})
    return config.model_copy(update={"analysis": analysis})


def _read_rows(
    config: AuditConfig,
    dataset: EvaluationDataset,
    channels: Mapping[str, list[str]],
    model: PyFuncModel,
    fetch: Fetch,
) -> Rows | Dataset:
    """Return the rows to audit."""
    targets, label = dataset.targets_name, config.data.label
    if targets and label and targets != label:
        raise ConfigError(f"targets is '{targets}' and 'data: label' is '{label}'. Name one of them, or one for both.")
    if config.data.static is not None:
        schema = model.metadata.get_input_schema()
        taken = [*(schema.input_names() if schema else []), *_named_in(config)]
        return _rows_of_files(config, len(dataset.features_data), channels, fetch, taken)
    labels = as_labels(np.asarray(dataset.labels_data), targets or _UNNAMED_TARGETS) if dataset.has_targets else None
    return Rows(_table(dataset), labels, channels, dataset.path or dataset.name)


def _table(dataset: EvaluationDataset) -> pd.DataFrame:
    features = dataset.features_data
    return features if isinstance(features, pd.DataFrame) else pd.DataFrame(features, columns=dataset.feature_names)


def _named_in(config: AuditConfig) -> list[str]:
    """Return the columns that a configuration names for inputs."""
    return [name for target in config.inputs.values() for name in ([target] if isinstance(target, str) else target)]


def _rows_of_files(
    config: AuditConfig, n_rows: int, channels: Mapping[str, list[str]], fetch: Fetch, taken: list[str]
) -> Dataset:
    """Return the rows of the files that a configuration names; they must be those of the evaluation."""
    if channels:
        raise ConfigError(
            "'channels' names arrays in the cells of the data given to evaluate(), but the rows are those of the files "
            "that 'config' names. Leave out 'channels', or 'data: static'."
        )
    rows = load_dataset(config.data, fetch, as_written=taken)
    if rows.n_rows != n_rows:
        raise DataError(
            f"'{rows.source}', which the configuration names, has {rows.n_rows} rows, but evaluate() was given "
            f"{n_rows}: the metrics would stand beside data on which they were not made. Give it the same rows."
        )
    return rows


_KINDS = {
    ".csv": CsvEvaluationArtifact,
    ".json": JsonEvaluationArtifact,
    ".parquet": StoredTable,
    ".png": ImageEvaluationArtifact,
}


def _artifacts(client: MlflowClient, result: AuditResult) -> dict[str, EvaluationArtifact]:
    """Return the audit's files by name, with what they hold; the deviation table is read when it is asked for."""
    written = {file.path for file in client.list_artifacts(result.run_id)}
    artifacts = {}
    for file in sorted(result.directory.iterdir()):
        if file.is_file() and file.name in written:
            kind = _KINDS.get(file.suffix, TextEvaluationArtifact)
            artifacts[file.name] = kind(f"runs:/{result.run_id}/{file.name}")
            if kind is not StoredTable:  # what is not loaded is not saved with the result
                artifacts[file.name]._load(str(file))
    return artifacts
