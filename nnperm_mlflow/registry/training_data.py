"""The data that a model's run says it was fitted to."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.locations import is_uri, without_secrets

_CONTEXT = "mlflow.data.context"
_TRAINING = "train"  # as in 'training', which MLflow's autologging says
_FROM_THE_RUNS = ("runs:/", "models:/", "mlflow-artifacts:/")


@dataclass(frozen=True)
class TrainingData:
    """A data set that a run names as its training data.

    Attributes
    ----------
    name : str
        As logged.
    location : str or None
        A file of this machine, or an artifact of the tracking server; None where the run names neither. Whoever may
        write a run chooses what it names, so that nothing else is asked for it.
    """

    name: str
    location: str | None

    def __str__(self) -> str:
        return self.name if self.location is None else without_secrets(self.location)


def training_data_of(client: MlflowClient, run_id: str) -> list[TrainingData]:
    """Return the data sets that a run names as training data; none where the run is gone."""
    try:
        logged = client.get_run(run_id).inputs.dataset_inputs
    except MlflowException:
        return []
    return [
        TrainingData(str(each.dataset.name), _location(each.dataset.source))
        for each in logged
        if any(tag.key == _CONTEXT and _TRAINING in tag.value.lower() for tag in each.tags)
    ]


def _location(source: str) -> str | None:
    """Return the location that the description of a source holds, if it is one that may be read."""
    try:
        told = json.loads(source)
    except ValueError:
        return None
    uri = told.get("uri") if isinstance(told, dict) else None
    if not isinstance(uri, str):
        return None
    return uri if not is_uri(uri) or uri.startswith(("file:", *_FROM_THE_RUNS)) else None
