"""What a Keras network takes and gives, whatever Keras runs on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from nnperm_mlflow.inputs.specs import Head, InputSpec, OutputSpec


def input_structure(network: keras.Model) -> Any:  # noqa: ANN401 - a tensor, or a list or dict of them
    """Return the inputs as the network wants them handed over; None for one that does not say (a subclass)."""
    try:
        return network.input
    except (AttributeError, ValueError):
        return getattr(network, "inputs", None) or None


def specs_of(structure: Any) -> list[InputSpec]:  # noqa: ANN401
    """Return one spec per input, in the structure's own order; a dict's keys are the names, else the tensors'."""
    specs = []
    for path, tensor in keras.tree.flatten_with_path(structure):
        name = path[-1] if path and isinstance(path[-1], str) else tensor.name
        specs.append(InputSpec(name, tuple(tensor.shape)[1:], _numpy_type(tensor.dtype)))
    return specs


def _numpy_type(dtype: Any) -> np.dtype:  # noqa: ANN401 - a name, or TensorFlow's own
    """Return the type of an input's arrays; texts are objects."""
    name = str(getattr(dtype, "name", dtype))
    if name == "string":
        return np.dtype(object)
    return np.dtype(name)  # Keras has taught NumPy bfloat16


def outputs_of(network: keras.Model) -> OutputSpec:
    """Return what a network tells of its outputs: their names, and what the layer behind each makes of them."""
    tensors = getattr(network, "outputs", None) or []
    layers = [_layer_behind(tensor) for tensor in tensors] or network.layers[-1:]
    if not tensors or any(len(tensor.shape) != 2 or tensor.shape[1] is None for tensor in tensors):
        return OutputSpec((), tuple(_head(layer, 0, 0) for layer in layers))
    names: list[str] = []
    heads = []
    for name, tensor, layer in zip(_output_names(network), tensors, layers, strict=True):
        width = tensor.shape[1]
        heads.append(_head(layer, len(names), width))
        names += [str(name)] if width == 1 else [f"{name}_{position}" for position in range(width)]
    return OutputSpec(tuple(names), tuple(heads))


def _output_names(network: keras.Model) -> list[str]:
    """Return what a network calls each tensor of its outputs: the keys of a dict, else the names of its layers."""
    structure = getattr(network, "_outputs_struct", None)  # not a public part of Keras
    paths = [path for path, _ in keras.tree.flatten_with_path(structure)] if isinstance(structure, dict) else []
    if len(paths) == len(network.outputs):
        return ["_".join(map(str, path)) for path in paths]
    return list(getattr(network, "output_names", [network.layers[-1].name]))


def _layer_behind(tensor: Any) -> Any:  # noqa: ANN401
    """Return the layer or operation that gives an output; of a network inside, the one that gives its own."""
    operation, _, place = getattr(tensor, "_keras_history", (None, 0, 0))  # not a public part of Keras
    inner = getattr(operation, "outputs", None) if hasattr(operation, "layers") else None
    return _layer_behind(inner[place]) if inner else operation


def _head(layer: Any, first: int, width: int) -> Head:  # noqa: ANN401
    """Return what a layer's last act makes of its outputs; some layers and operations are an activation themselves."""
    symbol = getattr(layer, "symbol", type(layer).__name__)  # what an operator of Keras 2 calls
    own = str(symbol).rpartition(".")[2].lower()
    activation = getattr(getattr(layer, "activation", None), "__name__", own)
    unit = "probability" if activation in ("sigmoid", "softmax") else None
    return Head(tuple(range(first, first + width)), unit, activation == "softmax" and width > 1)
