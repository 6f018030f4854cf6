"""What the registry knows of a version: whether there is one, whether it is ready, whether it was audited."""

from __future__ import annotations

from typing import Literal

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from nnperm_mlflow.listening.versions import Version
from nnperm_mlflow.registry.audits import find_audits

_PAGE = 100


def standing(client: MlflowClient, version: Version) -> Literal["missing", "not ready", "audited", "unaudited"]:
    """Tell where a version stands.

    Parameters
    ----------
    client : MlflowClient
    version : Version

    Returns
    -------
    str
        `missing`, `not ready` (its files are still being written), `audited` or `unaudited`.

    Raises
    ------
    MlflowException
        If the registry cannot be asked.
    """
    try:
        found = client.get_model_version(version.name, version.number)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return "missing"
    if found.status != "READY":
        return "not ready"
    return "audited" if is_audited(client, version) else "unaudited"


def versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Return all versions of a registered model, the newest first; none where there is no such model."""
    found: list[ModelVersion] = []
    token = None
    while True:
        page = client.search_model_versions(_is_named(name), _PAGE, page_token=token)
        found += [version for version in page if version.name == name]
        token = page.token
        if not token:
            return sorted(found, key=lambda version: int(version.version), reverse=True)


def is_audited(client: MlflowClient, version: Version) -> bool:
    """Tell whether an audit of a version has been finished: there is such a run, in whatever experiment."""
    return bool(find_audits(client, version.uri))


def _is_named(name: str) -> str:
    """Return a filter for a name; MLflow knows no escape, so that both kinds of quotes in one take a looser filter."""
    if "'" not in name:
        return f"name = '{name}'"
    if '"' not in name:
        return f'name = "{name}"'
    either = name.replace("'", "_")
    return f"name LIKE '{either}'"
