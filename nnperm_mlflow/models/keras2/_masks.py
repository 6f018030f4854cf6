"""Which layers of a network of Keras 2 a mask reaches that Keras 3 does not treat as Keras 2 did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nnperm_mlflow.models.keras2._names import words

Layer = Mapping[str, Any]
"""A layer of a network, as its configuration describes it."""

_PASSING = words(
    "Activation ActivityRegularization AdditiveAttention AlphaDropout BatchNormalization Dense Dropout ELU",
    "GaussianDropout GaussianNoise LayerNormalization LeakyReLU Masking PReLU ReLU TimeDistributed UnitNormalization",
)
"""Layers that hand a mask on, in Keras 2 and 3."""

_ENDING = words(
    "AveragePooling1D Conv1D Cropping1D Dot EinsumDense Flatten GlobalAveragePooling1D GlobalMaxPooling1D",
    "MaxPooling1D Permute RepeatVector Reshape UpSampling1D ZeroPadding1D",
)
"""Layers that hand none on, in Keras 2 and 3."""

RECURRENT = frozenset({"Bidirectional", "GRU", "LSTM", "RNN", "SimpleRNN"})
"""Layers that hand a mask on where they give a series, in Keras 2 and 3."""


def masks_taken_otherwise(layers: Sequence[Layer]) -> list[str]:
    """Return the layers, by name and class, that a mask reaches and that are not known to take it as Keras 2 did.

    Parameters
    ----------
    layers : sequence of Layer
        Of a functional network, or of one that is a sequence.

    Returns
    -------
    list of str
        In the order of the layers.
    """
    sources = sources_of(layers)
    masked = {name_of(layer) for layer in layers if _makes_mask(layer)}
    told: dict[str, None] = {}
    for _ in layers:  # a mask may go back and forth between layers that are used twice
        for layer in layers:
            kind, name = layer["class_name"], name_of(layer)
            if masked.isdisjoint(sources[name]) or kind in _ENDING:
                continue
            if kind in _PASSING or (kind in RECURRENT and _gives_series(layer["config"])):
                masked.add(name)
            elif kind not in RECURRENT:
                told[f"{name} ({kind})"] = None
    return list(told)


def sources_of(layers: Sequence[Layer]) -> dict[str, set[str]]:
    """Return for each layer those whose outputs it takes: as its calls say, or the one before it in a sequence."""
    if all("inbound_nodes" not in layer for layer in layers):
        names = [name_of(layer) for layer in layers]
        return {name: set(names[max(0, place - 1) : place]) for place, name in enumerate(names)}
    return {name_of(layer): {name for name, _ in tensors_of(layer.get("inbound_nodes"))} for layer in layers}


def tensors_of(part: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:  # noqa: ANN401 - nested JSON
    """Yield the layers that calls take tensors of, `[layer, call, output]`, each with the call's other arguments."""
    if isinstance(part, Mapping):
        for value in part.values():
            yield from tensors_of(value)
    elif isinstance(part, list) and _is_reference(part):
        arguments = part[3] if len(part) > 3 and isinstance(part[3], Mapping) else {}
        yield str(part[0]), arguments
        yield from tensors_of(arguments)
    elif isinstance(part, list):
        for value in part:
            yield from tensors_of(value)


def name_of(layer: Layer) -> str:
    """Return the name of a layer."""
    return str(layer.get("name") or layer["config"].get("name"))


def _is_reference(part: list[Any]) -> bool:
    return len(part) in (3, 4) and isinstance(part[0], str) and all(type(number) is int for number in part[1:3])


def _makes_mask(layer: Layer) -> bool:
    return layer["class_name"] == "Masking" or bool(layer["config"].get("mask_zero"))


def _gives_series(settings: Mapping[str, Any]) -> bool:
    inner = settings.get("layer")
    return bool((inner["config"] if isinstance(inner, Mapping) else settings).get("return_sequences"))
