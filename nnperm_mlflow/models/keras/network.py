"""Keras networks on TensorFlow, from their own files."""

from __future__ import annotations

from pathlib import Path

from nnperm_mlflow.models.keras.interface import input_structure
from nnperm_mlflow.models.keras.network_predictor import KerasPredictor, keras_predictor
from nnperm_mlflow.models.keras.stored_network import stored_network
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_signature import specs_from_signature
from nnperm_mlflow.models.model_uri import ModelReference


def load_network(path: Path, files: ModelFiles, reference: ModelReference, trust_model: bool) -> KerasPredictor:
    """Load a Keras network, with the inputs by the names that the network gives them; see `stored_network`."""
    network = stored_network(path, files, reference, trust_model)
    specs = None if input_structure(network) is not None else specs_from_signature(files.mlmodel, reference)
    return keras_predictor(network, specs)
