"""Reads YAML documents into strict, frozen values, and says in words what is wrong in them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nnperm_mlflow.basics.errors import ConfigError, did_you_mean, name_list

MOST_BYTES = 1 << 20
"""Of a YAML file: 1 MiB."""
MOST_DEPTH = 40
"""Of mappings and lists inside each other, aliases followed."""
MOST_VALUES = 100_000
"""Of a YAML file: mappings, lists, keys and single values, those behind an alias counted each time."""

AtLeast = Annotated[int, Field(ge=1)]
"""At least so many, where 0 would ask for nothing."""
Digest = Annotated[str, Field(min_length=8, max_length=64, pattern="^[0-9a-f]+$")]
"""A sha256, or how it begins."""

_TOO_MANY = f"it holds more than {MOST_VALUES:,} values"
_TOO_DEEP = f"it is nested more than {MOST_DEPTH} deep"

_MOST_DIGITS = 100  # of a number; some of the ways to write one take time that grows with their square
_MOST_PROBLEMS = 20  # that a message lists
_MOST_LETTERS = 100  # of a key, or of what a library says, in a message

_MERGE_TAG = "tag:yaml.org,2002:merge"  # of `<<`, which may stand in a mapping more than once
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_NO_YAML = (yaml.YAMLError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""What PyYAML ends in: its constructors raise whatever Python does where a tag (`!!bool x`) promises something else."""


class Strict(BaseModel):
    """A value read from a document: no unknown keys, nothing converted, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Document = TypeVar("Document", bound=Strict)


class Tolerant(BaseModel):
    """What a file of an audit tells: nothing converted, never changed; what else the file holds is passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


def wrong_keys(error: ValidationError) -> list[str]:
    """Return the keys at the top of a document that are missing, or hold what they may not, each once."""
    return list(dict.fromkeys(str(problem["loc"][0]) for problem in error.errors() if problem["loc"]))


def read_yaml(path: Path, what: str, most_bytes: int = MOST_BYTES) -> object:
    """Return what a YAML file holds: nested dicts and lists; an empty file is an empty dict.

    Parameters
    ----------
    path : Path
    what : str
        How messages call the file: "the configuration".
    most_bytes : int
        Size from which on the file is refused.

    Raises
    ------
    ConfigError
        If the file is missing, is no text or no YAML, gives a key twice, or is larger or deeper than any such file has
        reason to be.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise ConfigError(f"{what} '{path}' has more than {most_bytes:,} bytes. Is it the right file?")
        found = _load(content.decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{what} '{path}' cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} '{path}' is not UTF-8 text.") from error
    except _NO_YAML as error:
        raise ConfigError(f"{what} '{path}' is no valid YAML: {_reason(error)}.") from error
    return found if found is not None else {}


def _load(text: str) -> object:
    """Return what YAML holds, without its objects of other languages, and within bounds."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _measure(node: yaml.Node, known: dict[yaml.Node, tuple[int, int] | None]) -> tuple[int, int]:
    """Return how many values a node holds and how deep they lie, as if each alias were written out.

    Parameters
    ----------
    node : yaml.Node
    known : dict
        Nodes that have been measured; None for those that are being measured.
    """
    if node in known:
        measured = known[node]
        if measured is None:
            raise _error("an alias refers to what it stands in", node)
        return measured
    known[node] = None
    inner = [_measure(child, known) for child in _children(node)]
    count, depth = 1 + sum(count for count, _ in inner), 1 + max((depth for _, depth in inner), default=0)
    if count > MOST_VALUES:
        raise _error(_TOO_MANY, node)
    if depth > MOST_DEPTH:
        raise _error(_TOO_DEEP, node)
    known[node] = count, depth
    return count, depth


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _error(problem: str, place: Any) -> yaml.MarkedYAMLError:  # noqa: ANN401 - a node or an event
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)


def _reason(error: Exception) -> str:
    """Return what is wrong and where, without the lines of the file, which may hold passwords."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        mark = error.problem_mark or error.context_mark
        return _short(error.problem).rstrip(".") + (f" (line {mark.line + 1})" if mark else "")
    if isinstance(error, yaml.reader.ReaderError):
        return f"it holds a character that YAML does not allow (position {error.position})"
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    return _short(str(error)) if isinstance(error, ValueError) else "a value is not what its tag or escape says"


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
    problems = error.errors(include_url=False, include_context=False)
    for problem in problems[:_MOST_PROBLEMS]:
        place = _place_of(problem["loc"], content)
        if problem["type"] == "extra_forbidden":
            *parents, last = place
            known = _keys_at(kind, parents)
            under = f" under '{_path(parents)}'" if parents else ""
            message = f"unknown key '{_short(last)}'{under}; known are {name_list(known)}.{did_you_mean(last, known)}"
        else:
            said = problem["msg"].removeprefix("Value error, ")
            message = f"{said[0].lower()}{said[1:]}"
        found.setdefault(place, []).append(message)
    deepest = {place: said for place, said in found.items() if not any(_leads_to(place, other) for other in found)}
    lines = []
    for place, messages in deepest.items():
        message = " or ".join(dict.fromkeys(messages))
        lines.append(message if message.startswith("unknown key") else f"'{_path(place)}': {_ended(message)}")
    more = len(problems) - _MOST_PROBLEMS
    return [*lines, f"and {more} more"] if more > 0 else lines


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(("?", ".")) else f"{sentence}."


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


def _path(place: Iterable[str]) -> str:
    return ": ".join(map(_short, place))


def _short(text: str) -> str:
    """Return one line of text, cut where it is long."""
    line = text.partition("\n")[0]
    return line if len(line) <= _MOST_LETTERS else f"{line[:_MOST_LETTERS]}..."


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not the last one's silent win, and that ends where it is absurd."""

    _depth = _n_nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:  # noqa: ANN401 - as PyYAML has it
        self._n_nodes += 1
        self._depth += 1
        if self._n_nodes > MOST_VALUES or self._depth > MOST_DEPTH:
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _error(_TOO_DEEP if self._depth > MOST_DEPTH else _TOO_MANY, event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode):
            node.value.encode()  # raises where an escape is half a character, which nothing could be written with
            if node.tag in _NUMBER_TAGS and len(node.value) > _MOST_DIGITS:
                raise _error(f"a number has more than {_MOST_DIGITS} digits", node)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        own = [self.construct_object(key, deep=deep) for key, _ in node.value if key.tag != _MERGE_TAG]
        keys = [key for key in own if isinstance(key, Hashable)]
        seen: set[Hashable] = set()
        for key in keys:
            if key in seen:
                raise _error(f"the key '{_short(str(key))}' is given twice", node)
            seen.add(key)
        return super().construct_mapping(node, deep)
