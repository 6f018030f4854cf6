"""Keras networks from `.keras` and HDF5 files, those that Keras 2 wrote included, whatever Keras runs on."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras
import mlflow

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.models.foreign_code import reaching_layers
from nnperm_mlflow.models.keras.refusals import (
    _stores_code,
    _what_trust_lacks,
    refuse_stateful,
    refuse_what_hdf5_loses,
    unloadable,
)
from nnperm_mlflow.models.model_files import ModelFiles, refuse_untrusted
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.network_files import read_configuration
from nnperm_mlflow.models.served_network import own_code

logger = logging.getLogger(__name__)

_KERAS_2_ONLY = {"time_major": False, "groups": 1}
"""Arguments that Keras 2 wrote for layers which no longer take them, with the value that meant nothing."""


_NEEDS_CODE = ("could not locate", "unknown layer", "unknown object", "lambda", "safe_mode", "register_keras")

_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError, zipfile.BadZipFile)


def stored_network(path: Path, files: ModelFiles, reference: ModelReference, trust_model: bool) -> keras.Model:
    """Load a Keras network from its own file.

    Parameters
    ----------
    path : Path
        A `.keras` or `.h5` file.
    files : ModelFiles
    reference : ModelReference
    trust_model : bool
        Where the file alone does not do, or where code or pickles lie beside it, load it as MLflow does.

    Returns
    -------
    keras.Model
        On what Keras runs on in this process.

    Raises
    ------
    UntrustedModelError
        If the network has Lambda layers or classes of its own, and is not trusted.
    ModelError
        If the file is no network that this Keras reads.
    """
    try:
        config = read_configuration(path)
        reaching = [] if trust_model else reaching_layers(_as_loaded(config, path))
        if reaching:
            raise refuse_untrusted(
                reference,
                f"the network has {name_list(reaching)}, which would run code or read files{_what_trust_lacks(files)}",
            )
        refuse_what_hdf5_loses(path, config, reference)
        network = _load_trusted(files, reference) if trust_model and own_code(files) else _load_file(path)
    except _UNREADABLE as error:
        said = str(error).replace(str(path), path.name).lower()
        if not any(hint in said for hint in _NEEDS_CODE):
            raise ModelError(
                f"the network file {path.name} of {reference} cannot be read by Keras {keras.__version__} "
                f"({type(error).__name__}). Load it once in the environment that wrote it, and log it again."
            ) from error
        if not trust_model:
            why = "the network has Lambda layers or classes of its own, whose code would run"
            raise refuse_untrusted(reference, why + _what_trust_lacks(files)) from error
        network = _load_trusted(files, reference)
    refuse_stateful(network, reference)
    return network


def _as_loaded(config: Any, path: Path) -> Any:  # noqa: ANN401 - nested JSON
    """Return the parts of a configuration that are loaded: of a `.keras` file not how the network was trained."""
    is_compiled = path.suffix == ".keras" and isinstance(config, dict)
    return {key: value for key, value in config.items() if key != "compile_config"} if is_compiled else config


def _load_file(path: Path) -> keras.Model:
    if path.suffix == ".keras":
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    with tempfile.TemporaryDirectory() as folder:
        return keras.saving.load_model(_for_keras_3(path, Path(folder)), compile=False, safe_mode=True)


def _for_keras_3(path: Path, folder: Path) -> Path:
    """Return a copy of an HDF5 network without the arguments that only Keras 2 knew."""
    import h5py  # noqa: PLC0415 - needed for this format alone

    copy = folder / path.name
    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        if "model_config" in file.attrs:
            file.attrs["model_config"] = json.dumps(_without_keras_2_arguments(json.loads(file.attrs["model_config"])))
    return copy


def _without_keras_2_arguments(config: Any) -> Any:  # noqa: ANN401 - nested JSON
    if isinstance(config, list):
        return [_without_keras_2_arguments(part) for part in config]
    if not isinstance(config, dict):
        return config
    depthwise = config.get("class_name") == "DepthwiseConv2D"
    kept = {key: _without_keras_2_arguments(value) for key, value in config.items()}
    if isinstance(kept.get("config"), dict):
        dropped = {"time_major", "groups"} if depthwise else {"time_major"}
        kept["config"] = {
            key: value for key, value in kept["config"].items() if key not in dropped or value != _KERAS_2_ONLY[key]
        }
    return kept


def _load_trusted(files: ModelFiles, reference: ModelReference) -> keras.Model:
    """Load a network as MLflow does, with the code and pickles beside it."""
    stores_code = _stores_code(files)
    flavour = mlflow.tensorflow if stores_code else mlflow.keras
    name = "keras_model_kwargs" if stores_code else "load_model_kwargs"
    try:
        return flavour.load_model(str(files.path), **{name: {"safe_mode": False, "compile": False}})
    except ImportError:
        raise
    except Exception as error:  # code of a trusted model may raise anything
        raise unloadable(files, reference, error) from error
