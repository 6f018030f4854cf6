"""Calling a network or a SavedModel with named tensors: compiled once, fed by name only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.batching import Arrays
from nnperm_mlflow.models.predictions import as_columns
from nnperm_mlflow.models.predictor import OutputSpec
from nnperm_mlflow.models.whole_model import WholeModelPredictor

Tensors = Mapping[str, Any]
MOST_ROWS = 4_096
"""Rows of a call of a whole network; more make no row cheaper."""
WORKERS = max(2, min(4, (os.cpu_count() or 1) // 2))
"""Calls of a network that run at the same time, so that one computes where another waits."""


class TensorPredictor(WholeModelPredictor):
    """A predictor behind which a compiled TensorFlow function stands.

    Parameters
    ----------
    inputs : sequence of InputSpec
    outputs : OutputSpec
    function : callable
        Takes a dict of tensors with exactly the names of `inputs`, returns a tensor, a list or a dict of them.
        Traced once, with any number of rows.
    """

    _most_workers = WORKERS

    def __init__(self, inputs: Sequence[InputSpec], outputs: OutputSpec, function: Callable[[Tensors], Any]) -> None:
        super().__init__(inputs, outputs, MOST_ROWS)
        signature = {spec.name: tensor_spec(spec) for spec in self.inputs}
        self._function = tf.function(function, input_signature=[signature])
        self._specs = {spec.name: spec for spec in self.inputs}

    def prepared(self, name: str, array: np.ndarray) -> tf.Tensor:
        """Return an input as a tensor."""
        return to_tensor(array, self._specs[name])

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""
        tensors = {spec.name: to_tensor(inputs[spec.name], spec) for spec in self.inputs}
        try:
            predicted = self._function(tensors)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise PredictionError(describe_failure(error)) from error
        return to_columns(predicted, len(next(iter(tensors.values()))))


def tensor_spec(spec: InputSpec) -> tf.TensorSpec:
    """Return what a compiled function is told of an input: any number of rows."""
    return tf.TensorSpec((None, *spec.shape), _tensor_type(spec.dtype))


def describe_failure(error: Exception) -> str:
    """Return what to say where a network fails; TensorFlow's own words may hold data."""
    return (
        f"the network failed ({type(error).__name__}). A code outside of what an embedding knows, or a series longer "
        "than the network takes, does that."
    )


def spec_from_tensor(name: str, tensor: Any) -> InputSpec:  # noqa: ANN401 - a Keras tensor or a tf.TensorSpec
    """Return what a symbolic tensor says of the input called `name`."""
    kind = tf.as_dtype(tensor.dtype)
    dtype = np.dtype(object) if kind == tf.string else np.dtype(kind.as_numpy_dtype)
    return InputSpec(name, tuple(tensor.shape)[1:], dtype)


def _tensor_type(dtype: np.dtype) -> tf.DType:
    return tf.string if dtype.kind == "O" else tf.as_dtype(dtype)


def to_tensor(array: Any, spec: InputSpec) -> tf.Tensor:  # noqa: ANN401 - an array, or a tensor already
    """Return an input as the tensor that its network takes; a tensor stays as it is."""
    return tf.convert_to_tensor(array, _tensor_type(spec.dtype))


def to_columns(predicted: Any, n_rows: int) -> np.ndarray:  # noqa: ANN401 - a tensor, or a list or dict of them
    """Return what a network gave as numbers of shape (n_rows, n_outputs); NumPy takes bfloat16 for none."""
    return as_columns(tf.nest.map_structure(_known_to_numpy, predicted), n_rows)


def _known_to_numpy(tensor: tf.Tensor) -> tf.Tensor:
    return tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor
