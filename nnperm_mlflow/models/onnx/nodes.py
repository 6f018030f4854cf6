"""The operators that an ONNX model consists of, unfolded into a graph of steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto

from nnperm_mlflow.inputs.specs import Arrays, InputSpec
from nnperm_mlflow.models.graph import Graph
from nnperm_mlflow.models.onnx._columns import Range, pick_columns
from nnperm_mlflow.models.onnx._part import KINDS, Part, kind_of, taken_by, tensor_value

_ROWS = (2, 3)
"""Of the calls that show how the shapes of tensors follow from the number of rows."""

_SHAPES = ("Shape", "Size")
"""Operators that take a tensor's shape, and none of its values."""

_OPEN = frozenset({"NonZero", "Unique", "Compress", "NonMaxSuppression", "StringSplit", "Loop", "If", "Scan"})
"""Operators of which the shape of what they give depends on values."""

_WEIGHTED = frozenset(
    {"Gemm", "MatMul", "FusedGemm", "FusedMatMul", "Conv", "FusedConv", "ConvTranspose", "LSTM", "GRU", "RNN",
     "Attention", "MatMulInteger", "QLinearMatMul", "QLinearConv", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM",
     "MatMulNBits", "LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"}
)  # fmt: skip
"""Operators that multiply by each of their weights once a position."""

_VISITS = 10  # nodes of a tree that a row passes, about


@dataclass(frozen=True)
class OnnxStep:
    """One operator of an ONNX model.

    Attributes
    ----------
    node : NodeProto
    takes, gives : tuple of str
        The tensors whose values it takes, and those that it makes.
    cost : float
        Multiplications a row, about.
    row_bytes : int
        Memory that the outputs take a row, about.
    """

    node: NodeProto
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    cost: float
    row_bytes: int


@dataclass(frozen=True)
class OnnxGraph:
    """A model taken apart.

    Attributes
    ----------
    steps : Graph of OnnxStep
    model : onnx.ModelProto
        With all weights that the steps take.
    kinds : dict of str to int
        How ONNX numbers the type of each tensor.
    ranges : dict of str to list of Range
        For each input of the model of which the graph only picks columns, ranges of them, which are inputs instead.
    sizes : dict of str to (ndarray, ndarray)
        For what is taken of a tensor's shape: what it is for no rows, and what each row adds.
    by_rows : frozenset of str
        Tensors whose first axis is the rows, and no other, whatever values there are.
    """

    steps: Graph[OnnxStep]
    model: onnx.ModelProto
    kinds: dict[str, int]
    ranges: dict[str, list[Range]]
    sizes: dict[str, tuple[np.ndarray, np.ndarray]]
    by_rows: frozenset[str]

    @property
    def is_kept_by_rows(self) -> bool:
        """Whether all that is kept between parts of the graph, repeated or taken from donors has its rows first."""
        origins = self.steps.origins
        crossing = {
            name
            for step in self.steps.steps
            for name in step.takes
            if origins[name] and origins[name] != origins[step.gives[0]]
        }
        return self.by_rows.issuperset([*crossing, *self.steps.outputs])

    def rows_axis(self, name: str) -> int | None:
        """Return along which axis a tensor has its rows, or None where it has none."""
        shape, _ = self.steps.shapes[name]
        return shape.index(None) if None in shape else None


def unfold(model: onnx.ModelProto, specs: Sequence[InputSpec], rows: Arrays) -> OnnxGraph:
    """Return the graph of a model.

    Parameters
    ----------
    model : onnx.ModelProto
        As ONNX Runtime runs it. Not modified.
    specs : sequence of InputSpec
    rows : mapping of str to ndarray of shape (n_rows, ...)
        Some rows, to see what shapes tensors have.

    Returns
    -------
    OnnxGraph

    Raises
    ------
    PredictionError
        If the model fails on the rows.
    KeyError
        If a tensor is of a type that NumPy does not know, or none.
    """
    few, more = _traced(model, specs, rows)
    picked = pick_columns(model, _widths(specs))
    shapes = {name: _shape(array, more[name]) for name, array in few.items()}
    kinds = {name: kind_of(array) for name, array in few.items() if _has_kind(array)}
    for name, (like, width) in picked.like.items():
        shapes[name], kinds[name] = (None, width), kinds[like]
    whole = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    whole.graph.initializer.extend([*model.graph.initializer, *picked.weights])
    whole.graph.sparse_initializer.extend(model.graph.sparse_initializer)
    inputs = tuple(spec.name for spec in range_specs(specs, picked.ranges))
    steps, varying = _steps(picked.nodes, _weights(whole), shapes, kinds, inputs)
    graph = Graph(steps, inputs, tuple(value.name for value in model.graph.output),
                  {name: (shape, str(kinds.get(name))) for name, shape in shapes.items()})  # fmt: skip
    sizes = {
        step.gives[0]: _by_rows(few[step.gives[0]], more[step.gives[0]])
        for step in steps
        if step.node.op_type in _SHAPES and not step.takes
    }
    by_rows = {name for name, array in few.items() if _has_rows_first(array, more[name])} | set(picked.like)
    return OnnxGraph(graph, whole, kinds, picked.ranges, sizes, frozenset(by_rows - varying))


def comes_apart(model: onnx.ModelProto, specs: Sequence[InputSpec]) -> bool:
    """Tell whether a model may have more than one input, once columns are picked, without running it."""
    return len(specs) > 1 or bool(pick_columns(model, _widths(specs)).ranges)


def _widths(specs: Iterable[InputSpec]) -> dict[str, int]:
    """Return how many columns inputs have; of one that is no matrix, 0."""
    return {spec.name: (spec.shape[0] or 0) if len(spec.shape) == 1 else 0 for spec in specs}


def range_specs(specs: Iterable[InputSpec], ranges: Mapping[str, Sequence[Range]]) -> list[InputSpec]:
    """Return what the graph takes where ranges of columns stand for some inputs."""
    found = []
    for spec in specs:
        own = ranges.get(spec.name)
        found += (
            [spec] if own is None else [replace(spec, name=name, shape=(stop - start,)) for name, start, stop in own]
        )
    return found


def _traced(model: onnx.ModelProto, specs: Sequence[InputSpec], rows: Arrays) -> list[dict[str, Any]]:
    """Return all tensors of a model for each of two numbers of rows."""
    names = [name for node in model.graph.node for name in node.output if name]
    inputs = [tensor_value(spec.name, kind_of(rows[spec.name]), rows[spec.name].ndim) for spec in specs]
    whole = Part(model, model.graph.node, inputs, names)
    traced = []
    for n_rows in _ROWS:
        some = {spec.name: np.resize(rows[spec.name], (n_rows, *rows[spec.name].shape[1:])) for spec in specs}
        traced.append({**some, **dict(zip(names, whole(some), strict=True))})
    return traced


def _shape(array: Any, other: Any) -> tuple[int | None, ...]:  # noqa: ANN401 - a sequence has no shape
    """Return the shape of a tensor, None along the axis of the rows."""
    both = zip(np.shape(array), np.shape(other), strict=False) if _has_kind(array) else ()
    return tuple(length if length == longer else None for length, longer in both)


def _has_rows_first(array: Any, other: Any) -> bool:  # noqa: ANN401 - a sequence has no shape
    """Tell whether the first axis of a tensor is the rows, and no other."""
    shapes = [np.shape(it) if _has_kind(it) else () for it in (array, other)]
    return [shape[:1] for shape in shapes] == [(n_rows,) for n_rows in _ROWS] and shapes[0][1:] == shapes[1][1:]


def _has_kind(array: Any) -> bool:  # noqa: ANN401
    return isinstance(array, np.ndarray) and (array.dtype in KINDS or array.dtype.kind in "OU")


def _by_rows(few: np.ndarray, more: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what a size is without rows, and what each row adds to it."""
    each = (more - few) // (_ROWS[1] - _ROWS[0])
    return few - each * _ROWS[0], each


def _weights(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many numbers each weight of a model holds."""
    dense = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
    return {**dense, **{tensor.values.name: math.prod(tensor.dims) for tensor in model.graph.sparse_initializer}}


def _steps(
    nodes: Iterable[NodeProto],
    weights: Mapping[str, int],
    shapes: Mapping[str, tuple[int | None, ...]],
    kinds: Mapping[str, int],
    inputs: Iterable[str],
) -> tuple[tuple[OnnxStep, ...], set[str]]:
    """Return the steps, and the tensors whose shape depends on values."""
    steps = []
    valued = set(inputs)  # tensors that depend on a value
    varying: set[str] = set()  # those whose shape does
    for node in nodes:
        takes = tuple(name for name in taken_by(node) if name not in weights)
        gives = tuple(name for name in node.output if name)
        if node.op_type in _SHAPES and not node.domain and varying.isdisjoint(takes):
            takes = ()
        if not valued.isdisjoint(takes):
            valued.update(gives)
            told = valued.intersection(node.input[1:]) - set(gives) if node.op_type in _SHAPED else set()
            if node.op_type in _OPEN or told or not varying.isdisjoint(takes):
                varying.update(gives)
        n_bytes = sum(_row_size(shapes[name]) for name in gives if name in kinds)
        steps.append(OnnxStep(node, takes, gives, _cost(node, weights, shapes), 4 * n_bytes))
    return tuple(steps), varying


_SHAPED = frozenset(
    {"Reshape", "Expand", "Slice", "Tile", "Pad", "Resize", "Upsample", "TopK", "OneHot", "Split", "Range",
     "CenterCropPad", "SplitToSequence", "SequenceAt", "ConstantOfShape", "Squeeze", "Unsqueeze"}
)  # fmt: skip
"""Operators whose further inputs tell the shape of what they give."""


def _cost(node: NodeProto, weights: Mapping[str, int], shapes: Mapping[str, tuple[int | None, ...]]) -> float:
    """Estimate the multiplications a row: each weight once a position, and each output once."""
    given = float(sum(_row_size(shapes[name]) for name in node.output if name in shapes))
    taken = [shapes[name] for name in node.input if name in shapes]
    if node.op_type.startswith("TreeEnsemble"):
        trees = next((told.ints for told in node.attribute if told.name in ("nodes_treeids", "tree_roots")), ())
        return given + _VISITS * len(set(trees))
    if node.op_type not in _WEIGHTED or not taken:
        return given
    positions = _row_size(taken[0]) / max(1, taken[0][-1] or 1)
    multiplied: float = sum(weights[name] for name in node.input if name in weights)
    multiplied += sum(_VISITS * len(told.floats) for told in node.attribute if told.name == "coefficients")
    if not multiplied:  # one tensor by another
        multiplied = max(1, taken[0][-1] or 1) * max(1, given / max(positions, 1))
    return given + positions * multiplied


def _row_size(shape: tuple[int | None, ...]) -> int:
    """Return how many numbers of a tensor belong to a row; 0 where it has no rows."""
    return math.prod(length or 1 for length in shape) if None in shape else 0
