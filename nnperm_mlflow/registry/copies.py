"""The audits that count for a version: its own, or, where the files are equal, those of the one it is a copy of."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run

from nnperm_mlflow.basics.errors import ModelError
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_uri import ModelReference, pin_model
from nnperm_mlflow.registry.audits import find_audits
from nnperm_mlflow.registry.sightings import Sightings

logger = logging.getLogger(__name__)

_LONGEST_CHAIN = 10  # copies of copies

MODEL_DIGEST = "model_digest"
"""Parameter of a run with the sha256 of the model's files."""


def audits_of(
    client: MlflowClient, uri: str, experiment: str | None = None, *, sightings: Sightings | None = None
) -> list[Run]:
    """Return the finished audits of a pinned model, newest first; of a copy without any, those of its source.

    MLflow's `copy_model_version` gives the copy the tags of its source, and not its audits. These count where the files
    that were audited are, to the byte, those of the copy.

    Parameters
    ----------
    client : MlflowClient
    uri : str
        As `pin_model` returns it.
    experiment : str, optional
        Name of the only experiment whose runs count.
    sightings : Sightings, optional
        As for `find_audits`.
    """
    if found := find_audits(client, uri, experiment, sightings=sightings):
        return found
    digest = None
    for source in sources_of(client, uri):
        runs = find_audits(client, source, experiment, sightings=sightings)
        if runs and digest is None:
            digest = _digest_of(client, uri)
        same = [run for run in runs if run.data.params.get(MODEL_DIGEST) == digest]
        if same:
            logger.info("%s is a copy of %s, with the same files: the audits of that version count", uri, source)
            return same
        if runs:
            logger.warning("%s is a copy of %s, with other files than were audited there: no audit counts", uri, source)
    return []


def sources_of(client: MlflowClient, uri: str) -> Iterator[str]:
    """Give the URIs of the versions that a version is a copy of, the nearest first, up to one that is gone."""
    for _ in range(_LONGEST_CHAIN):
        try:
            source = pin_model(client, uri).source
        except ModelError:
            return
        if source is None:
            return
        yield source
        uri = source


def is_audit_of(client: MlflowClient, audited: str, reference: ModelReference) -> bool:
    """Tell whether an audit of a pinned model is one of a version, or of the version that it is a copy of.

    Whether the files are still the same, whoever relies on it has to look.
    """
    return audited == reference.uri or audited in sources_of(client, reference.uri)


def _digest_of(client: MlflowClient, uri: str) -> str:
    """Return the sha256 of a version's files, of which none is opened here."""
    reference = pin_model(client, uri)
    place = client.get_model_version_download_uri(reference.name, reference.version)
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        return ModelFiles(Path(mlflow.artifacts.download_artifacts(artifact_uri=place, dst_path=scratch)), {}).digest()
