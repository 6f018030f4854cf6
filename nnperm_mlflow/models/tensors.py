"""Calling a network or a SavedModel with named tensors: compiled once, fed by name only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nnperm_mlflow.errors import PredictionError
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.predictor import Arrays, OutputSpec, WholeModelBlock, as_columns

Tensors = Mapping[str, Any]


class TensorPredictor:
    """A predictor behind which a compiled TensorFlow function stands.

    Parameters
    ----------
    inputs : sequence of InputSpec
    outputs : OutputSpec
    function : callable
        Takes a dict of tensors with exactly the names of `inputs`, returns a tensor, a list or a dict of them.
        Traced once, with any number of rows.
    """

    def __init__(self, inputs: Sequence[InputSpec], outputs: OutputSpec, function: Callable[[Tensors], Any]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = outputs
        signature = {
            spec.name: tf.TensorSpec((None, *spec.shape), _tensor_type(spec.dtype), name=f"input_{position}")
            for position, spec in enumerate(self.inputs)
        }
        self._function = tf.function(function, input_signature=[signature])

    def begin(self, block: Arrays) -> WholeModelBlock:
        """Predict a block of rows as they are; its inputs are converted to tensors once."""
        tensors = {spec.name: _tensor(block[spec.name], spec) for spec in self.inputs}
        return WholeModelBlock(self, tensors, self.call(tensors))

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""
        tensors = {spec.name: _tensor(inputs[spec.name], spec) for spec in self.inputs}
        n_rows = int(tf.shape(tensors[self.inputs[0].name])[0])
        try:
            predicted = self._function(tensors)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise PredictionError(
                f"the network failed ({type(error).__name__}). A code outside of what an embedding knows, or a series "
                "longer than the network takes, does that."
            ) from error
        return as_columns(tf.nest.map_structure(lambda part: part.numpy(), predicted), n_rows)


def spec_from_tensor(name: str, tensor: Any) -> InputSpec:  # noqa: ANN401 - a Keras tensor or a tf.TensorSpec
    """Return what a symbolic tensor says of the input called `name`."""
    kind = tf.as_dtype(tensor.dtype)
    dtype = np.dtype(object) if kind == tf.string else np.dtype(kind.as_numpy_dtype)
    return InputSpec(name, tuple(tensor.shape)[1:], dtype)


def _tensor_type(dtype: np.dtype) -> tf.DType:
    return tf.string if dtype.kind == "O" else tf.as_dtype(dtype)


def _tensor(array: Any, spec: InputSpec) -> tf.Tensor:  # noqa: ANN401 - an array, or a tensor already
    return tf.convert_to_tensor(array, _tensor_type(spec.dtype))
