"""The calls of layers that a functional network of Keras 2 consists of, unfolded into a graph of steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from nnperm_mlflow.models.graph import Graph, Key
from nnperm_mlflow.models.keras.nodes import KerasGraph, KerasStep

_OWN = "tf_keras."


@dataclass(frozen=True)
class Call:
    """One call of a layer of Keras 2, seen as Keras 3 shows its own.

    Attributes
    ----------
    operation : tf_keras Layer
    node : tf_keras Node
    training : bool
        Whether the layer, or the network that it is called in, was called with `training=True`.
    """

    operation: Any
    node: Any
    training: bool

    @property
    def input_tensors(self) -> list[Any]:
        """All symbolic tensors among its arguments."""
        return list(self.node.keras_inputs)

    @property
    def output_tensors(self) -> list[Any]:
        """What it gives."""
        return list(tf.nest.flatten(self.node.outputs))


@dataclass(frozen=True)
class Keras2Step(KerasStep):
    """One call of a layer of Keras 2: a `KerasStep` whose node is a `Call`."""

    @property
    def kind(self) -> str:
        """Name of the layer's class, where it is Keras's own and not in training."""
        return "" if self.node.training else super().kind

    def run(self, values: Mapping[Key, Any]) -> list[Any]:
        """Return the step's outputs for the values of the tensors it takes."""
        node = self.node.node
        uses = Counter(id(tensor) for tensor in node.keras_inputs)
        given = {str(number): [values[key]] * uses[number] for number, key in self.arguments.items()}
        args, kwargs = node.map_arguments(given)
        if _expects_training(self.operation) and kwargs.get("training") is None:
            kwargs["training"] = self.node.training
        return list(tf.nest.flatten(self.operation(*args, **kwargs)))


def unfold(network: Any) -> KerasGraph | None:  # noqa: ANN401 - tf_keras is untyped
    """Return a functional network's graph with nested networks unfolded, or None for one that has no graph.

    The calls that a network consists of are no public part of Keras; a version that keeps them otherwise makes this
    return None, and the network is then called as a whole.
    """
    if not _has_graph(network) or not network.inputs:
        return None
    inputs = tuple(((), id(tensor)) for tensor in network.inputs)
    steps: list[KerasStep] = []
    outputs = _unfold_into(steps, network, (), dict(zip(map(id, network.inputs), inputs, strict=True)), training=False)
    needed = _leading_to(outputs, steps)
    given = [*zip(inputs, network.inputs, strict=True)]
    made = [pair for step in needed for pair in zip(step.gives, step.node.output_tensors, strict=True)]
    shapes = {key: (tuple(tensor.shape), tensor.dtype.name) for key, tensor in [*given, *made]}
    graph = Graph(tuple(step.weighed(shapes) for step in needed), inputs, tuple(outputs), shapes)
    return graph if _keeps_rows(graph) else None


def _has_graph(network: Any) -> bool:  # noqa: ANN401
    """Tell whether a network is called as its graph says: its class is Keras's own."""
    own = type(network).call.__module__.startswith(_OWN)
    return own and bool(getattr(network, "_is_graph_network", False))


def _unfold_into(
    steps: list[KerasStep],
    network: Any,  # noqa: ANN401
    path: tuple[int, ...],
    known: dict[int, Key],
    training: bool,
) -> list[Key]:
    """Append the steps of a network that is called with known tensors; return its outputs."""
    for node in _nodes_in_order(network, known):
        takes = {id(tensor): known[id(tensor)] for tensor in node.keras_inputs}
        called_with = node.call_kwargs.get("training")
        in_training = training if called_with is None else bool(called_with)
        call = Call(node.layer, node, in_training)
        inner = _inputs_of_nested(node)
        if inner is not None:
            inner_known = {id(tensor): takes[id(given)] for tensor, given in zip(node.layer.inputs, inner, strict=True)}
            gives = _unfold_into(steps, node.layer, (*path, id(node)), inner_known, in_training)
        else:
            gives = [(path, id(tensor)) for tensor in call.output_tensors]
            steps.append(Keras2Step(node.layer, call, takes, tuple(gives)))
        known.update({id(tensor): key for tensor, key in zip(call.output_tensors, gives, strict=True)})
    return [known[id(tensor)] for tensor in network.outputs]


def _nodes_in_order(network: Any, known: Mapping[int, Key]) -> Iterable[Any]:  # noqa: ANN401
    computed = set(known)
    for depth in sorted(network._nodes_by_depth, reverse=True):
        for node in network._nodes_by_depth[depth]:
            if not node.is_input and computed.issuperset(map(id, node.keras_inputs)):
                computed.update(map(id, tf.nest.flatten(node.outputs)))
                yield node


def _inputs_of_nested(node: Any) -> list[Any] | None:  # noqa: ANN401
    """Return what a nested network is called with, in the order of its inputs, or None for what is run as one step.

    A network whose shape came from its first call, one that is handed a mask, and one that takes its inputs in another
    shape or type than they have (Keras makes that fit) are run as they are.
    """
    network = node.layer
    others = [value for name, value in node.call_kwargs.items() if name != "training" and value is not None]
    if not _has_graph(network) or others or not getattr(network, "_has_explicit_input_shape", True):
        return None
    given = list(network._flatten_to_reference_inputs(node.call_args[0]))
    fits = len(given) == len(network.inputs) and all(
        hasattr(tensor, "_keras_history") and tensor.dtype == wanted.dtype and len(tensor.shape) == len(wanted.shape)
        for tensor, wanted in zip(given, network.inputs, strict=True)
    )
    return given if fits else None


def _leading_to(outputs: Sequence[Key], steps: Sequence[KerasStep]) -> list[KerasStep]:
    """Return the steps that outputs depend on; others are losses and metrics."""
    needed, kept = set(outputs), []
    for step in reversed(steps):
        if not needed.isdisjoint(step.gives):
            needed.update(step.takes)
            kept.append(step)
    return kept[::-1]


def _keeps_rows(graph: KerasGraph) -> bool:
    """Tell whether all has a row axis that is kept, handed on or given; as a shape, say, has none."""
    rows = {shape[0] for key in graph.inputs for shape in [graph.shapes[key][0]]}
    without = {key for key, (shape, _) in graph.shapes.items() if not shape or shape[0] not in rows}
    taken = [(key, graph.origins[step.gives[0]]) for step in graph.steps for key in step.takes]
    crossing = {key for key, origin in taken if graph.origins[key] != origin}
    return without.isdisjoint({*crossing, *graph.outputs})


def _expects_training(layer: Any) -> bool:  # noqa: ANN401
    return bool(layer._call_spec.expects_training_arg)
