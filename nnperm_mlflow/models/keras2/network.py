"""Networks from files that Keras 2 wrote: read by Keras 2 where it is installed, else by Keras 3."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import logging
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.models.keras.network_predictor import KerasPredictor, keras_predictor
from nnperm_mlflow.models.keras.refusals import refuse_stateful, unloadable
from nnperm_mlflow.models.keras2._kinds import exchanged_halves, kinds_read_otherwise
from nnperm_mlflow.models.keras2._nodes import unfold
from nnperm_mlflow.models.keras2._trust import reaching_parts, uncompiled
from nnperm_mlflow.models.model_files import ModelFiles, refuse_untrusted
from nnperm_mlflow.models.model_signature import specs_from_signature
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.network_files import keras_version, read_configuration

logger = logging.getLogger(__name__)

_KERAS_2 = "tf_keras"
_OTHER_VERSION = (ValueError, TypeError, KeyError, AttributeError, AssertionError, IndexError, NotImplementedError)
"""What Keras 2 ends in where a file is not as it expects, besides those of a damaged file."""
_UNREADABLE = (*_OTHER_VERSION, OSError, RecursionError, zipfile.BadZipFile)


Loader = Callable[[Path, ModelFiles, ModelReference, bool], KerasPredictor]


def load_network(
    path: Path, files: ModelFiles, reference: ModelReference, trust_model: bool, *, by_keras_3: Loader
) -> KerasPredictor:
    """Load a network that Keras 2 wrote.

    Parameters
    ----------
    path : Path
        A `.keras` or `.h5` file.
    files : ModelFiles
    reference : ModelReference
    trust_model : bool
        Allow Lambda layers, and the code and pickles beside it.
    by_keras_3 : callable
        Loads it where Keras 2 is not installed and nothing in it is known to be read otherwise.

    Returns
    -------
    KerasPredictor
        With the inputs by the names that the network gives them.

    Raises
    ------
    UntrustedModelError
        If the network has Lambda layers or classes of its own, and is not trusted.
    ModelError
        If the file cannot be read, or needs Keras 2, which is not installed.
    """
    try:
        config = uncompiled(read_configuration(path))
        reaching = [] if trust_model else reaching_parts(config)
        kinds = [] if _is_installed() else kinds_read_otherwise(config)
        exchanged = exchanged_halves(path) if path.suffix == ".h5" else []
    except _UNREADABLE as error:
        raise _unreadable(path, reference, error) from error
    if reaching:
        raise refuse_untrusted(reference, f"the network has {name_list(reaching)}, which would run code or read files")
    if exchanged:
        logger.warning(
            "%s: one half of %s was frozen when the network was saved, and HDF5 files of Keras 2 hold such halves in "
            "exchanged places; Keras, 2 and 3, reads them so. What is audited is the network as it is read and served, "
            "which is not the one that was trained",
            reference,
            name_list(exchanged),
        )
    if not _is_installed():
        _refuse_kinds(path, reference, kinds)
        return _loaded_by_keras_3(path, files, reference, trust_model, by_keras_3)
    network = _load_by_keras_2(path, config, files, reference, trust_model)
    refuse_stateful(network, reference)
    specs = None if network.inputs else specs_from_signature(files.mlmodel, reference)
    return keras_predictor(network, specs, unfold)


def _is_installed() -> bool:
    return importlib.util.find_spec(_KERAS_2) is not None


def _refuse_kinds(path: Path, reference: ModelReference, kinds: list[str]) -> None:
    """Refuse a network of which something is known to be read otherwise by Keras 3."""
    if kinds:
        raise ModelError(
            f"{reference} was written by Keras {keras_version(path)} and holds {name_list(kinds)}, of which Keras 3 "
            f"makes something else or nothing. {_advice()}"
        )


def _loaded_by_keras_3(
    path: Path, files: ModelFiles, reference: ModelReference, trust_model: bool, by_keras_3: Loader
) -> KerasPredictor:
    try:
        return by_keras_3(path, files, reference, trust_model)
    except ModelError as error:
        raise ModelError(
            f"{reference} was written by Keras {keras_version(path)}, and Keras 3 cannot read it. {_advice()}"
        ) from error


def _advice() -> str:
    """Say how to install Keras 2: its package asks for TensorFlow by the name of the larger of its two packages."""
    advice = "Install Keras 2 beside it: pip install 'nnperm_mlflow[keras2]'"
    try:
        version = importlib.metadata.version("tensorflow-cpu").split(".")
    except importlib.metadata.PackageNotFoundError:
        return f"{advice}."
    minor = ".".join(version[:2])
    return f"{advice} (or, to keep tensorflow-cpu alone: pip install --no-deps 'tf-keras=={minor}.*')."


def _load_by_keras_2(
    path: Path,
    config: Any,  # noqa: ANN401 - nested JSON
    files: ModelFiles,
    reference: ModelReference,
    trust_model: bool,
) -> Any:  # noqa: ANN401 - tf_keras is untyped
    objects = _custom_objects(path, files, reference) if trust_model else {}
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _read(_as_configured(path, config, Path(folder)), trust_model, objects)
    except ImportError:
        raise
    except Exception as error:  # code of a trusted model may raise anything
        if trust_model:
            raise unloadable(files, reference, error) from error
        if not isinstance(error, _UNREADABLE):
            raise
        raise _unreadable(path, reference, error) from error


def _read(path: Path, trust_model: bool, custom_objects: dict[str, Any]) -> Any:  # noqa: ANN401
    import tf_keras  # noqa: PLC0415 - an extra

    return tf_keras.saving.load_model(path, compile=False, safe_mode=not trust_model, custom_objects=custom_objects)


def _as_configured(path: Path, config: Any, folder: Path) -> Path:  # noqa: ANN401
    """Return a network's file, or a copy of it where it is to be read with another configuration than it holds."""
    wanted = _with_old_defaults(config)
    if wanted == read_configuration(path):
        return path
    copy = folder / path.name
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
            for name in old.namelist():
                new.writestr(name, json.dumps(wanted) if name == "config.json" else old.read(name))
        return copy
    import h5py  # noqa: PLC0415 - needed for this format alone

    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = json.dumps(wanted)
    return copy


def _with_old_defaults(config: Any) -> Any:  # noqa: ANN401
    """Return a configuration that says of GRUs what the first versions of Keras 2 left unsaid."""
    if isinstance(config, list):
        return [_with_old_defaults(part) for part in config]
    if not isinstance(config, dict):
        return config
    told = {key: _with_old_defaults(value) for key, value in config.items()}
    if told.get("class_name") in ("GRU", "GRUCell") and isinstance(told.get("config"), dict):
        told["config"] = {"reset_after": False, **told["config"]}
    return told


def _custom_objects(path: Path, files: ModelFiles, reference: ModelReference) -> dict[str, Any]:
    """Return the classes that lie beside a trusted network, its code made importable, as MLflow loads them.

    Pickles of another Python or Keras cannot be opened; MLflow would not serve the network here, and does where it was
    logged. It is read without them, which is told.
    """
    import cloudpickle  # noqa: PLC0415 - for trusted models alone

    codes = [conf.get("code") for conf in files.mlmodel["flavors"].values() if isinstance(conf, dict)]
    sys.path[:0] = [str(files.path / code) for code in dict.fromkeys(codes) if isinstance(code, str)]
    found: dict[str, Any] = {}
    for name in ("global_custom_objects.cloudpickle", "custom_objects.cloudpickle"):
        if (path.parent / name).is_file():
            try:
                found |= cloudpickle.loads((path.parent / name).read_bytes()) or {}
            except Exception as error:  # a trusted pickle may raise anything
                logger.warning(
                    "%s: %s cannot be opened here (%s); the network is read without it",
                    reference, name, type(error).__name__,
                )  # fmt: skip
    return found


def _unreadable(path: Path, reference: ModelReference, error: Exception) -> ModelError:
    version = importlib.metadata.version("tf-keras") if _is_installed() else "2"
    return ModelError(
        f"the network file {path.name} of {reference} cannot be read by Keras {version} ({type(error).__name__}). Load "
        "it once in the environment that wrote it, and log it again."
    )
