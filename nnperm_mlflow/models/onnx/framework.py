"""ONNX models in parts, for `models.branches`: one session for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.branches.framework import Border, Packed
from nnperm_mlflow.models.graph import Key
from nnperm_mlflow.models.onnx._part import Part, tensor_value
from nnperm_mlflow.models.onnx.affine import is_affine, is_sigmoid, passes_on
from nnperm_mlflow.models.onnx.nodes import OnnxGraph, OnnxStep
from nnperm_mlflow.models.onnx.sessions import WORKERS
from nnperm_mlflow.models.output_numbers import as_columns

_MOST_ROWS = 1_024  # of a call of several changes; a part costs a few dozen microseconds besides its rows
_CHUNK_ROWS = 4_096  # of any call; more make no row cheaper
_RUNNING_BYTES = 1 << 29  # of activations, of all calls that run at the same time: 512 MiB


class OwnSteps:
    """The own steps of some inputs, each with a session of its own.

    Parameters
    ----------
    graph : OnnxGraph
    inputs : mapping of str to Key
    specs : mapping of str to InputSpec
    """

    def __init__(self, graph: OnnxGraph, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> None:
        self.specs = {name: specs[name] for name in inputs}
        self._keys = {name: str(key) for name, key in inputs.items()}
        self._parts = {
            name: make_part(graph, graph.steps.own_steps(key), [key], graph.steps.border(key))
            for name, key in self._keys.items()
        }

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Border]:
        """Return the borders of inputs of shape (n_rows, ...), each with as many rows as it likes."""
        arrays = {name: np.asarray(inputs[name], dtype=spec.dtype) for name, spec in self.specs.items()}
        return {
            name: [[tensor] for tensor in part({self._keys[name]: arrays[name]})] for name, part in self._parts.items()
        }


class JointSteps:
    """The joint steps that depend on some inputs, as one session.

    Parameters
    ----------
    graph : OnnxGraph
    inputs : mapping of str to Key
        Those that may change.
    keeps : sequence of Key
        Tensors to return as well.
    """

    def __init__(self, graph: OnnxGraph, inputs: Mapping[str, Key], keeps: Sequence[Key] = ()) -> None:
        steps = graph.steps
        self.frontier = steps.frontier(inputs.values())
        self._borders = {name: steps.border(key) for name, key in inputs.items()}
        self._n_outputs = len(steps.outputs)
        given = [key for border in self._borders.values() for key in border] + list(self.frontier)
        self._part = make_part(graph, steps.joint_steps(inputs.values()), given, [*steps.outputs, *keeps])

    def __call__(self, borders: Mapping[str, Border], frontier: Sequence[Packed]) -> tuple[list[Any], list[Packed]]:
        """Run the steps on tensors of the same rows; return the outputs, and the tensors that are kept."""
        given = {str(key): each[0] for key, each in zip(self.frontier, frontier, strict=True)}
        for name, keys in self._borders.items():
            given |= {str(key): each[0] for key, each in zip(keys, borders[name], strict=True)}
        found = self._part(given)
        return found[: self._n_outputs], [[tensor] for tensor in found[self._n_outputs :]]


def make_part(graph: OnnxGraph, steps: Sequence[OnnxStep], given: Iterable[Key], outputs: Iterable[Key]) -> Part:
    """Return some steps of a graph as a session, with the free steps that they need.

    Parameters
    ----------
    graph : OnnxGraph
    steps : sequence of OnnxStep
        In an order in which they can be run.
    given : iterable of Key
        The tensors that they are given.
    outputs : iterable of Key

    Returns
    -------
    Part
    """
    names, results = [str(key) for key in given], [str(key) for key in outputs]
    source = next((name for name in names if graph.rows_axis(name) is not None), "")
    nodes: list[NodeProto] = []
    for step in [*graph.steps.free_steps(steps, results), *steps]:
        sized = step.gives[0] in graph.sizes
        nodes += _size_by_rows(graph, step.gives[0], source) if sized else [step.node]
    inputs = [tensor_value(name, graph.kinds[name], len(graph.steps.shapes[name][0])) for name in names]
    return Part(graph.model, nodes, inputs, results)


def _size_by_rows(graph: OnnxGraph, name: str, source: str) -> list[NodeProto]:
    """Return operators that give what was a tensor's shape, from the number of rows of another tensor."""
    fixed, each = graph.sizes[name]
    if not each.any():
        return [_constant(fixed, name)]
    axis = graph.rows_axis(source)
    parts = [f"{name}/{part}" for part in ("shape", "axis", "rows", "each", "sum", "fixed")]
    shape, place, rows, added, total, start = parts
    return [
        helper.make_node("Shape", [source], [shape]),
        _constant(np.array([axis] if fixed.ndim else axis, dtype=np.int64), place),
        helper.make_node("Gather", [shape, place], [rows]),
        _constant(each, added),
        helper.make_node("Mul", [rows, added], [total]),
        _constant(fixed, start),
        helper.make_node("Add", [total, start], [name]),
    ]


def _constant(value: np.ndarray, name: str) -> NodeProto:
    tensor: TensorProto = numpy_helper.from_array(np.asarray(value, dtype=np.int64))
    return helper.make_node("Constant", [], [name], value=tensor)


class OnnxFramework:
    """An ONNX model, run by parts of its graph.

    Parameters
    ----------
    graph : OnnxGraph
    """

    workers = WORKERS
    chunk_rows: int | None = _CHUNK_ROWS

    def __init__(self, graph: OnnxGraph) -> None:
        self._graph = graph
        self.graph = graph.steps

    def run_together(self, specs: Mapping[str, InputSpec]) -> list[list[str]]:
        """Leave each input alone: a session is made in a millisecond."""
        return [[name] for name in specs]

    def own_steps(self, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> OwnSteps:
        """Return the own steps of some inputs."""
        return OwnSteps(self._graph, inputs, specs)

    def joint_steps(self, inputs: Mapping[str, Key], keeps: Sequence[Key] = ()) -> JointSteps:
        """Return the joint steps that depend on any of some inputs."""
        return JointSteps(self._graph, inputs, keeps)

    def find_shortcuts(self, inputs: Mapping[str, Key]) -> Mapping[str, Any]:
        """Return none: what a change adds to the baseline is not computed apart."""
        return {}

    def find_tails(self, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> Mapping[str, Any]:
        """Return none: a series is run from its first step on."""
        return {}

    def is_affine(self, step: OnnxStep, before_activation: bool) -> bool:
        """Tell whether a step is an operator that is known to be affine in what it takes together."""
        if before_activation and is_sigmoid(step.node):
            return any(step is last for last in self.graph.makes_outputs(lambda each: passes_on(each.node)))
        return is_affine(step.node, {str(key) for key, origin in self.graph.origins.items() if origin})

    def most_rows(self, row_bytes: int, cost: float) -> int:
        """Return how many rows a call shall get, so that all that run together fit into memory."""
        return min(_MOST_ROWS, _RUNNING_BYTES // max(1, row_bytes * self.workers))

    def to_tensor(self, array: Any, spec: InputSpec) -> np.ndarray:  # noqa: ANN401
        """Return an input as an array of the type that the model takes."""
        return np.asarray(array, dtype=spec.dtype)

    def lend(self, array: np.ndarray, spec: InputSpec) -> np.ndarray:
        """Return an input as an array, without a copy where it is of the type that the model takes."""
        return self.to_tensor(array, spec)

    def repeated(self, each: Packed, copies: int) -> Packed:
        """Return copies of a tensor one below the other."""
        return [np.concatenate([part] * copies) for part in each] if copies > 1 else each

    def as_array(self, part: Any) -> np.ndarray:  # noqa: ANN401
        """Return a tensor, which is an array already."""
        return np.asarray(part)

    def n_bytes(self, part: Any) -> int:  # noqa: ANN401
        """Return the memory of a tensor."""
        return int(part.nbytes)

    def to_columns(self, outputs: Iterable[Any], n_rows: int) -> np.ndarray:
        """Return what the model gave as numbers of shape (n_rows, n_outputs)."""
        return as_columns(list(outputs), n_rows)
