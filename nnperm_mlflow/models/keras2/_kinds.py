"""What networks of Keras 2 hold that Keras 3 reads otherwise, or not at all, told by their configuration alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnperm_mlflow.models.keras2._masks import RECURRENT, Layer, masks_taken_otherwise, name_of, tensors_of

_NETWORKS = frozenset({"Functional", "Model", "Sequential"})
_LACKING = re.compile(
    r"AddLoss|AddMetric|Attention|BatchNormalizationV\d|Conv\dDTranspose|CuDNN\w+|DepthwiseConv1D|Discretization"
    r"|EinsumDense|HashedCrossing|LocallyConnected\dD|MultiHeadAttention|Random\w+|SeparableConv\dD|SlicingOpLambda"
    r"|SpatialDropout\dD|SyncBatchNormalization|TensorFlowOpLayer|TFOpLambda|ThresholdedReLU|\w+V[12]"
)
"""Layers of Keras 2 that Keras 3 does not read, or has no more; initialisers like `RandomNormal` are no layers."""

_SAID = {"TFOpLambda": "operators", "SlicingOpLambda": "operators", "TensorFlowOpLayer": "operators"}
_OF_AXES = frozenset({"LayerNormalization", "Normalization", "Softmax", "UnitNormalization"})
_HALF = re.compile(r"(?P<layer>.*?)/?(?P<half>forward|backward)_")


def kinds_read_otherwise(config: Any) -> list[str]:  # noqa: ANN401 - nested JSON
    """Return what a network holds of which Keras 3 is known to make something else than Keras 2 did, or nothing.

    Parameters
    ----------
    config : nested dicts and lists
        As a `.keras` or HDF5 file of Keras 2 holds it.

    Returns
    -------
    list of str
        In words, each once; empty where Keras 3 gives the numbers of Keras 2, as far as is known.
    """
    return list(dict.fromkeys(_kinds(config)))


def exchanged_halves(path: Path) -> list[str]:
    """Return the bidirectional layers of an HDF5 network whose halves Keras reads in exchanged places.

    Where one half was frozen when the network was saved, its weights come last in the file. The configuration does not
    say so, and Keras reads them in the order of the layer: a trap of the format, for Keras 2 itself, too.
    """
    import h5py  # noqa: PLC0415 - needed for this format alone

    found: list[str] = []
    with h5py.File(path) as file:
        for group in file.get("model_weights", {}).values():
            first: dict[str, str] = {}
            for name in group.attrs.get("weight_names", []):
                half = _HALF.match(name.decode() if isinstance(name, bytes) else str(name))
                if half:
                    first.setdefault(half["layer"], half["half"])
            found += [layer for layer, half in first.items() if half == "backward"]
    return sorted(set(found))


def _kinds(part: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(part, list):
        for value in part:
            yield from _kinds(value)
    elif isinstance(part, Mapping):
        if part.get("class_name") in _NETWORKS:
            yield from _kinds_of_network(part)
        elif isinstance(part.get("config"), Mapping):
            yield from _kinds_of_layer(part)
        for key, value in part.items():
            if value == "hard_sigmoid" and ("activation" in key or part.get("class_name") == "function"):
                yield "hard_sigmoid"
            yield from _kinds(value)


def _kinds_of_network(network: Mapping[str, Any]) -> Iterator[str]:
    layers = _layers_of(network)
    is_sequence = network["class_name"] == "Sequential"
    if is_sequence and layers and layers[0]["class_name"] != "InputLayer":
        yield "no InputLayer"
    for layer in layers:
        if layer["class_name"] in _NETWORKS and not is_sequence:
            yield f"a network in it ({name_of(layer)})"
        for call in layer.get("inbound_nodes", []):
            yield from _kinds_of_call(layer, list(tensors_of(call)))
    for taker in masks_taken_otherwise(layers):
        yield f"a mask that reaches {taker}"


def _layers_of(network: Mapping[str, Any]) -> list[Layer]:
    """Return the layers of a network; before Keras 2.2.3 a sequence was a list of them."""
    settings = network.get("config")
    layers = settings if isinstance(settings, list) else (settings or {}).get("layers", [])
    return [layer for layer in layers if isinstance(layer.get("config"), Mapping)]


def _kinds_of_call(layer: Layer, tensors: list[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    given = {name for _, arguments in tensors for name, value in arguments.items() if value not in (None, False)}
    if "training" in given:
        yield f"training=True in a call of {name_of(layer)}"
    if "mask" in given:
        yield f"a mask in a call of {name_of(layer)}"
    if "initial_state" in given or (layer["class_name"] in RECURRENT and len(tensors) > 1):
        yield f"initial_state in a call of {name_of(layer)}"


def _kinds_of_layer(layer: Mapping[str, Any]) -> Iterator[str]:
    kind, settings = str(layer.get("class_name")), layer["config"]
    if _LACKING.fullmatch(kind) and "name" in settings:
        yield _SAID.get(kind, kind)
    if isinstance(settings.get("dtype"), Mapping):
        yield f"the policy {settings['dtype'].get('config', {}).get('name')}"
    axis = settings.get("axis", -1)
    if kind in _OF_AXES and (axis is None or (isinstance(axis, list) and len(axis) != 1)):
        yield f"{kind} over several axes"
    inner = settings.get("layer")
    held = inner.get("class_name") if isinstance(inner, Mapping) else None
    if held in _NETWORKS or (kind == "TimeDistributed" and held == "BatchNormalization"):
        yield f"{held} in {kind}"
