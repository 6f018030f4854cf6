"""What is known of the tensors of an ONNX model without running it: weights, and what operators are told by them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper

AXES_ARE_INPUTS = {"Slice": 10, "Split": 13}
"""Since which version of the standard an operator takes as tensors what were attributes before."""


class Constants:
    """What is known of a model's tensors without running it.

    Parameters
    ----------
    model : onnx.ModelProto
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self._weights |= {
            node.output[0]: told.t
            for node in model.graph.node
            if node.op_type == "Constant" and not node.domain
            for told in node.attribute
            if told.name == "value"
        }
        self._version = version_of(model)

    def value(self, name: str) -> np.ndarray | None:
        """Return the value of a weight or a constant, or None for what is none."""
        tensor = self._weights.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def slice_of(self, node: NodeProto, width: int) -> tuple[int, int] | None:
        """Return the first column that a Slice takes and the one behind the last, where it takes neighbours."""
        told = [self._told(node, place, name) for place, name in enumerate(("starts", "ends", "axes", "steps"), 1)]
        starts, ends, axes, steps = told
        if starts is None or ends is None or axes is None or len(starts) != 1 or axes[0] not in (1, -1):
            return None
        if steps is not None and steps[0] != 1:
            return None
        start, stop, _ = slice(starts[0], ends[0]).indices(width)
        return (start, stop) if start < stop else None

    def split_of(self, node: NodeProto, width: int) -> list[int] | None:
        """Return where a Split cuts columns, from the first to behind the last."""
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
        if axis not in (1, -1):
            return None
        lengths = self._told(node, 1, "split")
        if lengths is None:
            even = -(-width // len(node.output))
            lengths = [min(even, width - even * place) for place in range(len(node.output))]
        return [0, *np.cumsum(lengths).tolist()] if sum(lengths) == width and min(lengths) > 0 else None

    def _told(self, node: NodeProto, place: int, name: str) -> list[int] | None:
        """Return whole numbers that an operator is told, as an attribute or, later, as an input that is a weight."""
        if self._version < AXES_ARE_INPUTS[node.op_type]:
            return next((list(told.ints) for told in node.attribute if told.name == name), None)
        value = self.value(node.input[place]) if len(node.input) > place else None
        return None if value is None else [int(number) for number in value.ravel()]


def version_of(model: onnx.ModelProto) -> int:
    """Return which version of the standard a model follows."""
    return max((told.version for told in model.opset_import if told.domain in ("", "ai.onnx")), default=1)
