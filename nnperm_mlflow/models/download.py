"""Fetching a model's files, and reading what they say about themselves."""

from __future__ import annotations

from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.documents import read_yaml
from nnperm_mlflow.basics.errors import ConfigError, ModelError, ModelNotFoundError, TrackingError, says_missing
from nnperm_mlflow.basics.locations import without_secrets
from nnperm_mlflow.models._storage import fetch_files, files_uri, refuse_missing
from nnperm_mlflow.models.model_files import ModelFiles, refuse_outside
from nnperm_mlflow.models.model_uri import ModelReference

_MOST_BYTES = 16 << 20  # of an MLmodel file: its signature has a line for each column


def download_model(reference: ModelReference, into: Path) -> ModelFiles:
    """Fetch a model's files and read what they say about themselves.

    Parameters
    ----------
    reference : ModelReference
    into : Path
        An empty directory; nothing is written elsewhere.

    Returns
    -------
    ModelFiles

    Raises
    ------
    ModelNotFoundError
        If there are no files, or no MLmodel among them.
    ModelError
        If the MLmodel file is none, or parts of the model lie outside of its directory.
    """
    path = Path(reference.uri)
    if not reference.uri.startswith(("models:", "runs:")):
        if not path.is_dir():
            raise ModelNotFoundError(f"there is no model directory '{without_secrets(reference.uri)}'.")
    else:
        try:
            path = fetch_files(reference, into)
        except (MlflowException, OSError) as error:
            if _are_there(reference):
                raise TrackingError(
                    f"the files of {reference} are there, and cannot be fetched ({type(error).__name__}). Is the store "
                    "of artifacts running, and may you read there?"
                ) from error
            raise refuse_missing(
                reference, f"the files of {reference} are not there; have they been deleted?"
            ) from error
    if not (path / "MLmodel").exists():
        raise refuse_missing(reference, f"{reference} has no MLmodel file: it is not a model that MLflow logged.")
    try:
        mlmodel = read_yaml(path / "MLmodel", f"the MLmodel file of {reference},", _MOST_BYTES)
    except ConfigError as error:
        raise ModelError(str(error)) from error
    if not isinstance(mlmodel, dict) or not isinstance(mlmodel.get("flavors"), dict):
        raise ModelError(f"the MLmodel file of {reference} names no flavors.")
    files = ModelFiles(path, mlmodel)
    refuse_outside(files, reference)
    return files


def _are_there(reference: ModelReference) -> bool:
    """Tell whether a model has files, as far as its store says."""
    try:
        return bool(mlflow.artifacts.list_artifacts(artifact_uri=files_uri(reference)))
    except MlflowException as error:
        if not says_missing(error):
            raise
        return False
