"""Keras networks from `.keras` and HDF5 files, those that Keras 2 wrote included."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import mlflow
import numpy as np

from nnperm_mlflow.basics.errors import ModelError, PredictionError, name_list
from nnperm_mlflow.inputs.specs import Arrays, Head, InputSpec, OutputSpec
from nnperm_mlflow.models.keras.branches import BranchPredictor
from nnperm_mlflow.models.keras.domains import with_domains
from nnperm_mlflow.models.keras.nodes import unfold
from nnperm_mlflow.models.model_files import ModelFiles, refuse_untrusted
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.predictions import rows_mix, same_numbers
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.signature import specs_from_signature
from nnperm_mlflow.models.tensor_predictor import TensorPredictor
from nnperm_mlflow.models.tensors import Tensors, spec_from_tensor, to_columns, to_tensor
from nnperm_mlflow.models.trust import reaching_layers

logger = logging.getLogger(__name__)

_KERAS_2_ONLY = {"time_major": False, "groups": 1}
"""Arguments that Keras 2 wrote for layers which no longer take them, with the value that meant nothing."""

_OTHER_GRAPH = (AttributeError, KeyError, TypeError, ValueError, PredictionError)
"""What a Keras that keeps its graph in another way than the ones known would end in."""

_NEEDS_CODE = ("could not locate", "unknown layer", "unknown object", "lambda", "safe_mode", "register_keras")
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError, zipfile.BadZipFile)


def load_network(path: Path, files: ModelFiles, reference: ModelReference, trust_model: bool) -> KerasPredictor:
    """Load a Keras network from its own file.

    Parameters
    ----------
    path : Path
        A `.keras` or `.h5` file.
    files : ModelFiles
    reference : ModelReference
    trust_model : bool
        Where the file alone does not do, load it with the code and pickles beside it.

    Returns
    -------
    KerasPredictor
        With the inputs by the names that the network gives them.

    Raises
    ------
    UntrustedModelError
        If the network has Lambda layers or classes of its own, and is not trusted.
    ModelError
        If the file is no network that this Keras reads.
    """
    try:
        reaching = [] if trust_model else reaching_layers(_configuration(path))
        if reaching:
            raise refuse_untrusted(
                reference, f"the network has {name_list(reaching)}, which would run code or read files"
            )
        network = _load_file(path)
    except _UNREADABLE as error:
        if not any(hint in str(error).lower() for hint in _NEEDS_CODE):
            raise ModelError(
                f"the network file {path.name} of {reference} cannot be read by Keras {keras.__version__} "
                f"({type(error).__name__}). Load it once in the environment that wrote it, and log it again."
            ) from error
        if not trust_model:
            why = "the network has Lambda layers or classes of its own, whose code would run"
            raise refuse_untrusted(reference, why) from error
        network = _load_trusted(files, reference)
    specs = None if _input_structure(network) is not None else specs_from_signature(files.mlmodel, reference)
    return keras_predictor(network, specs)


def _configuration(path: Path) -> Any:  # noqa: ANN401 - nested JSON
    """Return what a network's file says it is made of."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    import h5py  # noqa: PLC0415 - needed for this format alone

    with h5py.File(path) as file:
        return json.loads(file.attrs.get("model_config", "{}"))


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
    flavour = mlflow.tensorflow if "tensorflow" in files.mlmodel["flavors"] else mlflow.keras
    name = "keras_model_kwargs" if flavour is mlflow.tensorflow else "load_model_kwargs"
    try:
        return flavour.load_model(str(files.path), **{name: {"safe_mode": False, "compile": False}})
    except ImportError:
        raise
    except Exception as error:  # code of a trusted model may raise anything
        raise ModelError(
            f"{reference} cannot be loaded with its own code either ({type(error).__name__}). Log it again with what "
            "it needs: code_paths=[...] or custom_objects={...}."
        ) from error


class KerasPredictor(TensorPredictor):
    """A Keras network, called as a whole until it is fitted.

    Parameters
    ----------
    network : keras.Model
    inputs : sequence of InputSpec
        In the order in which the network flattens its inputs.
    feed : callable
        Puts tensors by name into the structure that the network takes.
    """

    def __init__(self, network: keras.Model, inputs: Sequence[InputSpec], feed: Callable[[Tensors], Any]) -> None:
        super().__init__(inputs, _outputs(network), self._run)
        self._network = network
        self._feed = feed

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Run the network by branches where some rows show that it can be, and as a whole otherwise."""
        try:
            graph = unfold(self._network)
            if graph is None or len(graph.inputs) != len(self.inputs):
                logger.info("the network has no graph of layers: each perturbation is a call of the whole")
                return super().fitted(probe, exact)
            branches = BranchPredictor(self.inputs, self.outputs, graph, exact)
            found = branches.call(probe)
            if same_numbers(found, self._eager(probe)) and not rows_mix(branches, probe, found):
                return branches.fitted(probe, exact)
        except _OTHER_GRAPH as error:
            logger.debug("running by branches failed: %s", type(error).__name__)  # its message may hold values
        logger.info("the network cannot be run by branches: each perturbation is a call of the whole")
        return super().fitted(probe, exact)

    def takes(self, rows: Arrays) -> bool:
        """Tell whether the network predicts rows in which something is missing by finite numbers, compiled or not.

        A compiled ReLU may make a number of what is none, which would look like a prediction.
        """
        return super().takes(rows) and bool(np.isfinite(self._eager(rows)).all())

    def _run(self, tensors: Tensors) -> list[Any]:
        """Return the outputs in the order of their names."""
        return list(keras.tree.flatten(self._network(self._feed(tensors), training=False)))

    def _eager(self, probe: Arrays) -> np.ndarray:
        """Call the network itself, without compiling it for a few rows."""
        tensors = {spec.name: to_tensor(probe[spec.name], spec) for spec in self.inputs}
        return to_columns(self._run(tensors), len(next(iter(probe.values()))))


def keras_predictor(network: keras.Model, specs: Sequence[InputSpec] | None = None) -> KerasPredictor:
    """Return a network as a predictor.

    Parameters
    ----------
    network : keras.Model
    specs : sequence of InputSpec, optional
        Inputs of a network that does not say them itself (a subclass).

    Returns
    -------
    KerasPredictor
    """
    structure = _input_structure(network)
    if structure is None:
        return KerasPredictor(
            network, specs or [], lambda tensors: dict(tensors) if len(tensors) > 1 else next(iter(tensors.values()))
        )
    own = with_domains(network, _specs(structure))
    return KerasPredictor(
        network, own, lambda tensors: keras.tree.pack_sequence_as(structure, [tensors[spec.name] for spec in own])
    )


def _input_structure(network: keras.Model) -> Any:  # noqa: ANN401 - a tensor, or a list or dict of them
    """Return the inputs as the network wants them handed over; None for one that does not say (a subclass)."""
    try:
        return network.input
    except (AttributeError, ValueError):
        return getattr(network, "inputs", None) or None


def _specs(structure: Any) -> list[InputSpec]:  # noqa: ANN401
    """Return one spec per input, in the structure's own order; a dict's keys are the names, else the tensors'."""
    specs = []
    for path, tensor in keras.tree.flatten_with_path(structure):
        name = path[-1] if path and isinstance(path[-1], str) else tensor.name
        specs.append(spec_from_tensor(name, tensor))
    return specs


def _outputs(network: keras.Model) -> OutputSpec:
    """Return what a network tells of its outputs: their names, and what the layer behind each makes of them."""
    tensors = getattr(network, "outputs", None) or []
    layers = [_layer_behind(tensor) for tensor in tensors] or network.layers[-1:]
    if not tensors or any(len(tensor.shape) != 2 or tensor.shape[1] is None for tensor in tensors):
        return OutputSpec((), tuple(_head(layer, 0, 0) for layer in layers))
    named = getattr(network, "output_names", [network.layers[-1].name])
    names: list[str] = []
    heads = []
    for name, tensor, layer in zip(named, tensors, layers, strict=True):
        width = tensor.shape[1]
        heads.append(_head(layer, len(names), width))
        names += [str(name)] if width == 1 else [f"{name}_{position}" for position in range(width)]
    return OutputSpec(tuple(names), tuple(heads))


def _layer_behind(tensor: Any) -> Any:  # noqa: ANN401
    """Return the layer or operation that gives an output; of a network inside, the one that gives its own."""
    operation, _, place = getattr(tensor, "_keras_history", (None, 0, 0))  # not a public part of Keras
    inner = getattr(operation, "outputs", None) if isinstance(operation, keras.Model) else None
    return _layer_behind(inner[place]) if inner else operation


def _head(layer: Any, first: int, width: int) -> Head:  # noqa: ANN401
    """Return what a layer's last act makes of its outputs; some layers and operations are an activation themselves."""
    own = type(layer).__name__.lower()
    activation = getattr(getattr(layer, "activation", None), "__name__", own)
    unit = "probability" if activation in ("sigmoid", "softmax") else None
    return Head(tuple(range(first, first + width)), unit, activation == "softmax" and width > 1)
