"""A shortcut that is not exact: a changed column moves what is affine in it by a multiple of constant weights.

Up to the first activation a network is often affine in its numbers. There a change of one column by `d` adds `d` times
the column's weights to the pre-activation, whatever the other columns hold; and behind it, what untouched branches add
to a dense layer is a constant of the block. Both save most of the arithmetic and round otherwise than the network does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nnperm_mlflow.models.branches.framework import Packed
from nnperm_mlflow.models.graph import Key
from nnperm_mlflow.models.keras._affine import Exit, affine_tensors, frontier_of, reached_from, split_layers
from nnperm_mlflow.models.keras.nodes import KerasGraph, run_steps, unpacked
from nnperm_mlflow.models.tensors import Compiled, any_rows, guarded


class Shortcut:
    """Predictions for changes of single columns of one input, not to the last bit.

    Parameters
    ----------
    graph : KerasGraph
    key : Key
        An input of shape (n_rows, n_columns).
    exits : sequence of Exit
        As `find_exits` returns them.
    """

    def __init__(self, graph: KerasGraph, key: Key, exits: Sequence[Exit]) -> None:
        self.frontier = frontier_of(graph, key)
        self._graph = graph
        self._key = key
        self._exits = tuple(exits)
        reached = reached_from(graph, key)
        affine = affine_tensors(reached, key)
        self._affine = [step for step in reached if affine.issuperset(step.gives)]
        later = [step for step in reached if not affine.issuperset(step.gives)]
        touched = {key for step in later for key in step.gives} | {exit_.key for exit_ in exits}
        self._splits = split_layers(graph, later, touched)
        self._split_at = {split.dense.gives[0]: split for split in self._splits}
        done = {exit_.gives for exit_ in exits} | {split.joined for split in self._splits}
        self._run_later = [step for step in later if step.gives[0] not in done]
        taken = [key for step in self._run_later if step.gives[0] not in self._split_at for key in step.takes]
        self._needed = tuple(dict.fromkeys(key for key in [*taken, *graph.outputs] if key in self.frontier))
        self._weights: list[Any] = []
        self._prepare: Compiled | None = None
        self._predict: Compiled | None = None

    def prepare(self, inputs: Any, frontier: Sequence[Packed]) -> Any:  # noqa: ANN401
        """Return what is constant for a block of rows, to be handed to `predict`.

        Parameters
        ----------
        inputs : Tensor of shape (n_rows, n_columns)
            The input as it is.
        frontier : sequence of Packed
            What does not depend on the input, in the order of `frontier`.

        Returns
        -------
        tuple
            Values at the exits, constants of dense layers, and the frontier.
        """
        if self._prepare is None:
            self._weights = guarded(self._find_weights, inputs, frontier)
            self._prepare = Compiled(self._run_prepare)
        return self._prepare(inputs, list(frontier))

    def predict(self, prepared: Any, columns: np.ndarray, differences: np.ndarray) -> list[Any]:  # noqa: ANN401
        """Return the network's outputs for changes of single columns, one below the other.

        Parameters
        ----------
        prepared : tuple
            As `prepare` returned it.
        columns : ndarray of shape (n_changes,), int32
        differences : ndarray of shape (n_changes, n_rows), float32
            How much each row's value in the column has grown.

        Returns
        -------
        list of Tensor of shape (n_changes * n_rows, ...)
        """
        if self._predict is None:
            specs = tf.nest.map_structure(any_rows, prepared)
            moves = [tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, None), tf.float32)]
            self._predict = Compiled(self._run_predict, [specs, *moves])
        return list(self._predict(prepared, tf.constant(columns), tf.constant(differences)))

    def _run_prepare(self, inputs: Any, frontier: Sequence[Packed]) -> Any:  # noqa: ANN401
        values = self._given(frontier)
        values = run_steps(self._affine, {**values, self._key: inputs})
        constants = []
        for split in self._splits:
            parts = [values[key] for key in split.untouched]
            constants.append(keras.ops.matmul(tf.concat(parts, axis=-1), split.kernel_of(split.untouched)) + split.bias)
        known = dict(zip(self.frontier, frontier, strict=True))
        return [_at(exit_, values) for exit_ in self._exits], constants, [known[key] for key in self._needed]

    def _run_predict(self, prepared: Any, columns: Any, differences: Any) -> list[Any]:  # noqa: ANN401
        exits, constants, kept = prepared
        copies = tf.shape(columns)[0]
        values = {
            key: unpacked([_tiled(part, copies) for part in each]) for key, each in zip(self._needed, kept, strict=True)
        }
        for exit_, value, weights in zip(self._exits, exits, self._weights, strict=True):
            moved = value[None] + differences[:, :, None] * tf.gather(weights, columns)[:, None, :]
            moved = tf.reshape(moved, [-1, value.shape[-1]])
            values[exit_.gives] = exit_.dense.operation.activation(moved) if exit_.dense else moved
        constant_of = dict(zip([split.dense.gives[0] for split in self._splits], constants, strict=True))
        for step in self._run_later:
            if step.gives[0] in constant_of:
                split = self._split_at[step.gives[0]]
                parts = tf.concat([values[key] for key in split.touched], axis=-1)
                added = keras.ops.matmul(parts, split.kernel_of(split.touched))
                values[step.gives[0]] = step.operation.activation(added + _tiled(constant_of[step.gives[0]], copies))
            else:
                values.update(zip(step.gives, step.run(values), strict=True))
        return [values[key] for key in self._graph.outputs]

    def _given(self, frontier: Sequence[Packed]) -> dict[Key, Any]:
        return {key: unpacked(each) for key, each in zip(self.frontier, frontier, strict=True)}

    def _find_weights(self, inputs: Any, frontier: Sequence[Packed]) -> list[Any]:  # noqa: ANN401
        """Return by how much each exit grows with each column, of shape (n_columns, width): the derivative."""
        found = []
        for exit_ in self._exits:
            width = int(_at(exit_, self._run_affine(inputs[:1], frontier, 1)).shape[-1])
            rows = tf.repeat(inputs[:1], width, axis=0)
            with tf.GradientTape() as tape:
                tape.watch(rows)
                diagonal = tf.linalg.diag_part(_at(exit_, self._run_affine(rows, frontier, width)))
            found.append(tf.transpose(tape.gradient(diagonal, rows)))
        return found

    def _run_affine(self, rows: Any, frontier: Sequence[Packed], copies: int) -> dict[Key, Any]:  # noqa: ANN401
        first = {key: tf.repeat(value[:1], copies, axis=0) for key, value in self._given(frontier).items()}
        return run_steps(self._affine, {**first, self._key: rows})


def _at(exit_: Exit, values: Mapping[Key, Any]) -> Any:  # noqa: ANN401
    if exit_.dense is None:
        return values[exit_.key]
    layer = exit_.dense.operation
    product = keras.ops.matmul(values[exit_.key], layer.kernel)
    return product + layer.bias if layer.use_bias else product


def _tiled(value: Any, copies: Any) -> Any:  # noqa: ANN401
    return tf.tile(value, tf.concat([[copies], tf.ones([len(value.shape) - 1], tf.int32)], axis=0))
