"""A trained Keras network, as examples predict with it and log it."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import mlflow
import numpy as np
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo

from nnperm_mlflow.demo.example import Inputs

_BATCH = 1024
_SIGNATURE_ROWS = 5


@dataclass(frozen=True)
class KerasNetwork:
    """A trained Keras network.

    Attributes
    ----------
    network : keras.Model
    """

    network: keras.Model

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Return chances of shape (n_rows, 1)."""
        return self.network.predict(dict(inputs), batch_size=_BATCH, verbose=0)

    def log(self, name: str, inputs: Inputs, predicted: np.ndarray) -> ModelInfo:
        """Log the network in the active run, with the signature of these rows, and register it under its name."""
        few = {key: values[:_SIGNATURE_ROWS] for key, values in inputs.items()}
        return mlflow.tensorflow.log_model(
            self.network,
            name=name,
            signature=infer_signature(few, predicted[:_SIGNATURE_ROWS]),
            pip_requirements=[f"keras=={keras.__version__}"],
            registered_model_name=name,
        )
