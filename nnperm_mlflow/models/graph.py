"""The graph of a Keras network, unfolded: which steps an input can reach, and what they take from elsewhere."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    row_bytes : int
        Memory that the outputs take a row, about.
    """

    operation: Any
    node: Any
    takes: Mapping[int, Key]
    gives: tuple[Key, ...]
    cost: float
    row_bytes: int

    def run(self, values: Mapping[Key, Any]) -> list[Any]:
        """Return the step's outputs for the values of the tensors it takes."""
        args, kwargs = self.node.arguments.fill_in({number: values[key] for number, key in self.takes.items()})
        if "training" in inspect.signature(self.operation.call).parameters:
            kwargs["training"] = False
        return list(keras.tree.flatten(self.operation(*args, **kwargs)))


@dataclass(frozen=True)
class Graph:
    """A network as steps in an order in which they can be run.

    A step is an input's *own* where it depends on that input alone, and *joint* where it depends on several. The
    *border* of an input is what of its own is taken by joint steps, or is an output: from there on inputs meet.

    Attributes
    ----------
    steps : tuple of Step
    inputs : tuple of Key
        In the network's own order.
    outputs : tuple of Key
    shapes : mapping of Key to (shape, dtype)
        Of each tensor, the row axis included.
    """

    steps: tuple[Step, ...]
    inputs: tuple[Key, ...]
    outputs: tuple[Key, ...]
    shapes: Mapping[Key, tuple[tuple[int | None, ...], str]]

    @cached_property
    def origins(self) -> dict[Key, frozenset[Key]]:
        """For each tensor the inputs that it depends on."""
        found = {key: frozenset([key]) for key in self.inputs}
        for step in self.steps:
            found.update(dict.fromkeys(step.gives, frozenset().union(*(found[key] for key in step.takes.values()))))
        return found

    def own_steps(self, name: Key) -> list[Step]:
        """Return the steps that depend on an input alone, in order."""
        return [step for step in self.steps if self._origin(step) == {name}]

    def border(self, name: Key) -> tuple[Key, ...]:
        """Return what of an input's own is taken by joint steps, or is an output."""
        taken = [key for step in self.joint_steps(self.inputs) for key in step.takes.values()]
        return tuple(dict.fromkeys(key for key in [*taken, *self.outputs] if self.origins[key] == {name}))

    def joint_steps(self, inputs: Iterable[Key]) -> list[Step]:
        """Return the steps that depend on several inputs, any of the given ones among them, in order."""
        changed = set(inputs)
        return [
            step for step in self.steps if len(self._origin(step)) > 1 and not changed.isdisjoint(self._origin(step))
        ]

    def frontier(self, inputs: Iterable[Key]) -> tuple[Key, ...]:
        """Return what does not depend on the given inputs, but is taken by joint steps that do, or is an output."""
        changed = set(inputs)
        taken = [key for step in self.joint_steps(changed) for key in step.takes.values()]
        return tuple(dict.fromkeys(key for key in [*taken, *self.outputs] if changed.isdisjoint(self.origins[key])))

    def own_cost(self, name: Key) -> float:
        """Return the multiplications a row of an input's own steps, about."""
        return sum(step.cost for step in self.own_steps(name))

    def joint_cost(self, inputs: Iterable[Key]) -> float:
        """Return the multiplications a row of all joint steps that depend on the given inputs, about."""
        return sum(step.cost for step in self.joint_steps(inputs))

    @cached_property
    def row_bytes(self) -> int:
        """Memory that all tensors of the graph take a row, about."""
        return sum(step.row_bytes for step in self.steps)

    def _origin(self, step: Step) -> frozenset[Key]:
        return self.origins[step.gives[0]]


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
    given = [(key, tensor) for key, tensor in zip(inputs, functional.inputs, strict=True)]
    made = [pair for step in steps for pair in zip(step.gives, step.node.output_tensors, strict=True)]
    shapes = {key: (tuple(tensor.shape), str(tensor.dtype)) for key, tensor in [*given, *made]}
    return Graph(tuple(steps), inputs, tuple(outputs), shapes)


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
            steps.append(Step(node.operation, node, takes, tuple(gives), _cost(node), _row_bytes(node)))
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


def _row_bytes(node: Any) -> int:  # noqa: ANN401
    """Estimate the memory of a step's outputs a row; a layer over a series holds each of its steps."""
    steps = max(math.prod(length or 1 for length in tensor.shape[1:-1]) for tensor in node.input_tensors)
    written = sum(math.prod(length or 1 for length in tensor.shape[1:]) for tensor in node.output_tensors)
    return 4 * (written if any(len(tensor.shape) > 2 for tensor in node.output_tensors) else steps * written)


def cluster_inputs(graph: Graph, most_extra: float) -> list[tuple[Key, ...]]:
    """Put inputs together that share a suffix: the joint steps that depend on any of them.

    Parameters
    ----------
    graph : Graph
    most_extra : float
        How much dearer a change of an input may be with a common suffix than with the cheapest, as a share of it. A
        suffix takes a while to compile, and the one of all inputs is there already: it gives the baseline.

    Returns
    -------
    list of tuple of Key
        Each input in one cluster; the first is of all inputs that run the whole of the joint steps.
    """

    def is_cheap(cluster: Sequence[Key], common: Sequence[Key]) -> bool:
        joint = graph.joint_cost(common)
        alone = {key: graph.own_cost(key) + graph.joint_cost([key]) for key in cluster}
        return all(graph.own_cost(key) + joint <= (1 + most_extra) * alone[key] for key in cluster)

    clusters: list[list[Key]] = [[key for key in graph.inputs if is_cheap([key], graph.inputs)]]
    for key in graph.inputs:
        if key in clusters[0]:
            continue
        for cluster in clusters[1:]:
            if is_cheap([*cluster, key], [*cluster, key]):
                cluster.append(key)
                break
        else:
            clusters.append([key])
    return [tuple(cluster) for cluster in clusters]
