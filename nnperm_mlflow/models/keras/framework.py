"""Keras networks in compiled parts, for `models.branches`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.branches.framework import Packed
from nnperm_mlflow.models.graph import Key
from nnperm_mlflow.models.keras._affine import find_exits, is_affine
from nnperm_mlflow.models.keras._compiled_steps import JointSteps, OwnSteps
from nnperm_mlflow.models.keras._shortcut import Shortcut
from nnperm_mlflow.models.keras._tails import Tail, find_tails
from nnperm_mlflow.models.keras.nodes import KerasGraph, KerasStep, repeated
from nnperm_mlflow.models.tensor_outputs import to_columns
from nnperm_mlflow.models.tensors import WORKERS, lend_tensor, to_tensor

_MOST_ROWS = 16_384  # of a call
_FEWEST_ROWS = 1_024  # of a call, below which the call itself costs as much as its rows
_CALL_COST = 1 << 29  # multiplications of a call beyond which more rows make none of them cheaper
_RUNNING_BYTES = 1 << 29  # of activations, of all calls that run at the same time: 512 MiB


class KerasFramework:
    """A functional Keras network on TensorFlow, run by compiled parts of its graph.

    Parameters
    ----------
    graph : KerasGraph
    """

    workers = WORKERS
    chunk_rows: int | None = None

    def __init__(self, graph: KerasGraph) -> None:
        self.graph = graph

    def run_together(self, specs: Mapping[str, InputSpec]) -> list[list[str]]:
        """Put inputs of a single cell together: their own steps are few, and each compilation takes a while.

        Other inputs stay alone, as running one of them is to run nothing else.
        """
        cells = [name for name, spec in specs.items() if math.prod(length or 2 for length in spec.shape) == 1]
        return [*([cells] if cells else []), *([name] for name in specs if name not in cells)]

    def own_steps(self, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> OwnSteps:
        """Return the own steps of some inputs, to be compiled."""
        return OwnSteps(self.graph, inputs, specs)

    def joint_steps(self, inputs: Mapping[str, Key], keeps: Sequence[Key] = ()) -> JointSteps:
        """Return the joint steps that depend on any of some inputs, to be compiled."""
        return JointSteps(self.graph, inputs, keeps)

    def find_shortcuts(self, inputs: Mapping[str, Key]) -> Mapping[str, Shortcut]:
        """Return the shortcuts of inputs in which the network begins affine."""
        exits = {name: find_exits(self.graph, key) for name, key in inputs.items()}
        return {name: Shortcut(self.graph, inputs[name], found) for name, found in exits.items() if found}

    def find_tails(self, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> Mapping[str, Tail]:
        """Return what runs series from any of their steps on, where recurrent layers read them."""
        return find_tails(self.graph, inputs, specs)

    def is_affine(self, step: KerasStep, before_activation: bool) -> bool:
        """Tell whether a step is one of Keras's own layers that are affine in what they take."""
        return is_affine(step) or (
            before_activation
            and step.gives == self.graph.outputs
            and is_affine(step, activations=("linear", "sigmoid"))
        )

    def most_rows(self, row_bytes: int, cost: float) -> int:
        """Return how many rows a call shall get, so that it pays and all that run together fit into memory."""
        fitting = _RUNNING_BYTES // max(1, row_bytes * self.workers)
        paying = max(_FEWEST_ROWS, int(_CALL_COST / max(1.0, cost)))
        return min(_MOST_ROWS, paying, fitting)

    def to_tensor(self, array: Any, spec: InputSpec) -> Any:  # noqa: ANN401
        """Return an input as the tensor that its network takes."""
        return to_tensor(array, spec)

    def lend(self, array: np.ndarray, spec: InputSpec) -> Any:  # noqa: ANN401
        """Return an input as a tensor that uses the array's own memory, where TensorFlow can."""
        return lend_tensor(array, spec)

    def repeated(self, each: Packed, copies: int) -> Packed:
        """Return copies of a tensor one below the other, and of its mask."""
        return repeated(each, copies)

    def as_array(self, part: Any) -> np.ndarray:  # noqa: ANN401
        """Return a tensor, or a mask, as an array."""
        return np.asarray(part)

    def n_bytes(self, part: Any) -> int:  # noqa: ANN401
        """Return the memory of a tensor."""
        return part.shape.num_elements() * part.dtype.size

    def to_columns(self, outputs: Iterable[Any], n_rows: int) -> np.ndarray:
        """Return what a network gave as numbers of shape (n_rows, n_outputs)."""
        return to_columns(outputs, n_rows)
