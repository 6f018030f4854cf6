"""What a delivery says: a new model version, or something that is nobody's business here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from nnperm_mlflow.listening.versions import Version


class _Created(BaseModel):
    name: str = Field(min_length=1, max_length=256, pattern="^[^/:]*$")
    version: str = Field(pattern="^[0-9]{1,18}$")


class _Event(BaseModel):
    entity: str
    action: str
    data: dict[str, Any]


def read_event(body: bytes) -> Version | None:
    """Return the version that an event announces; None where it tells of something else.

    Parameters
    ----------
    body : bytes
        JSON, as MLflow's registry webhooks send it.

    Returns
    -------
    Version or None

    Raises
    ------
    ValueError
        If it is no such JSON, or names a version that no registry can hold.
    """
    event = _Event.model_validate_json(body)
    if (event.entity, event.action) != ("model_version", "created"):
        return None
    created = _Created.model_validate(event.data)
    return Version(created.name, created.version)
