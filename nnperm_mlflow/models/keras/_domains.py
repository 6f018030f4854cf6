"""Which values of its inputs a Keras network can tell apart: those that lookups and embeddings behind them know."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from nnperm_mlflow.inputs.specs import Domain, InputSpec
from nnperm_mlflow.models.graph import Key
from nnperm_mlflow.models.keras.nodes import KerasGraph, KerasStep, unfold

logger = logging.getLogger(__name__)

_MOVES_VALUES = {
    "Concatenate", "ExpandDims", "Flatten", "GetItem", "Identity", "Permute", "Reshape", "Slice", "Split", "Squeeze",
    "Stack", "Take", "Transpose", "Unstack",
}  # fmt: skip
"""Layers and operations of Keras that hand values on as they are, elsewhere or some of them."""
_KEEPS_PLACES = {"Cast"}
"""Those that also leave each in its place."""

_COUNTS = {"Embedding": "input_dim", "CategoryEncoding": "num_tokens", "OneHot": "num_classes"}
"""What takes codes from 0, and where it says how many."""

_OTHER_GRAPH = (AttributeError, KeyError, TypeError, ValueError, RuntimeError)
"""What a Keras that keeps its graph in another way than the ones known would end in."""

Places = dict[Key, np.ndarray]
"""For a tensor of one row, in which place of which input each of its values was, as one number."""


def with_domains(network: keras.Model, specs: Sequence[InputSpec]) -> list[InputSpec]:
    """Return a network's inputs with what is known of their values.

    Parameters
    ----------
    network : keras.Model
    specs : sequence of InputSpec
        In the order in which the network flattens its inputs.

    Returns
    -------
    list of InputSpec
        As they were where the network has no graph of layers.
    """
    try:
        graph = unfold(network)
        if graph is None or len(graph.inputs) != len(specs):
            return list(specs)
        return _told(graph, specs)
    except _OTHER_GRAPH as error:
        logger.debug("what inputs may hold cannot be told: %s", type(error).__name__)
        return list(specs)


def _told(graph: KerasGraph, specs: Sequence[InputSpec]) -> list[InputSpec]:
    sizes = [spec.n_cells for spec in specs]
    starts = np.cumsum([0, *sizes])
    found: dict[int, list[Domain]] = {}
    places = _follow(graph, specs, starts)
    for step, known in _knowing(graph):
        for key in step.takes:
            for number in np.unique(np.searchsorted(starts, places.get(key, starts[:0]), side="right") - 1).tolist():
                own = np.unique(places[key] - starts[number])
                own = own[(own >= 0) & (own < sizes[number])]
                some = None if len(own) == sizes[number] else tuple(own.tolist())
                found.setdefault(number, []).append(Domain(_named(step.operation), known, some))
    return [replace(spec, domains=tuple(found.get(number, ()))) for number, spec in enumerate(specs)]


def _follow(graph: KerasGraph, specs: Sequence[InputSpec], starts: np.ndarray) -> Places:
    """Return where the values of tensors were that reach a lookup or an embedding as they are."""
    places: Places = {}
    for key, spec, start, end in zip(graph.inputs, specs, starts[:-1], starts[1:], strict=True):
        places[key] = np.arange(start, end).reshape(1, *(length or 1 for length in spec.shape))
    open_ended = {key for key, spec in zip(graph.inputs, specs, strict=True) if None in spec.shape}
    needed = _needed(graph)
    for step in graph.steps:
        if needed.isdisjoint(step.gives) or not all(key in places for key in step.takes):
            continue
        if _is_of_keras(step.operation, _KEEPS_PLACES):
            places[step.gives[0]] = places[step.takes[0]]
            open_ended |= set(step.gives) if open_ended.intersection(step.takes) else set()
        elif _is_of_keras(step.operation, _MOVES_VALUES) and open_ended.isdisjoint(step.takes):
            moved = step.run({key: keras.ops.convert_to_tensor(places[key]) for key in step.takes})
            places.update(zip(step.gives, map(keras.ops.convert_to_numpy, moved), strict=True))
    return places


def _needed(graph: KerasGraph) -> set[Key]:
    """Return the tensors that reach a lookup or an embedding through steps that move values alone."""
    needed = {key for step, _ in _knowing(graph) for key in step.takes}
    for step in reversed(graph.steps):
        if not needed.isdisjoint(step.gives) and _is_of_keras(step.operation, _MOVES_VALUES | _KEEPS_PLACES):
            needed.update(step.takes)
    return needed


def _knowing(graph: KerasGraph) -> Iterator[tuple[KerasStep, frozenset[str] | frozenset[int] | range]]:
    """Yield the steps that know some values and no others, and these."""
    for step in graph.steps:
        known = _known_to(step.operation)
        if known is not None:
            yield step, known


def _known_to(operation: Any) -> frozenset[str] | frozenset[int] | range | None:  # noqa: ANN401
    """Return the values that a layer can tell apart; None for one that takes any, or spreads unknown ones."""
    for name, count in _COUNTS.items():
        if _is_of_keras(operation, {name}):
            return range(getattr(operation, count))
    if not _is_of_keras(operation, {"StringLookup", "IntegerLookup"}) or operation.num_oov_indices > 1:
        return None
    if operation.invert:
        return range(operation.vocabulary_size())
    words = operation.get_vocabulary(include_special_tokens=False)
    masked = [] if operation.mask_token is None else [operation.mask_token]
    if _is_of_keras(operation, {"IntegerLookup"}):
        return frozenset(int(word) for word in [*words, *masked])
    return frozenset(str(word) for word in [*words, *masked])


def _is_of_keras(operation: Any, names: set[str]) -> bool:  # noqa: ANN401
    return type(operation).__name__ in names and type(operation).__module__.startswith("keras.")


def _named(operation: Any) -> str:  # noqa: ANN401
    return f"{type(operation).__name__} '{operation.name}'"
