"""Which operators of an ONNX model are affine in all that they take together."""

from __future__ import annotations

from collections.abc import Container

from onnx import NodeProto, TensorProto

_PASSING = frozenset(
    ("Identity", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Expand")
)
"""Operators that give what they take first, or a part of it, in another shape."""

_FIRST = frozenset(("ReduceSum", "ReduceMean", "Neg", "BatchNormalization", "Div", "Gather"))
"""Affine in what they take first, all else being constant."""

_ALL = frozenset(("Concat", "Add", "Sub", "Sum", "Mean"))
"""Affine in all that they take together."""

_ONE = frozenset(("MatMul", "Mul", "Gemm", "Conv"))
"""Affine where of the two that are multiplied with each other one is constant."""

_FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


def is_affine(node: NodeProto, varying: Container[str]) -> bool:
    """Tell whether an operator is known to be affine in all that it takes together; unknown ones are not.

    Parameters
    ----------
    node : NodeProto
    varying : container of str
        The tensors that depend on what stands in an input.
    """
    if node.domain not in ("", "ai.onnx"):
        return False
    places = {place for place, name in enumerate(node.input) if name in varying}
    kind = node.op_type
    if kind in _PASSING or kind in _FIRST:
        return places <= {0}
    if kind == "Cast":
        return any(told.name == "to" and told.i in _FLOATS for told in node.attribute)
    return kind in _ALL or (kind in _ONE and len(places & {0, 1}) <= 1)


def passes_on(node: NodeProto) -> bool:
    """Tell whether an operator gives what it takes first, or a part of it, in another shape."""
    return node.domain in ("", "ai.onnx") and node.op_type in _PASSING


def is_sigmoid(node: NodeProto) -> bool:
    """Tell whether an operator is the sigmoid function of one tensor."""
    return node.domain in ("", "ai.onnx") and node.op_type == "Sigmoid"
