"""Reads YAML documents into strict, frozen values, and says in words what is wrong in them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from nnperm_mlflow.errors import ConfigError, did_you_mean, name_list

_MERGE_TAG = "tag:yaml.org,2002:merge"  # of `<<`, which may stand in a mapping more than once


class Strict(BaseModel):
    """A value read from a document: no unknown keys, nothing converted, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Document = TypeVar("Document", bound=Strict)


def read_yaml(path: Path, what: str) -> object:
    """Return what a YAML file holds: nested dicts and lists; an empty file is an empty dict.

    Parameters
    ----------
    path : Path
    what : str
        How messages call the file: "the configuration".

    Raises
    ------
    ConfigError
        If the file is missing, is no text or no YAML, or gives a key twice.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 - a safe loader
    except OSError as error:
        raise ConfigError(f"{what} '{path}' cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} '{path}' is not UTF-8 text.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{what} '{path}' is no valid YAML: {error}.") from error
    return content if content is not None else {}


def validated(kind: type[Document], content: object, origin: str) -> Document:
    """Check a document given as nested dicts and lists.

    Parameters
    ----------
    kind : type
        What it shall be.
    content : object
    origin : str
        How messages call it.

    Raises
    ------
    ConfigError
        With one line for each thing that is wrong; for an unknown key the nearest known one is named.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{origin} must be a mapping with the keys {name_list(kind.model_fields)}.")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{origin}: " + "; ".join(_in_words(error, kind, content))) from error


def _in_words(error: ValidationError, kind: type[Strict], content: object) -> list[str]:
    """Return a line for each place where something is wrong, with all that might stand there instead."""
    found: dict[tuple[str, ...], list[str]] = {}
    for problem in error.errors(include_url=False, include_context=False):
        place = _place_of(problem["loc"], content)
        if problem["type"] == "extra_forbidden":
            *parents, last = place
            known = _keys_at(kind, parents)
            under = f" under '{': '.join(parents)}'" if parents else ""
            message = f"unknown key '{last}'{under}; known are {name_list(known)}.{did_you_mean(last, known)}"
        else:
            said = problem["msg"].removeprefix("Value error, ")
            message = f"{said[0].lower()}{said[1:]}"
        found.setdefault(place, []).append(message)
    deepest = {place: said for place, said in found.items() if not any(_leads_to(place, other) for other in found)}
    lines = []
    for place, messages in deepest.items():
        message = " or ".join(dict.fromkeys(messages))
        lines.append(message if message.startswith("unknown key") else f"'{': '.join(place)}': {message}.")
    return lines


def _place_of(location: tuple[int | str, ...], content: object) -> tuple[str, ...]:
    """Return the keys that lead to a value, without what names one of the forms that it might have."""
    place, node = [], content
    for part in location:
        held: Any = dict(enumerate(node)) if isinstance(node, list) else node
        if isinstance(held, Mapping) and part in held:
            place.append(str(part))
            node = held[part]
    return tuple(place) or ("the file",)


def _leads_to(place: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return len(place) < len(other) and other[: len(place)] == place


def _keys_at(kind: type[Strict], parents: list[str]) -> list[str]:
    """Return the keys known at a place, of all documents that may stand there."""
    forms: list[type[BaseModel]] = [kind]
    for part in parents:
        fields = [form.model_fields[part].annotation for form in forms if part in form.model_fields]
        forms = [found for field in fields for found in _documents_in(field)] or forms  # else a list's or mapping's key
    return list(dict.fromkeys(key for form in forms for key in form.model_fields))


def _documents_in(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - a type may be written as anything
    """Return the documents that a type lets in: itself, or inside a list, a mapping, a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _documents_in(inner)]


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not the last one's silent win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        own = [key for key, _ in node.value if key.tag != _MERGE_TAG]
        keys = [self.construct_object(key, deep=deep) for key in own]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{twice[0]}' is given twice", node.start_mark)
        return super().construct_mapping(node, deep)
