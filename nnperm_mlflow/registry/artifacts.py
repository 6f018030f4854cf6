"""Turning a location into a local file: a path, a URL, an artifact of a run; and where the files of a run go."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.uri import add_databricks_profile_info_to_artifact_uri

from nnperm_mlflow.basics.errors import DataError
from nnperm_mlflow.basics.locations import is_uri, without_secrets

_TIMEOUT_SECONDS = (10, 60)  # to connect, and between two pieces of a file
_PIECE_BYTES = 1 << 20


def repository_of(client: MlflowClient, run: Run) -> ArtifactRepository:
    """Return what reads and writes the files of a run; MLflow's client would ask for the run once more."""
    place = add_databricks_profile_info_to_artifact_uri(str(run.info.artifact_uri), client.tracking_uri)
    return get_artifact_repository(place, tracking_uri=client.tracking_uri)


class Fetcher:
    """Fetches files into a folder; each location once.

    Parameters
    ----------
    folder : Path
        Where downloads go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fetched: dict[str, Path] = {}

    def __call__(self, location: str) -> Path:
        """Return the local file behind a path, an http(s) URL, or whatever MLflow downloads (`runs:/`, `s3://`).

        Raises
        ------
        DataError
            If there is no such file, or it cannot be fetched.
        """
        if location not in self._fetched:
            self._fetched[location] = self._fetch(location)
        return self._fetched[location]

    def _fetch(self, location: str) -> Path:
        if not is_uri(location) or location.startswith("file:"):
            path = Path(url2pathname(urlparse(location).path)) if location.startswith("file:") else Path(location)
            if not path.is_file():
                raise DataError(f"there is no file '{path}'.")
            if not os.access(path, os.R_OK):
                raise DataError(f"you may not read the file '{path}'. Ask its owner, or give a copy.")
            return path
        target = self._folder / str(len(self._fetched))
        target.mkdir(parents=True, exist_ok=True)
        try:
            if location.startswith(("http://", "https://")):
                return _download(location, target)
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=str(target)))
        except ImportError as error:
            raise DataError(
                f"'{without_secrets(location)}' cannot be fetched: the module '{error.name}' is missing. Install the "
                "package that brings it."
            ) from error
        except (MlflowException, requests.RequestException, OSError) as error:
            raise DataError(
                f"'{without_secrets(location)}' cannot be fetched ({type(error).__name__}). Is it there, and may you "
                "read it?"
            ) from error


def _download(url: str, folder: Path) -> Path:
    name = Path(unquote(urlparse(url).path)).name or "data"
    with requests.get(url, stream=True, timeout=_TIMEOUT_SECONDS) as answer, (folder / name).open("wb") as file:
        answer.raise_for_status()
        for piece in answer.iter_content(_PIECE_BYTES):
            file.write(piece)
    return folder / name
