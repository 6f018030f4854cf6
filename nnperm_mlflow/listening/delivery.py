"""What a delivery says: a new model version, an alias that has moved, or something that is nobody's business here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from nnperm_mlflow.listening.versions import Alias, Version


class _Created(BaseModel):
    name: str = Field(min_length=1, max_length=256, pattern="^[^/:]*$")
    version: str = Field(pattern="^[0-9]{1,18}$")


class _Moved(BaseModel):
    name: str = Field(min_length=1, max_length=256, pattern="^[^/:]*$")
    alias: str = Field(min_length=1, max_length=256)


class _Event(BaseModel):
    entity: str
    action: str
    data: dict[str, Any]


def read_event(body: bytes) -> Version | Alias | None:
    """Return the version that an event announces, or the alias that was set or deleted; None for all else.

    Parameters
    ----------
    body : bytes
        JSON, as MLflow's registry webhooks send it.

    Returns
    -------
    Version, Alias or None

    Raises
    ------
    ValueError
        If it is no such JSON, or names a version or an alias that no registry can hold.
    """
    event = _Event.model_validate_json(body)
    if event.entity == "model_version_alias" and event.action in ("created", "deleted"):
        moved = _Moved.model_validate(event.data)
        return Alias(moved.name, moved.alias)
    if (event.entity, event.action) != ("model_version", "created"):
        return None
    created = _Created.model_validate(event.data)
    return Version(created.name, created.version)
