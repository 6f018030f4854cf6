"""Where a network is affine in one of its inputs, and which dense layers take what does not depend on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from nnperm_mlflow.models.graph import Key
from nnperm_mlflow.models.keras.nodes import KerasGraph, KerasStep

_AFFINE = frozenset(
    {
        "BatchNormalization",
        "Normalization",
        "Rescaling",
        "Dropout",
        "Identity",
        "Flatten",
        "Reshape",
        "Concatenate",
        "Add",
        "Subtract",
        "Average",
    }
)
"""Layers that are affine in what they take when nothing is trained; classes derived from them may be anything."""


@dataclass(frozen=True)
class Exit:
    """Where what is affine in an input ends.

    Attributes
    ----------
    key : Key
        The tensor whose value is moved; for a dense layer with an activation, what goes into the layer.
    dense : KerasStep or None
        That layer's step, whose pre-activation is moved instead.
    """

    key: Key
    dense: KerasStep | None

    @property
    def gives(self) -> Key:
        """The tensor that is known from here."""
        return self.dense.gives[0] if self.dense else self.key


@dataclass(frozen=True)
class Split:
    """A dense layer behind a concatenation of which some parts do not depend on the input.

    Attributes
    ----------
    dense : KerasStep
    joined : Key
        The concatenation.
    touched, untouched : tuple of Key
        Its parts.
    places : mapping of Key to slice
        Which rows of the layer's kernel belong to each part.
    """

    dense: KerasStep
    joined: Key
    touched: tuple[Key, ...]
    untouched: tuple[Key, ...]
    places: Mapping[Key, slice]

    @property
    def bias(self) -> Any:  # noqa: ANN401
        """What the layer adds."""
        return self.dense.operation.bias if self.dense.operation.use_bias else 0.0

    def kernel_of(self, parts: Sequence[Key]) -> Any:  # noqa: ANN401
        """Return the rows of the kernel that belong to some parts, in their order."""
        return tf.concat([self.dense.operation.kernel[self.places[key]] for key in parts], axis=0)


def find_exits(graph: KerasGraph, key: Key) -> list[Exit] | None:
    """Return where what is affine in an input ends, or None where there is no shortcut.

    Parameters
    ----------
    graph : KerasGraph
    key : Key
        An input of shape (n_rows, n_columns).

    Returns
    -------
    list of Exit or None
        None where nothing of the network is affine in the input, or an exit is no matrix.
    """
    if not _is_matrix(graph, key):
        return None
    reached = reached_from(graph, key)
    affine = affine_tensors(reached, key)
    exits: list[Exit] = []
    for step in reached:
        if not affine.issuperset(step.gives):
            dense = step if _is_dense(step) else None
            exits += [Exit(taken, dense) for taken in step.takes if taken in affine]
    exits += [Exit(output, None) for output in graph.outputs if output in affine]
    exits = list({exit_.gives: exit_ for exit_ in exits}.values())
    nothing_saved = any(exit_.key == key and exit_.dense is None for exit_ in exits)
    all_matrices = all(_is_matrix(graph, exit_.key) and _is_matrix(graph, exit_.gives) for exit_ in exits)
    return exits if all_matrices and not nothing_saved else None


def frontier_of(graph: KerasGraph, key: Key) -> tuple[Key, ...]:
    """Return what does not depend on an input and is taken by steps that do, or is an output."""
    taken = [tensor for step in reached_from(graph, key) for tensor in step.takes]
    return tuple(dict.fromkeys(tensor for tensor in [*taken, *graph.outputs] if key not in graph.origins[tensor]))


def _is_matrix(graph: KerasGraph, key: Key) -> bool:
    """Tell whether a tensor is one of float32 numbers, and so many of them a row as the graph says."""
    shape, dtype = graph.shapes[key]
    return len(shape) == 2 and shape[1] is not None and dtype == "float32"


def reached_from(graph: KerasGraph, key: Key) -> list[KerasStep]:
    """Return the steps that depend on an input, in their order."""
    return [step for step in graph.steps if key in graph.origins[step.gives[0]]]


def affine_tensors(reached: Sequence[KerasStep], key: Key) -> set[Key]:
    """Return all tensors that are affine in an input, of those that the steps give that depend on it."""
    touched, affine = {key}, {key}
    for step in reached:
        touched.update(step.gives)
        if is_affine(step) and affine.issuperset(touched.intersection(step.takes)):
            affine.update(step.gives)
    return affine


def is_affine(step: KerasStep, activations: Sequence[str] = ("linear",)) -> bool:
    """Tell whether a step is affine in all that it takes, or, of a dense layer, becomes so without an activation."""
    return step.kind in _AFFINE or (_is_dense(step) and _is_one_of(step.operation.activation, activations))


def _is_one_of(activation: Any, names: Sequence[str]) -> bool:  # noqa: ANN401
    """Tell whether an activation is Keras's own of one of these names; "linear" changes nothing."""
    return activation.__module__.partition(".")[0] in ("keras", "tf_keras") and activation.__name__ in names


def _is_dense(step: KerasStep) -> bool:
    """Tell whether a step is a plain dense layer on a matrix."""
    plain = step.kind == "Dense" and getattr(step.operation, "quantization_mode", None) is None
    return plain and len(step.node.output_tensors[0].shape) == 2


def split_layers(graph: KerasGraph, later: Sequence[KerasStep], touched: set[Key]) -> list[Split]:
    """Return the dense layers whose share from untouched branches is a constant of the block."""
    takers: dict[Key, list[KerasStep]] = {}
    for step in graph.steps:
        for key in step.takes:
            takers.setdefault(key, []).append(step)
    found = []
    for step in later:
        joined = step.gives[0]
        if step.kind != "Concatenate" or joined in graph.outputs:
            continue
        parts = list(step.takes)
        untouched = tuple(key for key in parts if key not in touched)
        followers = takers.get(joined, [])
        plain = all(_is_matrix(graph, key) for key in parts) and len(parts) == len(step.node.input_tensors)
        if not untouched or not plain or len(followers) != 1 or not _is_dense(followers[0]):
            continue
        ends = np.cumsum([0, *(graph.shapes[key][0][1] for key in parts)]).tolist()
        places = {key: slice(*between) for key, between in zip(parts, pairwise(ends), strict=True)}
        found.append(Split(followers[0], joined, tuple(key for key in parts if key in touched), untouched, places))
    return found
