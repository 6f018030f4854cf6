"""The calls of layers that a functional Keras network consists of, unfolded into a graph of steps."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import tensorflow as tf

from nnperm_mlflow.models.branches.framework import Packed
from nnperm_mlflow.models.graph import Graph, Key

_OF_KERAS = re.compile(r"(tf_)?keras\.src\.layers\.")


@dataclass(frozen=True)
class KerasStep:
    """One call of a layer or operation of Keras.

    Attributes
    ----------
    operation : keras Layer or Operation
    node : keras Node
        The call as Keras recorded it, with the arguments that are no tensors.
    arguments : mapping of int to Key
        For each symbolic tensor among the arguments (by `id`) the tensor it stands for.
    gives : tuple of Key
    cost : float
        Multiplications a row, about.
    row_bytes : int
        Memory that the outputs take a row, about.
    """

    operation: Any
    node: Any
    arguments: Mapping[int, Key]
    gives: tuple[Key, ...]
    cost: float = 0.0
    row_bytes: int = 0

    @property
    def takes(self) -> tuple[Key, ...]:
        """The tensors whose values it takes."""
        return tuple(self.arguments.values())

    @property
    def kind(self) -> str:
        """Name of the layer's class where it is Keras's own; one derived from it may be anything."""
        own = type(self.operation)
        return own.__name__ if _OF_KERAS.match(own.__module__) else ""

    def run(self, values: Mapping[Key, Any]) -> list[Any]:
        """Return the step's outputs for the values of the tensors it takes."""
        args, kwargs = self.filled(values)
        if "training" in inspect.signature(self.operation.call).parameters:
            kwargs["training"] = False
        return list(keras.tree.flatten(self.operation(*args, **kwargs)))

    def filled(self, values: Mapping[Key, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """Return what the operation is called with, by position and by name, for the values of the tensors it takes."""
        args, kwargs = self.node.arguments.fill_in({number: values[key] for number, key in self.arguments.items()})
        return args, kwargs

    def weighed(self, shapes: Shapes) -> KerasStep:
        """Return the step with what it costs where tensors have these shapes."""
        taken = [shapes[key][0] for key in self.takes]
        given = [shapes[key][0] for key in self.gives]
        return replace(self, cost=_cost(self.operation, taken, given), row_bytes=_row_bytes(taken, given))


KerasGraph = Graph[KerasStep]
Shape = tuple[int | None, ...]
Shapes = Mapping[Key, tuple[Shape, str]]


def unfold(network: keras.Model) -> KerasGraph | None:
    """Return a functional network's graph with nested networks unfolded, or None for one that has no graph.

    The calls that a network consists of are no public part of Keras; a version that keeps them otherwise makes this
    return None, and the network is then called as a whole.
    """
    functional = _functional(network)
    if functional is None:
        return None
    inputs = tuple(((), id(tensor)) for tensor in functional.inputs)
    steps: list[KerasStep] = []
    outputs = _unfold_into(steps, functional, (), {id(tensor): ((), id(tensor)) for tensor in functional.inputs})
    given = [(key, tensor) for key, tensor in zip(inputs, functional.inputs, strict=True)]
    made = [pair for step in steps for pair in zip(step.gives, step.node.output_tensors, strict=True)]
    shapes = {key: (tuple(tensor.shape), str(tensor.dtype)) for key, tensor in [*given, *made]}
    return Graph(tuple(step.weighed(shapes) for step in steps), inputs, tuple(outputs), shapes)


def with_lengths(graph: KerasGraph, rows: Sequence[Any]) -> KerasGraph:
    """Return a graph that knows how long its series are, where the network leaves that open.

    Parameters
    ----------
    graph : KerasGraph
    rows : sequence of Tensor of shape (1, ...)
        One row of each input.

    Returns
    -------
    KerasGraph
        Without it, a layer over a series would be taken for one over a single step.
    """
    if all(None not in shape[1:] for shape, _ in graph.shapes.values()):
        return graph
    values = run_steps(graph.steps, dict(zip(graph.inputs, rows, strict=True)))
    shapes = {key: ((None, *values[key].shape[1:]), dtype) for key, (_, dtype) in graph.shapes.items()}
    return replace(graph, steps=tuple(step.weighed(shapes) for step in graph.steps), shapes=shapes)


def _functional(network: Any) -> Any | None:  # noqa: ANN401 - Keras is untyped
    """Return the object that holds a network's graph: itself, or what a Sequential wraps."""
    inner = getattr(network, "_functional", None) or network
    if not isinstance(inner, keras.Model) or not hasattr(inner, "_nodes_by_depth"):
        return None
    return inner if type(inner).call.__module__.startswith("keras.") else None


def _unfold_into(steps: list[KerasStep], functional: Any, path: tuple[int, ...], known: dict[int, Key]) -> list[Key]:  # noqa: ANN401
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
            steps.append(KerasStep(node.operation, node, takes, tuple(gives)))
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


def _cost(operation: Any, taken: Sequence[Shape], given: Sequence[Shape]) -> float:  # noqa: ANN401
    """Estimate the multiplications a row: each weight once a position, and each output once."""
    positions = max(_count(shape[1:-1]) for shape in [*taken, *given])
    looks_up = type(operation).__name__ == "Embedding"
    weights = [] if looks_up else getattr(operation, "weights", [])
    return positions * sum(math.prod(weight.shape) for weight in weights) + sum(_count(shape[1:]) for shape in given)


def _row_bytes(taken: Sequence[Shape], given: Sequence[Shape]) -> int:
    """Estimate the memory of a step's outputs a row; a layer over a series holds each of its steps."""
    steps = max(_count(shape[1:-1]) for shape in taken)
    written = sum(_count(shape[1:]) for shape in given)
    return 4 * (written if any(len(shape) > 2 for shape in given) else steps * written)


def _count(lengths: Shape) -> int:
    """Return how many numbers axes of these lengths hold, those that are open taken for one."""
    return math.prod(length or 1 for length in lengths)


def run_steps(steps: Sequence[KerasStep], given: Mapping[Key, Any]) -> dict[Key, Any]:
    """Return the given tensors and all that steps make of them."""
    values = dict(given)
    for step in steps:
        values.update(zip(step.gives, step.run(values), strict=True))
    return values


def packed(value: Any) -> Packed:  # noqa: ANN401
    """Return a tensor with its mask, if it has one."""
    mask = getattr(value, "_keras_mask", None)
    return [value] if mask is None else [value, mask]


def repeated(each: Packed, copies: int) -> Packed:
    """Return copies of a tensor one below the other, and of its mask."""
    return [tf.tile(part, [copies, *[1] * (len(part.shape) - 1)]) for part in each] if copies > 1 else each


def unpacked(each: Packed) -> Any:  # noqa: ANN401
    """Return a tensor that bears its mask, if it has one."""
    value, *masks = each
    for mask in masks:
        value._keras_mask = mask
    return value
