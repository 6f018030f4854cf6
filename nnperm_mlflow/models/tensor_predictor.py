"""A predictor behind which a compiled TensorFlow function stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models.tensors import WORKERS, Tensors, describe_failure, tensor_spec, to_columns, to_tensor
from nnperm_mlflow.models.whole_model import WholeModelPredictor

MOST_ROWS = 4_096
"""Rows of a call of a whole network; more make no row cheaper."""


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
