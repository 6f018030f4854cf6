"""What an ONNX model takes and gives, as its file says it: inputs with types and shapes, and what can be followed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, ValueInfoProto, helper

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.inputs.specs import Head, InputSpec, OutputSpec
from nnperm_mlflow.models.model_uri import ModelReference

logger = logging.getLogger(__name__)

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
_WHOLE = (
    TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
    TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64, TensorProto.BOOL,
)  # fmt: skip
_TAKEN = (*_FLOATS, *_WHOLE, TensorProto.STRING)

_PASSING = frozenset({"Identity", "Cast", "Reshape", "Squeeze", "Flatten", "Unsqueeze"})
"""Operators that move numbers and change none."""


@dataclass(frozen=True)
class Output:
    """A tensor of the model that is followed.

    Attributes
    ----------
    tensor : str
        Its name in the graph.
    names : tuple of str
        One for each number of a row; empty where only a call tells how many there are.
    activation : str
        Operator that makes it, if that tells what it is: "Sigmoid", "Softmax".
    """

    tensor: str
    names: tuple[str, ...]
    activation: str


def input_values(model: onnx.ModelProto) -> list[ValueInfoProto]:
    """Return the inputs of a model; what has a value in the file is a weight, though old files list it as an input."""
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return [value for value in model.graph.input if value.name not in weights]


def input_specs(model: onnx.ModelProto, reference: ModelReference) -> list[InputSpec]:
    """Return one spec for each input of a model.

    Parameters
    ----------
    model : onnx.ModelProto
    reference : ModelReference
        For messages.

    Returns
    -------
    list of InputSpec
        By the names and in the order of the graph.

    Raises
    ------
    ModelError
        If an input is no tensor with one row for each observation.
    """
    values = input_values(model)
    if not values:
        raise ModelError(f"{reference} takes no inputs: what it predicts is always the same.")
    return [_spec(value, reference) for value in values]


def _spec(value: ValueInfoProto, reference: ModelReference) -> InputSpec:
    kind, tensor = value.type.WhichOneof("value"), value.type.tensor_type
    if kind != "tensor_type" or tensor.elem_type not in _TAKEN:
        told = TensorProto.DataType.Name(tensor.elem_type) if kind == "tensor_type" else str(kind)
        raise ModelError(
            f"{reference} takes '{value.name}' of type {told.lower()}: inputs can be disturbed that are tensors of "
            "float16, float32, float64, whole numbers, yes/no or text."
        )
    if not tensor.HasField("shape") or not tensor.shape.dim:
        raise ModelError(
            f"{reference} takes '{value.name}', of which its file tells no axes, or that has none: no row of it "
            "belongs to an observation. Export it again with a first axis of any length, one row for each observation."
        )
    rows, *axes = [axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim]
    if rows is not None and rows > 0:
        raise ModelError(
            f"{reference} takes '{value.name}' with exactly {rows} row(s), and ONNX Runtime refuses any other number. "
            "Export it again with a first axis of any length: dynamic_shapes or dynamic_axes of torch.onnx.export, "
            "[None, ...] in initial_types of skl2onnx."
        )
    shape = tuple(length if length is not None and length > 0 else None for length in axes)
    dtype = np.dtype(object) if tensor.elem_type == TensorProto.STRING else _dtype(tensor.elem_type)
    return InputSpec(value.name, shape, dtype)


def _dtype(kind: int) -> np.dtype:
    return np.dtype(helper.tensor_dtype_to_np_dtype(kind))


def followed_outputs(model: onnx.ModelProto, reference: ModelReference) -> list[Output]:
    """Return the outputs of a model that can be followed.

    Beside numbers with a fraction, whole numbers, yes/no and text are the labels that follow from them, and left out.
    Where a model tells a number by class, as converters from scikit-learn have it, it is the numbers alone.

    Parameters
    ----------
    model : onnx.ModelProto
    reference : ModelReference
        For messages.

    Returns
    -------
    list of Output

    Raises
    ------
    ModelError
        If there is none.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    by_class = {value.name: makers[value.name] for value in model.graph.output if _is_zip_map(makers.get(value.name))}
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.output}
    floats = [name for name, kind in kinds.items() if name in by_class or kind in _FLOATS]
    kept = floats or [name for name, kind in kinds.items() if kind in _WHOLE]
    if not kept:
        raise ModelError(
            f"{reference} gives {name_list(kinds)}, and none of it is a tensor of numbers: between labels there is no "
            "distance. Export it so that it gives scores or probabilities."
        )
    if left_out := [name for name in kinds if name not in kept]:
        logger.info("of the outputs of %s %s is left out: labels, beside numbers", reference, name_list(left_out))
    shapes = {value.name: _width(value) for value in model.graph.output}
    return [
        _by_class(name, by_class[name]) if name in by_class else
        Output(name, _names(name, shapes[name]), _activation(name, makers))
        for name in kept
    ]  # fmt: skip


def output_spec(outputs: Sequence[Output]) -> OutputSpec:
    """Return what is known of outputs, one beside the other, before the model is called."""
    if not all(output.names for output in outputs):
        return OutputSpec((), tuple(_head(output, 0, 0) for output in outputs))
    names: list[str] = []
    heads = []
    for output in outputs:
        heads.append(_head(output, len(names), len(output.names)))
        names += output.names
    return OutputSpec(tuple(names), tuple(heads))


def _is_zip_map(node: Any) -> bool:  # noqa: ANN401 - a node, or None
    return node is not None and (node.domain, node.op_type) == ("ai.onnx.ml", "ZipMap")


def _by_class(name: str, zip_map: onnx.NodeProto) -> Output:
    """Return the numbers that are told by class, each called `<output>_<class>`."""
    labels = [label for told in zip_map.attribute for label in (*told.ints, *told.strings)]
    told = [label.decode(errors="replace") if isinstance(label, bytes) else str(label) for label in labels]
    return Output(zip_map.input[0], tuple(f"{name}_{label}" for label in told), "")


def _names(name: str, width: int | None) -> tuple[str, ...]:
    if width is None:
        return ()
    return (name,) if width == 1 else tuple(f"{name}_{position}" for position in range(width))


def _width(value: ValueInfoProto) -> int | None:
    """Return how many numbers a row of an output holds, or None where only a call tells."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    width = 1
    for axis in list(value.type.tensor_type.shape.dim)[1:]:
        if not axis.HasField("dim_value") or axis.dim_value < 1:
            return None
        width *= axis.dim_value
    return width


def _activation(name: str, makers: dict[str, onnx.NodeProto]) -> str:
    """Return the operator that makes an output, or the numbers that it passes on."""
    node = makers.get(name)
    while node is not None and node.op_type in _PASSING:
        node = makers.get(node.input[0])
    return node.op_type if node is not None and not node.domain else ""


def _head(output: Output, first: int, width: int) -> Head:
    unit = "probability" if output.activation in ("Sigmoid", "Softmax") else None
    return Head(tuple(range(first, first + width)), unit, output.activation == "Softmax" and width > 1)
