"""Some operators of an ONNX model as a session of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto

from nnperm_mlflow.models.onnx.sessions import open_session, plain_options, run


class Part:
    """Some operators of a model that was optimized, run as they are.

    Parameters
    ----------
    model : onnx.ModelProto
        Of which the part is one.
    nodes : sequence of NodeProto
        In an order in which they can be run.
    inputs : sequence of ValueInfoProto
        Of what the operators may take; what they do not is left out.
    outputs : sequence of str
        What they shall give, or what of the inputs is to be passed on.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        nodes: Sequence[NodeProto],
        inputs: Iterable[ValueInfoProto],
        outputs: Sequence[str],
    ) -> None:
        made = {name for node in nodes for name in node.output}
        taken = {name for node in nodes for name in taken_by(node)}
        self._outputs = tuple(outputs)
        self._made = tuple(dict.fromkeys(name for name in outputs if name in made))
        self._takes = [value.name for value in inputs if value.name in taken]
        self._session = None
        if self._made:
            part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
            part.graph.name = "part"
            part.graph.node.extend(nodes)
            part.graph.input.extend(value for value in inputs if value.name in taken)
            part.graph.output.extend(ValueInfoProto(name=name) for name in self._made)
            part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in taken)
            part.graph.sparse_initializer.extend(
                tensor for tensor in model.graph.sparse_initializer if tensor.values.name in taken
            )
            self._session = open_session(part, plain_options())

    def __call__(self, given: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for tensors by name; further ones may be among them."""
        made: dict[str, np.ndarray] = {}
        if self._session is not None:
            feeds = {name: given[name] for name in self._takes}
            made = dict(zip(self._made, run(self._session, self._made, feeds), strict=True))
        return [made[name] if name in made else given[name] for name in self._outputs]


def taken_by(node: NodeProto) -> list[str]:
    """Return the tensors that an operator takes, those of the graphs in it (branches, loops) included."""
    found = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
            found += _outer_names(graph)
    return list(dict.fromkeys(found))


def _outer_names(graph: onnx.GraphProto) -> list[str]:
    """Return what a graph takes from outside of it."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {tensor.values.name for tensor in graph.sparse_initializer}
    found = []
    for node in graph.node:
        found += [name for name in taken_by(node) if name not in own]
        own.update(node.output)
    return [*found, *(value.name for value in graph.output if value.name not in own)]


def tensor_value(name: str, kind: int, rank: int) -> ValueInfoProto:
    """Return how a part declares a tensor that it is given, of axes of any length."""
    return onnx.helper.make_tensor_value_info(name, kind, [None] * rank)


KINDS = {np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)): kind for kind in
         (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BOOL,
          TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
          TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64)}  # fmt: skip
"""Types of NumPy, and how ONNX numbers them; text is an object there."""


def kind_of(array: np.ndarray) -> int:
    """Return how ONNX numbers the type of an array.

    Raises
    ------
    KeyError
        If it has none.
    """
    return TensorProto.STRING if array.dtype.kind in "OU" else KINDS[array.dtype]
