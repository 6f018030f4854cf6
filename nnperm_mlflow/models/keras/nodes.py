"""The calls of layers that a functional Keras network consists of, unfolded into a graph of steps."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

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
    cost: float
    row_bytes: int

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
        args, kwargs = self.node.arguments.fill_in({number: values[key] for number, key in self.arguments.items()})
        if "training" in inspect.signature(self.operation.call).parameters:
            kwargs["training"] = False
        return list(keras.tree.flatten(self.operation(*args, **kwargs)))


KerasGraph = Graph[KerasStep]


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
    return Graph(tuple(steps), inputs, tuple(outputs), shapes)


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
            steps.append(
                KerasStep(node.operation, node, takes, tuple(gives), estimate_cost(node), estimate_row_bytes(node))
            )
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


def estimate_cost(node: Any) -> float:  # noqa: ANN401
    """Estimate the multiplications a row: each weight once a position, and each output once."""
    shapes = [tensor.shape for tensor in [*node.input_tensors, *node.output_tensors]]
    positions = max(math.prod(length or 1 for length in shape[1:-1]) for shape in shapes)
    written = sum(math.prod(length or 1 for length in tensor.shape[1:]) for tensor in node.output_tensors)
    looks_up = type(node.operation).__name__ == "Embedding"
    weights = [] if looks_up else getattr(node.operation, "weights", [])
    return positions * sum(math.prod(weight.shape) for weight in weights) + written


def estimate_row_bytes(node: Any) -> int:  # noqa: ANN401
    """Estimate the memory of a step's outputs a row; a layer over a series holds each of its steps."""
    steps = max(math.prod(length or 1 for length in tensor.shape[1:-1]) for tensor in node.input_tensors)
    written = sum(math.prod(length or 1 for length in tensor.shape[1:]) for tensor in node.output_tensors)
    return 4 * (written if any(len(tensor.shape) > 2 for tensor in node.output_tensors) else steps * written)


Packed = list[Any]
"""A tensor, and behind it its mask where it has one."""


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
