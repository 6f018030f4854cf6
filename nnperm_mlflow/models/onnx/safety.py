"""What an ONNX model would reach for beyond its inputs, found out without loading it.

A model is a graph of operators, and each has a meaning that ONNX, or ONNX Runtime, defines: they compute. What else
there may be is a library of operators, which runs code, an operator that opens files, and a forest whose nodes read
columns that there are not: ONNX Runtime follows their numbers unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import onnx
from onnx import AttributeProto, NodeProto, ValueInfoProto

from nnperm_mlflow.models.onnx.model_file import every_message

_STANDARD = ("", "ai.onnx", "ai.onnx.ml")
"""Domains whose operators the standard defines."""

_OF_RUNTIME = ("com.microsoft", "com.microsoft.nchwc")
_COMPUTING = re.compile(
    r"(Skip|EmbedLayer|SkipSimplified|Simplified)?(Layer)?Normalization|SkipGroupNorm|GroupNorm|BiasAdd|BiasDropout"
    r"|(Bias|Fast|Quick|BiasSplit)?Gelu|BiasSoftmax|Fused(Conv|Gemm|MatMul|MatMulActivation)|GemmFastGelu"
    r"|(Packed|Group|Multi|Q|Decoder|DecoderMasked|Sparse|Longformer)?(Query|Head|MultiHead|Self)?Attention"
    r"|PackedMultiHeadAttention|RotaryEmbedding|(Gated)?RelativePositionBias|RemovePadding|RestorePadding"
    r"|QLinear\w+|QGemm|Q?MoE|DynamicQuantize(LSTM|MatMul)|MatMul(Integer16|IntegerToFloat|NBits|BnB4|FpQ4)"
    r"|(De)?[Qq]uantizeLinear|GatherBlockQuantized|Nhwc(MaxPool|FusedConv|Conv)|NGramRepeatBlock|Conv|ReorderInput"
    r"|ReorderOutput|Upsample|MaxPool|AveragePool|Global(Max|Average)Pool|ConvTransposeWithDynamicPads|MaxpoolWithMask"
    r"|AttnLSTM|CDist|ComplexMul(Conj)?|CropAndResize|ExpandDims|GatherND|Inverse|Irfft|Rfft|Pad|Range|Trilu|Unique"
    r"|SparseToDenseMatMul|TransposeMatMul|MurmurHash3|Tokenizer|WordConvEmbedding|GridSample|IsAllFinite|ScatterND|\w*Grad"
)
"""Operators that ONNX Runtime adds, as its optimizers and quantizers write them; they compute and do nothing else."""

_FORESTS = {
    "TreeEnsembleClassifier": "class_ids",
    "TreeEnsembleRegressor": "target_ids",
    "TreeEnsemble": "leaf_targetids",
}
"""Operators of trees, with what names the outputs that their leaves add to."""

_KEEP_SHAPE = frozenset({"Scaler", "Imputer", "Normalizer", "Binarizer"})
"""Operators of ai.onnx.ml whose output has the shape of their input, of which ONNX does not know it."""


def reaching_operators(model: onnx.ModelProto) -> list[str]:
    """Return the operators of a model that do not only compute, as far as is known.

    Parameters
    ----------
    model : onnx.ModelProto

    Returns
    -------
    list of str
        Sorted, as `domain.Operator`; empty where the model computes and does nothing else.
    """
    own = {(function.domain, function.name) for function in model.functions}
    nodes = [message for message in every_message(model) if isinstance(message, NodeProto)]
    known = {(node.domain, node.op_type): _only_computes(node, own) for node in nodes}
    return sorted(f"{domain or 'ai.onnx'}.{kind}" for (domain, kind), computes in known.items() if not computes)


def _only_computes(node: NodeProto, own: set[tuple[str, str]]) -> bool:
    """Tell whether an operator is one of the standard, a known one of ONNX Runtime, or a function of the model."""
    if node.domain in _STANDARD or (node.domain, node.op_type) in own:
        return True
    return node.domain in _OF_RUNTIME and bool(_COMPUTING.fullmatch(node.op_type))


def unbounded_forests(model: onnx.ModelProto) -> list[str]:
    """Return the forests of a model whose nodes may read or write where there is nothing.

    Parameters
    ----------
    model : onnx.ModelProto

    Returns
    -------
    list of str
        Why, of each, in words.
    """
    everywhere = sum(isinstance(message, NodeProto) and message.op_type in _FORESTS for message in every_message(model))
    forests = [node for node in model.graph.node if node.op_type in _FORESTS]
    widths = _widths(model) if forests else {}
    found = [why for node in forests if (why := _unbounded(node, widths))]
    return [*found, *(["a forest stands inside of a function or a branch"] if everywhere > len(forests) else [])]


def _unbounded(node: NodeProto, widths: Mapping[str, int]) -> str:
    """Return what is wrong with the numbers of a forest's columns and outputs, or "" where nothing is."""
    told = {attribute.name: attribute for attribute in node.attribute}
    width = widths.get(node.input[0] if node.input else "")
    if width is None:
        return f"a forest ({node.op_type}) reads a table of a width that the file does not tell"
    if (column := _outside(told.get("nodes_featureids"), width)) is not None:
        return f"a forest ({node.op_type}) reads column {column} of a table of {width}"
    output = _outside(told.get(_FORESTS[node.op_type]), _n_outputs(told))
    return "" if output is None else f"a forest ({node.op_type}) gives output {output} of {_n_outputs(told)}"


def _outside(attribute: AttributeProto | None, n_places: int) -> int | None:
    """Return one of some whole numbers that is no place among so many, counted from 0; None where all are."""
    numbers: Iterable[int] = attribute.ints if attribute is not None else ()
    return next((number for number in numbers if not 0 <= number < n_places), None)


def _n_outputs(told: Mapping[str, AttributeProto]) -> int:
    """Return how many outputs a forest has: targets, or classes."""
    if "n_targets" in told:
        return told["n_targets"].i
    labels = [len(told[name].ints) + len(told[name].strings) for name in told if name.startswith("classlabels_")]
    return max(labels, default=0) or 1


def _widths(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many columns the tables of a model have, as far as follows from its inputs and operators.

    What the file says of the shapes in between is not taken for true.
    """
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    for graph in [message for message in every_message(plain) if isinstance(message, onnx.GraphProto)]:
        del graph.value_info[:]
        for output in graph.output:
            output.type.Clear()
        for node in graph.node:
            if node.domain == "ai.onnx.ml" and node.op_type in _KEEP_SHAPE:
                node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output[:1]))
    try:
        found = onnx.shape_inference.infer_shapes(plain).graph
    except onnx.shape_inference.InferenceError:
        return {}
    weights = {tensor.name for tensor in found.initializer}
    told = [value for value in [*found.input, *found.value_info] if value.name not in weights]
    return {value.name: width for value in told if (width := _width_of(value)) is not None}


def _width_of(value: ValueInfoProto) -> int | None:
    axes = value.type.tensor_type.shape.dim
    return axes[1].dim_value if len(axes) == 2 and axes[1].HasField("dim_value") else None
