"""Where the files of a logged model lie, as its tracking store says, and why they may not be there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.errors import ModelNotFoundError
from nnperm_mlflow.basics.locations import is_uri, without_secrets
from nnperm_mlflow.models.model_uri import ModelReference

_LETTERED = re.compile(r"(file:/*)?[A-Za-z]:[\\/]")  # a drive of Windows, where this may not run


def files_uri(reference: ModelReference) -> str:
    """Return a URI by which MLflow finds a model's files; in its own, a name ends where a query might begin."""
    if reference.name is None or "?" not in reference.name:
        return reference.uri
    if reference.model_id is not None:
        return f"models:/{reference.model_id}"
    return str(MlflowClient().get_model_version_download_uri(reference.name, str(reference.version)))


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
            return str(client.get_model_version_download_uri(reference.name, str(reference.version)))
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
