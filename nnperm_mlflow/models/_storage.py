"""Where the files of a logged model lie, as its tracking store says, and why they may not be there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from nnperm_mlflow.basics.errors import ModelNotFoundError
from nnperm_mlflow.basics.locations import is_uri, without_secrets
from nnperm_mlflow.models.model_uri import ModelReference, registry_behind

_LETTERED = re.compile(r"(file:/*)?[A-Za-z]:[\\/]")  # a drive of Windows, where this may not run


def files_uri(reference: ModelReference) -> str:
    """Return a URI by which MLflow finds a model's files.

    Of a version it is the place that its registry names. Databricks does not let it be read as such, but by the
    version's name.
    """
    if reference.name is None or str(mlflow.get_registry_uri()).startswith(("databricks", "uc:")):
        return reference.uri
    return _download_uri(reference)


def fetch_files(reference: ModelReference, into: Path) -> Path:
    """Fetch all files of a model into a directory, and return where they lie."""
    place = files_uri(reference)
    if place.startswith(("models:", "runs:")):
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=str(into)))
    into.mkdir(parents=True, exist_ok=True)
    repository = get_artifact_repository(place)
    # MLflow lists a directory twice: to see whether anything is there, and to fetch it
    vars(repository)["list_artifacts"] = cache(repository.list_artifacts)
    return Path(repository.download_artifacts("", str(into)))


def _download_uri(reference: ModelReference) -> str:
    """Return where the files of a version lie; MLflow's client would first ask whether its name is that of a prompt."""
    return str(registry_behind(MlflowClient()).get_model_version_download_uri(reference.name, reference.version))


def refuse_missing(reference: ModelReference, what: str) -> ModelNotFoundError:
    """Return the error for a model without files.

    Parameters
    ----------
    reference : ModelReference
    what : str
        What was looked for and not found, for a place that is there.
    """
    place = _place(reference)
    directory = None if place is None else _local_directory(place)
    if directory is None or directory.is_dir():
        return ModelNotFoundError(what)
    return ModelNotFoundError(
        f"the files of {reference} are to lie at '{without_secrets(str(place))}', as the tracking store says, and "
        "there is no such directory on this machine. Have they been deleted? A store that was moved here from another "
        "machine needs its artifacts, too, at the same path."
    )


def _place(reference: ModelReference) -> str | None:
    """Return where a model's files lie; None where no store says it."""
    client = MlflowClient()
    try:
        if reference.model_id is not None:
            return str(client.get_logged_model(reference.model_id).artifact_location)
        if reference.name is not None:
            return _download_uri(reference)
        if reference.run_id is not None:
            return str(client.get_run(reference.run_id).info.artifact_uri)
    except MlflowException:
        return None
    return None


def _local_directory(place: str) -> Path | None:
    """Return the directory that a location means; None where it is none of a machine's own."""
    if place.startswith("file:"):
        return Path(url2pathname(urlsplit(place).path))
    return Path(place) if _LETTERED.match(place) or not is_uri(place) else None
