"""From a model's files to a predictor, without running code that came with them.

A network is loaded from its own file alone. A model that is nothing but code (most flavours behind pyfunc, networks
with classes of their own), and one beside which code or pickles lie that run where MLflow serves it, is refused until
somebody says it is trusted, and then runs in a process of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.models._stored_parts import refuse_parts_elsewhere
from nnperm_mlflow.models.class_probabilities import refuse_other_flavour
from nnperm_mlflow.models.isolation.isolated_predictor import load_isolated
from nnperm_mlflow.models.isolation.process import take_process
from nnperm_mlflow.models.keras_backends import TENSORFLOW, OnTensorFlow
from nnperm_mlflow.models.model_files import ModelCode, ModelFiles, refuse_untrusted
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.network_files import is_of_keras_2
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.served_network import ONE_FILE, is_network, own_code, served_network

logger = logging.getLogger(__name__)

_KERAS_BACKENDS = ("jax", "torch", "numpy", "openvino")


class ModelAccess:
    """Loads one model, and ends what it runs in.

    Parameters
    ----------
    trust_model : bool
        Allow code that came with the model to run.
    isolate : bool
        Run it in a process of its own, which begins to load libraries at once.

    Attributes
    ----------
    code : {"none", "isolated", "in process"}
        Where such code ran; known once the model is loaded.
    """

    def __init__(self, trust_model: bool, isolate: bool = True) -> None:
        self.code: ModelCode = "none"
        self._trusts = trust_model
        self._process = take_process() if trust_model and isolate else None
        self._on_tensorflow = OnTensorFlow()

    def load(self, files: ModelFiles, reference: ModelReference) -> Predictor:
        """Make a model callable.

        Parameters
        ----------
        files : ModelFiles
        reference : ModelReference
            For messages.

        Returns
        -------
        Predictor

        Raises
        ------
        ModelError
            As `models.loaders.load_predictor` does.
        """
        own = self._load(files, reference)
        return self._on_tensorflow.load(own, files, reference, trust_model=self._trusts)

    def _load(self, files: ModelFiles, reference: ModelReference) -> Predictor:
        if not self._trusts:
            return load_predictor(files, reference)
        if self._process is None:
            predictor, runs_code = load_as_needed(files, reference)
            self.code = "in process" if runs_code else "none"
            return predictor
        isolated = load_isolated(self._process, files, reference)
        self.code = "isolated" if isolated.runs_code else "none"
        return isolated

    def close(self) -> None:
        """End the model's processes, if there are such."""
        self._on_tensorflow.close()
        if self._process is not None:
            self._process.close()


def load_without_code(files: ModelFiles, reference: ModelReference) -> tuple[Predictor, bool]:
    """Make a model callable, as `load_predictor` does of one that is not trusted; no code of it runs."""
    return load_predictor(files, reference), False


def load_as_needed(files: ModelFiles, reference: ModelReference) -> tuple[Predictor, bool]:
    """Make a trusted model callable, by its own code only where it cannot be had without.

    Parameters
    ----------
    files : ModelFiles
    reference : ModelReference
        For messages.

    Returns
    -------
    predictor : Predictor
    runs_code : bool
        Whether code that came with the model may have run, and may run when it is called.

    Raises
    ------
    ModelError
        As `load_predictor` does of a trusted model.
    """
    try:
        return load_predictor(files, reference), False
    except ModelError as error:
        logger.debug("the model is loaded by its own code, since without it: %s", error)
        return load_predictor(files, reference, trust_model=True), True


def load_predictor(files: ModelFiles, reference: ModelReference, trust_model: bool = False) -> Predictor:
    """Make a model callable.

    Parameters
    ----------
    files : ModelFiles
    reference : ModelReference
        For messages.
    trust_model : bool
        Allow code that came with the model to run: pickles, modules, Lambda layers.

    Returns
    -------
    Predictor

    Raises
    ------
    UntrustedModelError
        If loading it, here or where MLflow serves it, runs such code and `trust_model` is not set.
    NoSuchFunctionError
        If the files ask for a function that the model does not have.
    ModelError
        If the files are not what the MLmodel says, MLflow might serve another network, a part of a network lies in
        another file, or a needed package is missing.
    """
    refuse_other_flavour(files, reference)
    own = [flavour for flavour in _FLAVOURS if flavour.serves(files.mlmodel["flavors"])]
    if len(own) > 1:
        raise ModelError(
            f"the MLmodel file of {reference} was expected to say which flavour is served, and has several "
            f"({name_list(files.mlmodel['flavors'])}) that may be. Log each model in a directory of its own."
        )
    flavour = own[0] if own else _OTHER
    try:
        return flavour.load(files, reference, trust_model)
    except ImportError as error:
        raise ModelError(
            f"{reference} needs the package '{error.name}', which is not installed here. {flavour.to_install}".rstrip()
        ) from error


def _load_network(files: ModelFiles, reference: ModelReference, trust_model: bool) -> Predictor:
    """Load a network of Keras or TensorFlow."""
    network = served_network(files, reference)
    if (own := own_code(files)) and not trust_model:
        raise refuse_untrusted(
            reference, f"beside the network lies {name_list(own)}, which would run where MLflow serves it"
        )
    if network.suffix in ONE_FILE:
        refuse_parts_elsewhere(network, reference)
    predictor = _network_loader(network)(network, files, reference, trust_model)
    _name_what_stays_unread(files, reference, trust_model)
    return predictor


def _network_loader(network: Path) -> Callable[[Path, ModelFiles, ModelReference, bool], Predictor]:
    if network.suffix in ONE_FILE:
        if _backend() != TENSORFLOW:
            from nnperm_mlflow.models.keras.own_backend import load_on_own_backend  # noqa: PLC0415

            return load_on_own_backend
        from nnperm_mlflow.models.keras.network import load_network  # noqa: PLC0415

        if is_of_keras_2(network):
            from nnperm_mlflow.models.keras2.network import load_network as load_of_keras_2  # noqa: PLC0415

            return partial(load_of_keras_2, by_keras_3=load_network)
        return load_network
    from nnperm_mlflow.models.saved_model import load_saved_model  # noqa: PLC0415

    return load_saved_model


def _backend() -> str:
    """Return what Keras runs on in this process, which it chooses as it is imported.

    Raises
    ------
    ModelError
        If Keras does not know it, or it is not installed.
    """
    try:
        import keras  # noqa: PLC0415 - needed for its networks alone

        return str(keras.config.backend())
    except ImportError as error:
        if error.name not in _KERAS_BACKENDS:
            raise
        backend = error.name
    except ValueError:
        backend = "a backend that it does not know"
    raise ModelError(
        f"Keras is set to run on {backend} in this process, and cannot. Install it, or start the audit in a process of "
        "its own with KERAS_BACKEND=tensorflow, which goes before keras.json."
    )


def _name_what_stays_unread(files: ModelFiles, reference: ModelReference, trust_model: bool) -> None:
    pickles = [*files.path.rglob("*.cloudpickle"), *files.path.rglob("*.pkl"), *files.path.rglob("*.pickle")]
    unread = sorted({file.relative_to(files.path).as_posix() for file in pickles})
    if unread and not trust_model:
        logger.info("%s: the network is loaded from its own file; left unread: %s", reference, ", ".join(unread))


def _load_pytorch(files: ModelFiles, reference: ModelReference, trust_model: bool) -> Predictor:
    """Load a network of PyTorch."""
    from nnperm_mlflow.models.torch.loading import load_pytorch  # noqa: PLC0415

    return load_pytorch(files, reference, trust_model)


def _load_pyfunc(files: ModelFiles, reference: ModelReference, trust_model: bool) -> Predictor:
    """Load a model as MLflow serves it, whatever it is."""
    from nnperm_mlflow.models.pyfunc import load_pyfunc  # noqa: PLC0415

    return load_pyfunc(files, reference, trust_model)


def _load_trees(files: ModelFiles, reference: ModelReference, trust_model: bool) -> Predictor:
    """Load a model of XGBoost, LightGBM or CatBoost."""
    from nnperm_mlflow.models.trees.loading import load_trees  # noqa: PLC0415

    return load_trees(files, reference, trust_model)


def _load_onnx(files: ModelFiles, reference: ModelReference, trust_model: bool) -> Predictor:
    """Load an ONNX model from its own file."""
    from nnperm_mlflow.models.onnx.loading import load_onnx  # noqa: PLC0415

    return load_onnx(files, reference, trust_model)


@dataclass(frozen=True)
class _Flavour:
    """A kind of logged model.

    Attributes
    ----------
    serves : callable
        Tells by the flavours of an MLmodel file whether a model is of this kind.
    load : callable
    to_install : str
        What to do where a package is missing.
    """

    serves: Callable[[Mapping[str, Any]], bool]
    load: Callable[[ModelFiles, ModelReference, bool], Predictor]
    to_install: str = ""


def _is_served_by(name: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return what tells whether MLflow serves a model by its flavour of that name, and not by a module of its own."""

    def serves(flavours: Mapping[str, Any]) -> bool:
        served = flavours.get("python_function")
        loader = served.get("loader_module") if isinstance(served, dict) else None
        return isinstance(flavours.get(name), dict) and loader in (None, f"mlflow.{name}")

    return serves


_FLAVOURS = (
    _Flavour(is_network, _load_network, "For networks: pip install 'nnperm_mlflow[tensorflow]'."),
    *(_Flavour(_is_served_by(name), _load_trees) for name in ("xgboost", "lightgbm", "catboost")),
    _Flavour(_is_served_by("pytorch"), _load_pytorch, "For PyTorch: pip install 'nnperm_mlflow[torch]'."),
    _Flavour(_is_served_by("onnx"), _load_onnx, "For ONNX: pip install 'nnperm_mlflow[onnx]'."),
)
"""Each kind that is loaded in a way of its own."""

_OTHER = _Flavour(lambda flavours: True, _load_pyfunc)
"""Whatever else MLflow serves."""
