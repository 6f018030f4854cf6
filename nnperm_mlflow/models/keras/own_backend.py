"""A Keras network on whatever Keras runs on in this process: called as a whole, as MLflow calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import Arrays
from nnperm_mlflow.models._whole_model import WholeModelPredictor
from nnperm_mlflow.models.keras.interface import input_structure, outputs_of, specs_of
from nnperm_mlflow.models.keras.stored_network import stored_network
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_signature import specs_from_signature
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.output_numbers import as_columns

_MOST_ROWS = 4_096
"""Rows of a call; more make no row cheaper."""

_FAILURES = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError, RuntimeError)
"""What a network may raise, on whatever it runs."""


class OwnBackendPredictor(WholeModelPredictor):
    """A Keras network on whatever Keras runs on in this process.

    Parameters
    ----------
    network : keras.Model
    structure : nested tensors, or None
        The inputs as the network wants them handed over; None for one that does not say (a subclass).
    inputs : sequence of InputSpec
        In the order in which the network flattens its inputs.

    Attributes
    ----------
    backend : str
        What that is: "jax", "torch".
    """

    def __init__(self, network: keras.Model, structure: Any, inputs: Any) -> None:  # noqa: ANN401 - tensors of Keras
        super().__init__(inputs, outputs_of(network), _MOST_ROWS)
        self.backend = str(keras.config.backend())
        self._network = network
        self._structure = structure

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""
        arrays = {spec.name: np.asarray(inputs[spec.name], dtype=spec.dtype) for spec in self.inputs}
        n_rows = len(next(iter(arrays.values())))
        try:
            predicted = self._network.predict(self._feed(arrays), batch_size=n_rows, verbose=0)
        except _FAILURES as error:  # whose words may hold data
            raise PredictionError(f"the network failed on {self.backend} ({type(error).__name__}).") from error
        return as_columns([_plain(np.asarray(part)) for part in keras.tree.flatten(predicted)], n_rows)

    def _feed(self, arrays: dict[str, np.ndarray]) -> Any:  # noqa: ANN401 - whatever structure the network takes
        if self._structure is not None:
            return keras.tree.pack_sequence_as(self._structure, list(arrays.values()))
        return arrays if len(arrays) > 1 else next(iter(arrays.values()))


def load_on_own_backend(
    path: Path, files: ModelFiles, reference: ModelReference, trust_model: bool
) -> OwnBackendPredictor:
    """Load a Keras network on what Keras runs on here; see `stored_network`."""
    network = stored_network(path, files, reference, trust_model)
    structure = input_structure(network)
    specs = specs_from_signature(files.mlmodel, reference) if structure is None else specs_of(structure)
    return OwnBackendPredictor(network, structure, specs)


def _plain(array: np.ndarray) -> np.ndarray:
    """Return numbers that NumPy takes for such, which it does not of bfloat16."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
