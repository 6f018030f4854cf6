"""A predictor behind which a compiled TensorFlow function stands."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models._whole_model import WholeModelPredictor
from nnperm_mlflow.models.output_numbers import same_numbers
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.tensor_outputs import to_columns
from nnperm_mlflow.models.tensors import WORKERS, Compiled, Tensors, guarded, to_tensor

logger = logging.getLogger(__name__)

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
        Traced once, with any number of rows and the lengths of what it is given first.
    original : callable, optional
        Takes and returns the same, as the model is called where it is served, if that is not `function`.
    """

    _most_workers = WORKERS

    def __init__(
        self,
        inputs: Sequence[InputSpec],
        outputs: OutputSpec,
        function: Callable[[Tensors], Any],
        original: Callable[[Tensors], Any] | None = None,
    ) -> None:
        super().__init__(inputs, outputs, MOST_ROWS)
        self._function: Callable[[Tensors], Any] = Compiled(function, autograph=True)
        self._original = original or function
        self._specs = {spec.name: spec for spec in self.inputs}

    def prepared(self, name: str, array: np.ndarray) -> tf.Tensor:
        """Return an input as a tensor."""
        return to_tensor(array, self._specs[name])

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""
        return self._call(self._function, inputs)

    def call_original(self, inputs: Arrays) -> np.ndarray:
        """Return what the model itself predicts, without compiling anything for it."""
        return self._call(self._original, inputs)

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Stack changes in calls of the compiled function, where it is the model; else call the model itself."""
        if not self._is_the_model(probe):
            logger.warning(
                "compiled, the network gives other numbers than when it is called as it is: it is called as it is, "
                "which takes longer"
            )
            self._function = self._original
            self._most_workers = 0
        return super().fitted(probe, exact)

    def _is_the_model(self, probe: Arrays) -> bool:
        """Tell whether the compiled function gives the model's numbers for some rows, as far as that can be told.

        Rows in which something is missing are not compared: of no number, a compiled ReLU may make one.
        """
        try:
            expected = self.call_original(probe)
        except PredictionError as error:
            logger.debug("the network cannot be called uncompiled: %s", type(error.__cause__).__name__)
            return True
        known = np.isfinite(expected).all(axis=1)
        try:
            if same_numbers(self.call(probe)[known], expected[known]):
                return True
        except PredictionError as error:
            logger.debug("the network cannot be compiled: %s", type(error.__cause__).__name__)
        return not same_numbers(self.call_original(probe)[known], expected[known])  # then chance makes the difference

    def _call(self, function: Callable[[Tensors], Any], inputs: Arrays) -> np.ndarray:
        tensors = {spec.name: to_tensor(inputs[spec.name], spec) for spec in self.inputs}
        return to_columns(guarded(function, tensors), len(next(iter(tensors.values()))))
