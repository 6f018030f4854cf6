"""The graph of a Keras network, unfolded: which steps an input can reach, and what they take from elsewhere."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

Key = tuple[tuple[int, ...], int]
"""A tensor of the graph: the calls of nested networks that lead to it, and its number among all tensors."""


@dataclass(frozen=True)
class Step:
    """One call of a layer or operation.

    Attributes
    ----------
    operation : keras Layer or Operation
    node : keras Node
        The call as Keras recorded it, with the arguments that are no tensors.
    takes : mapping of int to Key
        For each symbolic tensor among the arguments (by `id`) the tensor it stands for.
    gives : tuple of Key
    cost : float
        Multiplications a row, about.
    """

    operation: Any
    node: Any
    takes: Mapping[int, Key]
    gives: tuple[Key, ...]
    cost: float

    def run(self, values: Mapping[Key, Any]) -> list[Any]:
        """Return the step's outputs for the values of the tensors it takes."""
        args, kwargs = self.node.arguments.fill_in({number: values[key] for number, key in self.takes.items()})
        if "training" in inspect.signature(self.operation.call).parameters:
            kwargs["training"] = False
        return list(keras.tree.flatten(self.operation(*args, **kwargs)))


@dataclass(frozen=True)
class Graph:
    """A network as steps in an order in which they can be run.

    Attributes
    ----------
    steps : tuple of Step
    inputs : tuple of Key
        In the network's own order.
    outputs : tuple of Key
    """

    steps: tuple[Step, ...]
    inputs: tuple[Key, ...]
    outputs: tuple[Key, ...]

    def reached_from(self, inputs: Iterable[Key]) -> list[Step]:
        """Return the steps that depend on any of the given inputs, in order."""
        reached = set(inputs)
        steps = []
        for step in self.steps:
            if not reached.isdisjoint(step.takes.values()):
                reached.update(step.gives)
                steps.append(step)
        return steps

    def frontier(self, inputs: Iterable[Key]) -> tuple[Key, ...]:
        """Return the tensors that do not depend on the given inputs, but are taken by steps that do, or are outputs."""
        changed = list(inputs)
        steps = self.reached_from(changed)
        made = {*changed, *(key for step in steps for key in step.gives)}
        taken = [key for step in steps for key in step.takes.values()]
        return tuple(dict.fromkeys(key for key in [*taken, *self.outputs] if key not in made))

    def cost(self, inputs: Iterable[Key]) -> float:
        """Return the multiplications a row of all steps that depend on the given inputs, about."""
        return sum(step.cost for step in self.reached_from(inputs))


def unfold(network: keras.Model) -> Graph | None:
    """Return a functional network's graph with nested networks unfolded, or None for one that has no graph.

    The calls that a network consists of are no public part of Keras; a version that keeps them otherwise makes this
    return None, and the network is then called as a whole.
    """
    functional = _functional(network)
    if functional is None:
        return None
    inputs = tuple(((), id(tensor)) for tensor in functional.inputs)
    steps: list[Step] = []
    outputs = _unfold_into(steps, functional, (), {id(tensor): ((), id(tensor)) for tensor in functional.inputs})
    return Graph(tuple(steps), inputs, tuple(outputs))


def _functional(network: Any) -> Any | None:  # noqa: ANN401 - Keras is untyped
    """Return the object that holds a network's graph: itself, or what a Sequential wraps."""
    inner = getattr(network, "_functional", None) or network
    if not isinstance(inner, keras.Model) or not hasattr(inner, "_nodes_by_depth"):
        return None
    return inner if type(inner).call.__module__.startswith("keras.") else None


def _unfold_into(steps: list[Step], functional: Any, path: tuple[int, ...], known: dict[int, Key]) -> list[Key]:  # noqa: ANN401
    """Append the steps of a network that is called with known tensors; return its outputs."""
    for node in _nodes_in_order(functional):
        takes = {id(tensor): known[id(tensor)] for tensor in node.input_tensors}
        nested = _functional(node.operation)
        if nested is not None and len(node.input_tensors) == len(nested.inputs):
            inner_path = (*path, id(node))
            given = [takes[id(tensor)] for tensor in node.input_tensors]
            inner_known = {id(tensor): key for tensor, key in zip(nested.inputs, given, strict=True)}
            gives = _unfold_into(steps, nested, inner_path, inner_known)
        else:
            gives = [(path, id(tensor)) for tensor in node.output_tensors]
            steps.append(Step(node.operation, node, takes, tuple(gives), _cost(node)))
        known.update({id(tensor): key for tensor, key in zip(node.output_tensors, gives, strict=True)})
    return [known[id(tensor)] for tensor in functional.outputs]


def _nodes_in_order(functional: Any) -> Iterable[Any]:  # noqa: ANN401
    known = {id(tensor) for tensor in functional.inputs}
    for depth in sorted(functional._nodes_by_depth, reverse=True):
        for node in functional._nodes_by_depth[depth]:
            if node.is_input or any(id(tensor) not in known for tensor in node.input_tensors):
                continue
            known.update(id(tensor) for tensor in node.output_tensors)
            yield node


def _cost(node: Any) -> float:  # noqa: ANN401
    """Estimate the multiplications a row: each weight once a position, and each output once."""
    shapes = [tensor.shape for tensor in [*node.input_tensors, *node.output_tensors]]
    positions = max(math.prod(length or 1 for length in shape[1:-1]) for shape in shapes)
    written = sum(math.prod(length or 1 for length in tensor.shape[1:]) for tensor in node.output_tensors)
    looks_up = isinstance(node.operation, keras.layers.Embedding)
    weights = [] if looks_up else getattr(node.operation, "weights", [])
    return positions * sum(math.prod(weight.shape) for weight in weights) + written


def cluster_inputs(graph: Graph, inputs: Sequence[Key], most_extra: float, worth_it: float) -> list[tuple[Key, ...]]:
    """Put inputs together whose suffixes are nearly the same.

    Parameters
    ----------
    graph : Graph
    inputs : sequence of Key
    most_extra : float
        How much dearer a common suffix may be than the cheapest of its members' own, as a share of it.
    worth_it : float
        A suffix that costs more than this share of the whole network is none: its inputs are put together.

    Returns
    -------
    list of tuple of Key
        Clusters; the last may be one whose suffix is the whole network.
    """
    whole = sum(step.cost for step in graph.steps)
    alone = sorted(inputs, key=lambda key: graph.cost([key]))
    clusters: list[list[Key]] = []
    for key in alone:
        own = graph.cost([key])
        for cluster in clusters:
            together = graph.cost([*cluster, key])
            least = graph.cost(cluster[:1])
            if together <= (1 + most_extra) * least or min(own, graph.cost(cluster)) > worth_it * whole:
                cluster.append(key)
                break
        else:
            clusters.append([key])
    return [tuple(cluster) for cluster in clusters]
