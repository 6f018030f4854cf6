"""What the registry knows of a version: whether there is one, whether it is ready, whether it was audited."""

from __future__ import annotations

from typing import Literal

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from nnperm_mlflow.basics.errors import says_missing
from nnperm_mlflow.listening.versions import Version
from nnperm_mlflow.registry.audits import finished_audits
from nnperm_mlflow.registry.tags import VERDICT_TAGS

_VERDICT, _POLICY, *_ = VERDICT_TAGS


def standing(
    client: MlflowClient, version: Version, policy: str | None
) -> Literal["missing", "not ready", "audited", "unaudited"]:
    """Tell where a version stands.

    Parameters
    ----------
    client : MlflowClient
    version : Version
    policy : str or None
        Digest of the policy whose verdict is wanted, see `is_audited`.

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
        if not says_missing(error):
            raise
        return "missing"
    if found.status != "READY":
        return "not ready"
    return "audited" if is_audited(client, version, policy) else "unaudited"


def is_audited(client: MlflowClient, version: Version, policy: str | None) -> bool:
    """Tell whether an audit of a version has been finished: there is such a run, in whatever experiment.

    Parameters
    ----------
    client : MlflowClient
    version : Version
    policy : str or None
        Digest of a policy: the run then has to hold a verdict by it. None where no verdict is wanted.
    """
    told = (run.data.tags for run in finished_audits(client, version.uri))
    return any(policy is None or (_VERDICT in tags and tags.get(_POLICY) == policy) for tags in told)
