"""Networks of Keras 3 that would be read or called as something else than they are: refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.models.model_files import ModelFiles
from nnperm_mlflow.models.model_uri import ModelReference


def refuse_stateful(network: keras.Model, reference: ModelReference) -> None:
    """Refuse a network that remembers the rows that it has predicted.

    Raises
    ------
    ModelError
        The message names the layers.
    """
    layers = network._flatten_layers() if hasattr(network, "_flatten_layers") else network.layers
    stateful = [layer.name for layer in layers if getattr(layer, "stateful", False) is True]
    if stateful:
        raise ModelError(
            f"the network of {reference} is stateful ({name_list(stateful)}): what it predicts for a row depends on "
            "the rows predicted before, so that no prediction has a deviation of its own. Log it with the same weights "
            "and stateful=False."
        )


def refuse_what_hdf5_loses(path: Path, config: Any, reference: ModelReference) -> None:  # noqa: ANN401 - nested JSON
    """Refuse an HDF5 network that Keras 3 wrote and does not read as it was.

    Parameters
    ----------
    path : Path
    config : nested dicts and lists
        As the file holds it.
    reference : ModelReference

    Raises
    ------
    ModelError
        If it holds operations, which Keras takes for layers there; or layers over several axes, which it forgets.
    """
    if not _is_hdf5_of_keras_3(path):
        return
    parts = list(_layers_of(config))
    operations = {str(part["class_name"]) for part in parts if _is_operation(part)}
    several = {str(part["class_name"]) for part in parts if len(np.atleast_1d(part["config"].get("axis", 0))) > 1}
    for lost, what in ((operations, "operations"), (several, "layers over several axes")):
        if lost:
            raise ModelError(
                f"{reference} is an HDF5 file of Keras 3 with {what} ({name_list(sorted(lost))}), which Keras writes "
                "into such a file and does not read back. Log the network again in Keras's own format, without "
                "keras_model_kwargs={'save_format': 'h5'}."
            )


def _is_hdf5_of_keras_3(path: Path) -> bool:
    if path.suffix != ".h5":
        return False
    import h5py  # noqa: PLC0415 - needed for this format alone

    with h5py.File(path) as file:
        return str(file.attrs.get("keras_version", "")).startswith("3.")


def _layers_of(config: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - nested JSON
    """Yield the layers and operations that a network's configuration lists, those of networks inside included."""
    settings = config.get("config") if isinstance(config, dict) else None
    for part in settings.get("layers", []) if isinstance(settings, dict) else []:
        if isinstance(part, dict) and isinstance(part.get("config"), dict):
            yield part
            yield from _layers_of(part)


def _is_operation(part: dict[str, Any]) -> bool:
    """Tell whether a part is an operation of Keras; a layer of the same name says whether it can be trained."""
    kinds = keras.Operation.__subclasses__()
    names = {kind.__name__ for kind in kinds if kind.__module__.startswith("keras.src.ops.")}
    return part.get("class_name") in names and "trainable" not in part["config"]


def unloadable(files: ModelFiles, reference: ModelReference, error: Exception) -> ModelError:
    """Return the error for a trusted network that its own code could not load."""
    advice = _WITH_CODE if _stores_code(files) else _WITHOUT_CODE
    return ModelError(f"{reference} cannot be loaded with its own code either ({type(error).__name__}). {advice}")


def _stores_code(files: ModelFiles) -> bool:
    """Tell whether a network was logged by a flavour that can store the code of its classes; mlflow.keras cannot."""
    told = files.mlmodel["flavors"].get("keras")
    return not (isinstance(told, dict) and "save_exported_model" in told)


def _what_trust_lacks(files: ModelFiles) -> str:
    """Return what to add to a refusal where trust alone need not help."""
    if _stores_code(files):
        return ""
    return " (mlflow.keras stores no classes; its save_exported_model=True stores what the network computes instead)"


_WITH_CODE = "Log it again with what it needs: code_paths=[...] or custom_objects={...}."


_WITHOUT_CODE = (
    "mlflow.keras stores no code with a network. Log it with mlflow.keras.log_model(..., save_exported_model=True), "
    "which stores what it computes and needs none; or import its classes, registered with "
    "keras.saving.register_keras_serializable, and audit from Python."
)
"""What helps where a network's own classes are not found, by the flavour that it was logged with."""
