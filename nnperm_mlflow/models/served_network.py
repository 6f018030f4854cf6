"""Which file of a logged model is the network that MLflow serves, and what of the model's own would run with it.

MLflow looks for it by several rules: `pyfunc` by what lies in a folder, `load_model` of each flavour by the MLmodel
file, and versions of MLflow and Keras differ. All places where one of them looks are gone through, and exactly one may
hold a network: then it does not matter who looks.

References
----------
MLflow 3.17, `mlflow/pyfunc/__init__.py` (`load_model`), `mlflow/tensorflow/__init__.py` and `mlflow/keras/load.py`
(`_load_pyfunc`, `load_model`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.models._custom_objects import running_pickles
from nnperm_mlflow.models.model_files import ModelFiles, named_parts
from nnperm_mlflow.models.model_uri import ModelReference

ONE_FILE = (".keras", ".h5")
"""Endings of networks that are one file; others are directories."""

_FLAVOURS = ("keras", "tensorflow")
_LOADERS = (None, "mlflow.tensorflow", "mlflow.keras")
"""Modules by which MLflow calls a network and nothing else."""

_STEM = "model"
_SAVED_MODEL = "saved_model.pb"
_PARTS = frozenset(
    {_SAVED_MODEL, "variables", "assets", "assets.extra", "fingerprint.pb", "keras_metadata.pb", "debug"}
)
"""What TensorFlow and Keras 2 write into a SavedModel; by other parts Keras 3 takes a directory for something else."""

_KERAS = re.compile(r"(tensorflow|tensorflow_core)(\.\w+)*\.keras(\.\w+)*|(keras|tf_keras)(\.\w+)*")
"""Modules that are Keras, by all names under which TensorFlow has had it."""

_KERAS_NAME = "keras_module.txt"


def is_network(flavours: Mapping[str, Any]) -> bool:
    """Tell whether MLflow serves a network by itself, and not something that is made of it by a module of its own."""
    served = flavours.get("python_function")
    loader = served.get("loader_module") if isinstance(served, dict) else None
    return loader in _LOADERS and not set(flavours).isdisjoint(_FLAVOURS)


def served_network(files: ModelFiles, reference: ModelReference) -> Path:
    """Return the network's own file or SavedModel directory.

    Parameters
    ----------
    files : ModelFiles
        Of a model for which `is_network` holds.
    reference : ModelReference
        For messages.

    Returns
    -------
    Path

    Raises
    ------
    ModelError
        If there is none, or more than one that MLflow might serve; or if it is served by another module than Keras.
    """
    _refuse_other_readers(files, reference)
    found = {path.resolve(): path for path in _places(files) if path.exists() and _may_be_read(path, files)}
    if not found:
        raise ModelError(f"{reference} has no network file where its MLmodel says: have files been deleted?")
    if len(found) > 1:
        names = name_list(sorted(path.relative_to(files.path).as_posix() for path in found.values()))
        raise ModelError(
            f"{reference} was expected to hold one network, and has {names}: which of them MLflow serves depends on "
            "its version, its MLmodel file and save_format.txt. Log the network again, in a directory of its own."
        )
    network = next(iter(found.values()))
    more = sorted(part.name for part in network.iterdir() if part.name not in _PARTS) if network.is_dir() else []
    if more and network.name == _STEM and not _is_module(files):
        raise ModelError(
            f"the SavedModel of {reference} holds {name_list(more)}, which no SavedModel has, and by which Keras may "
            "read another network from it. Log the network again."
        )
    if not (network.suffix in ONE_FILE or (network / _SAVED_MODEL).is_file()):
        raise ModelError(
            f"the network of {reference} was expected as model.keras, model.h5 or a SavedModel, and is "
            f"'{network.relative_to(files.path).as_posix()}', which is neither. Log it again."
        )
    return network


def served_digest(files: ModelFiles, reference: ModelReference) -> str:
    """Return the sha256 of what of a model's files is served: other files beside it make it no other model.

    Parameters
    ----------
    files : ModelFiles
    reference : ModelReference
        For messages.

    Returns
    -------
    str
        64 hex digits, of the MLmodel file and the network's own file; of what is no network, of what its flavours name.
    """
    if is_network(files.mlmodel["flavors"]):
        served = [served_network(files, reference)]
    else:
        served = named_parts(files) or [files.path]
    return files.digest_of(files.path / "MLmodel", *served)


def own_code(files: ModelFiles) -> list[str]:
    """Return what came with a network and runs where MLflow serves it, whether the network needs it or not.

    Parameters
    ----------
    files : ModelFiles

    Returns
    -------
    list of str
        Paths below the model's directory, sorted: folders that MLflow puts before all others from which modules are
        imported, and pickles of custom objects that do more than name what is installed.
    """
    codes = {conf["code"] for conf in _confs(files) if isinstance(conf.get("code"), str)}
    pickles = {path.relative_to(files.path).as_posix() for path in running_pickles(_folders(files))}
    return sorted(codes | pickles)


def _refuse_other_readers(files: ModelFiles, reference: ModelReference) -> None:
    """Refuse a model that tells MLflow to read the network by another module, or by another MLmodel file.

    Raises
    ------
    ModelError
    """
    named = [conf["keras_module"] for conf in _confs(files) if conf.get("keras_module") is not None]
    named += [path.read_text(errors="replace").strip() for path in sorted(files.path.rglob(_KERAS_NAME))]
    other = sorted({str(name) for name in named if not _KERAS.fullmatch(str(name))})
    if other:
        raise ModelError(
            f"{reference} was expected to be read by Keras (keras, tensorflow.keras or tf_keras), and {_KERAS_NAME} or "
            f"its MLmodel file names the module {name_list(other)}, which MLflow imports in its place. Log the network "
            "again with mlflow.keras or mlflow.tensorflow."
        )
    inner = sorted(path.relative_to(files.path).as_posix() for path in files.path.rglob("MLmodel"))
    if len(inner) > 1:
        raise ModelError(
            f"{reference} was expected to hold one MLmodel file, and has {name_list(inner)}: MLflow may serve what the "
            "inner one says. Log the network again, in a directory of its own."
        )


def _confs(files: ModelFiles) -> list[dict[str, Any]]:
    flavours = files.mlmodel["flavors"]
    return [flavours[name] for name in ("python_function", *_FLAVOURS) if isinstance(flavours.get(name), dict)]


def _is_module(files: ModelFiles) -> bool:
    """Tell whether TensorFlow reads the network, and not Keras."""
    return any("saved_model_dir" in conf for conf in _confs(files))


def _folders(files: ModelFiles) -> list[Path]:
    """Return where MLflow may begin to look: the model's directory, and what the MLmodel file names below it."""
    named = [
        conf[key] for conf in _confs(files) for key in ("data", "saved_model_dir") if isinstance(conf.get(key), str)
    ]
    outer = [files.path, *(files.path / name for name in named)]
    return list(dict.fromkeys([*outer, *(folder / name for folder in outer for name in named)]))


def _places(files: ModelFiles) -> Iterator[Path]:
    """Yield all places where MLflow may look for a network."""
    for folder in _folders(files):
        for stem in (folder, folder / _STEM):
            yield from (stem, *(stem.with_name(stem.name + ending) for ending in ONE_FILE if stem != files.path))


def _may_be_read(path: Path, files: ModelFiles) -> bool:
    """Tell whether something is read as a network: a file, or a directory that does not merely hold one."""
    if path.is_file():
        return True
    if (path / _SAVED_MODEL).is_file() or path.suffix in ONE_FILE:
        return True
    return path.name == _STEM and path not in _folders(files)
