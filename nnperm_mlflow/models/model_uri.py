"""Which model a URI means: resolved once, to a version number that no moving alias can change any more."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.errors import ModelError, ModelNotFoundError, did_you_mean, name_list, says_missing
from nnperm_mlflow.basics.locations import is_uri, without_secrets
from nnperm_mlflow.basics.text import named

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+|latest)|@(?P<alias>[^/@]+))/?")
_LOGGED = re.compile(r"models:/(?P<model_id>m-[0-9a-zA-Z]+)/?")
_RUN = re.compile(r"runs:/(?P<run_id>[^/]+)/(?P<path>.+?)/?")
_READY = "READY"  # status of a version that has been registered


@dataclass(frozen=True)
class ModelReference:
    """One model, pinned.

    Attributes
    ----------
    asked : str
        The URI as given.
    uri : str
        The URI of exactly this model: `models:/credit/3`, never an alias; of files their absolute path.
    name, version : str or None
        Registered name and version number.
    model_id : str or None
        Id of MLflow's logged model (`m-...`) in the tracking store; older versions have none, nor have those that were
        logged in another tracking store.
    run_id : str or None
        The run that logged it.
    experiment_id : str or None
        The experiment it was logged in.
    is_foreign : bool
        Whether it was logged in another tracking store, which this registry also serves.
    source : str or None
        URI of the version that this one is a copy of (`MlflowClient.copy_model_version`).
    """

    asked: str
    uri: str
    name: str | None = None
    version: str | None = None
    model_id: str | None = None
    run_id: str | None = None
    experiment_id: str | None = None
    is_foreign: bool = False
    source: str | None = None

    def __str__(self) -> str:
        return self.uri


def pin_model(client: MlflowClient, uri: str) -> ModelReference:
    """Resolve a model's URI.

    Parameters
    ----------
    client : MlflowClient
    uri : str
        `models:/name/3`, `models:/name@alias`, `models:/name/latest`, `models:/m-...`, `runs:/<run>/<path>` or a path.

    Returns
    -------
    ModelReference

    Raises
    ------
    ModelNotFoundError
        If there is no such model, version, alias, run or path; the message names what there is.
    ModelError
        If the version has not been registered to the end.
    """
    if match := _LOGGED.fullmatch(uri):
        return _pin_logged(client, uri, match["model_id"])
    if match := _REGISTERED.fullmatch(uri):
        found = _find_version(client, uri, **match.groupdict())
        return _pin_version(client, uri, found)
    if match := _RUN.fullmatch(uri):
        return _pin_run(client, uri, match["run_id"], match["path"])
    if uri.startswith(("models:", "runs:")):
        raise ModelNotFoundError(
            f"'{uri}' is no model URI; expected models:/name/3, models:/name@alias, models:/m-..., runs:/<run>/<path> "
            "or a local path."
        )
    return ModelReference(uri, uri if is_uri(uri) else str(Path(uri).resolve()))


def _find_version(client: MlflowClient, uri: str, name: str, version: str | None, alias: str | None) -> ModelVersion:
    try:
        if alias:
            return client.get_model_version_by_alias(name, alias)
        if version != "latest":
            return client.get_model_version(name, str(version))
        versions = _versions(client, name)
    except MlflowException as error:
        if not says_missing(error):
            raise
        raise _not_registered(client, uri, name) from error
    if not versions:
        raise _not_registered(client, uri, name)
    return max(versions, key=lambda found: int(found.version))


def _not_registered(client: MlflowClient, uri: str, name: str) -> ModelNotFoundError:
    there_is = _what_there_is(client, name)
    return ModelNotFoundError(f"{uri} is not in the registry: {there_is}. {asked_store(of_models=True)}")


def asked_store(*, of_models: bool = False) -> str:
    """Return a sentence for whoever misses something: which store was asked, and what names another one.

    Parameters
    ----------
    of_models : bool
        Whether the registry was asked; else the tracking store.
    """
    tracking, registry = str(mlflow.get_tracking_uri()), str(mlflow.get_registry_uri())
    if of_models and registry != tracking:
        return f"The registry asked was {without_secrets(registry)}; MLFLOW_REGISTRY_URI names another."
    return f"The store asked was {without_secrets(tracking)}; --tracking-uri or MLFLOW_TRACKING_URI names another."


def is_in_unity_catalog() -> bool:
    """Tell whether the current registry is a Unity Catalog, whose rules are narrower than those of MLflow's own."""
    return str(mlflow.get_registry_uri()).partition(":")[0] in ("databricks-uc", "uc")


def registry_behind(client: MlflowClient) -> MlflowClient:
    """Return what speaks to the registry without a question beforehand.

    MLflow's client asks before some calls whether the name is that of a prompt, which a version with a model is not;
    the client behind it, where there is one, has the same methods.
    """
    inner = getattr(client, "_get_registry_client", None)
    return client if inner is None else inner()


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    return [found for found in client.search_model_versions(named("name", name)) if found.name == name]


def _what_there_is(client: MlflowClient, name: str) -> str:
    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if not says_missing(error):
            raise
        names = [model.name for model in client.search_registered_models(max_results=200)]
        return f"there is no model '{name}'; registered are {name_list(names)}.{did_you_mean(name, names)}".rstrip(".")
    versions = sorted(int(found.version) for found in _versions(client, model.name))
    return f"'{name}' has the versions {name_list(versions)} and the aliases {name_list(model.aliases)}"


def _pin_version(client: MlflowClient, uri: str, found: ModelVersion) -> ModelReference:
    if found.status != _READY:
        raise ModelError(
            f"models:/{found.name}/{found.version} is {found.status}, not {_READY}: its files may not be whole. Wait "
            "until it is registered, or register the model once more."
        )
    match = _LOGGED.fullmatch(found.source or "")
    run_id = found.run_id or None
    model_id = match["model_id"] if match else None
    experiment_id, is_there = _experiment_of(client, model_id, run_id)
    return ModelReference(
        asked=uri,
        uri=f"models:/{found.name}/{found.version}",
        name=found.name,
        version=str(found.version),
        model_id=model_id if is_there else None,
        run_id=run_id,
        experiment_id=experiment_id,
        is_foreign=model_id is not None and not is_there,
        source=source_of(found),
    )


def source_of(found: ModelVersion) -> str | None:
    """Return the URI of the version that a version is a copy of; None of one that is no copy."""
    match = _REGISTERED.fullmatch(found.source or "")
    return f"models:/{match['name']}/{match['version']}" if match and match["version"] else None


def _experiment_of(client: MlflowClient, model_id: str | None, run_id: str | None) -> tuple[str | None, bool]:
    """Return the experiment a version was logged in, and whether the tracking store may know the logged model.

    None where the experiment is gone or denied, which hinders no audit.
    """
    try:
        if model_id:
            return str(client.get_logged_model(model_id).experiment_id), True
        return str(client.get_run(run_id).info.experiment_id) if run_id else None, True
    except MlflowException as error:
        if not says_missing(error) and error.error_code != "PERMISSION_DENIED":
            raise
        return None, not says_missing(error)


def _pin_logged(client: MlflowClient, uri: str, model_id: str) -> ModelReference:
    """Pin a logged model; where exactly one registered version stands on it, that version is meant."""
    try:
        model = client.get_logged_model(model_id)
    except MlflowException as error:
        if not says_missing(error):
            raise
        raise ModelNotFoundError(
            f"{uri} is not in the tracking store. Look up the id on the model's page. {asked_store()}"
        ) from error
    by_source = f"source_path = 'models:/{model_id}'"
    versions = [] if is_in_unity_catalog() else client.search_model_versions(by_source)
    if len(versions) == 1:
        return _pin_version(client, uri, versions[0])
    return ModelReference(
        uri, f"models:/{model_id}", None, None, model_id, model.source_run_id or None, str(model.experiment_id)
    )


def _pin_run(client: MlflowClient, uri: str, run_id: str, path: str) -> ModelReference:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if not says_missing(error):
            raise
        raise ModelNotFoundError(f"{uri}: there is no run '{run_id}' in the tracking store. {asked_store()}") from error
    outputs = run.outputs.model_outputs if run.outputs else []
    models = [client.get_logged_model(output.model_id) for output in outputs]
    logged = [model for model in models if model.name == path]
    if logged:
        newest = max(logged, key=lambda model: model.creation_timestamp)  # the one that MLflow loads
        pinned = _pin_logged(client, f"models:/{newest.model_id}", newest.model_id)
        return replace(pinned, asked=uri)
    return ModelReference(uri, uri, run_id=run_id, experiment_id=run.info.experiment_id)
