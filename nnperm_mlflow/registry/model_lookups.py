"""What the registry and the tracking store know under a model's name: versions, aliases, runs of ours."""

from __future__ import annotations

import re

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.errors import ModelNotFoundError, did_you_mean, name_list, says_missing
from nnperm_mlflow.basics.text import beginning_with, named
from nnperm_mlflow.models.model_uri import asked_store, is_in_unity_catalog
from nnperm_mlflow.registry.audits import find_runs
from nnperm_mlflow.registry.tags import AUDIT, DECISION, KIND_TAG, MODEL_TAG, PROMOTION

_PAGE, _PAGE_OF_UNITY_CATALOG = 1000, 100
_MOST_NAMED = 200


def versions_of(client: MlflowClient, name: str) -> list[ModelVersion]:
    """Return all versions of a registered model, the newest first; none where there is no such model."""
    found: list[ModelVersion] = []
    token, most = None, _PAGE_OF_UNITY_CATALOG if is_in_unity_catalog() else _PAGE
    while True:
        page = client.search_model_versions(named("name", name), most, page_token=token)
        found += [version for version in page if version.name == name]
        token = page.token
        if not token:
            return sorted(found, key=lambda version: int(version.version), reverse=True)


def aliases_of(client: MlflowClient, name: str) -> dict[str, str] | None:
    """Return a model's aliases with their versions; None where there is no such model."""
    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if not says_missing(error):
            raise
        return None
    return {str(alias): str(version) for alias, version in aliases.items()}


def runs_of(client: MlflowClient, name: str) -> list[tuple[Run, str]]:
    """Return the runs of audits, decisions and promotions of a model, finished or not, with the version each is of."""
    found = find_runs(client, beginning_with(f"tags.`{MODEL_TAG}`", f"models:/{name}/"), finished=False)
    uri = re.compile(rf"models:/{re.escape(name)}/(\d{{1,9}})")
    matches = [(run, uri.fullmatch(run.data.tags[MODEL_TAG])) for run in found]
    wanted = (AUDIT, PROMOTION, DECISION)
    return [(run, match[1]) for run, match in matches if match and run.data.tags.get(KIND_TAG) in wanted]


def not_found(client: MlflowClient, name: str) -> ModelNotFoundError:
    """Return the error that there is no such model, which names what there is."""
    names = [model.name for model in client.search_registered_models(max_results=_MOST_NAMED)]
    return ModelNotFoundError(
        f"there is no model '{name}' in the registry; registered are {name_list(names)}.{did_you_mean(name, names)} "
        f"{asked_store(of_models=True)}"
    )
