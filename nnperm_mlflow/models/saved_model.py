"""TensorFlow modules and SavedModels, those that Keras 2 wrote included: called through their signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from nnperm_mlflow.basics.errors import ModelError, did_you_mean, name_list
from nnperm_mlflow.inputs.specs import OutputSpec
from nnperm_mlflow.models._saved_model_files import SavedModelFiles
from nnperm_mlflow.models.foreign_code import reaching_operations
from nnperm_mlflow.models.model_files import ModelFiles, refuse_untrusted
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.tensor_predictor import TensorPredictor
from nnperm_mlflow.models.tensors import Tensors, spec_from_tensor

_SERVING = "serving_default"
_MODULE = "tf2-module"
_ENDPOINT = "serve"
_UNREADABLE = (DecodeError, OSError, ValueError, KeyError, AttributeError, ImportError, tf.errors.OpError)


@dataclass(frozen=True)
class _Call:
    """How MLflow calls a SavedModel, as its MLmodel file says.

    Attributes
    ----------
    signature : str or None
        Name of the signature; None where that is for the SavedModel to say.
    tags : tuple of str or None
        Of the graph.
    calls_module : bool
        Whether the module itself is called, and not a signature.
    calls_endpoint : bool
        Whether the endpoint is called that Keras has exported, and not a signature.
    """

    signature: str | None
    tags: tuple[str, ...] | None
    calls_module: bool
    calls_endpoint: bool

    @classmethod
    def of(cls, files: ModelFiles) -> _Call:
        of_keras, told = (files.mlmodel["flavors"].get(name) for name in ("keras", "tensorflow"))
        told = told if isinstance(told, dict) else {}
        key, tags = told.get("signature_def_key"), told.get("meta_graph_tags")
        if isinstance(tags, str):
            tags = [tags]
        return cls(
            signature=None if key is None else str(key),
            tags=tuple(map(str, tags)) if isinstance(tags, list) else None,
            calls_module=told.get("model_type") == _MODULE,
            calls_endpoint=isinstance(of_keras, dict) and bool(of_keras.get("save_exported_model")),
        )


def load_saved_model(path: Path, files: ModelFiles, reference: ModelReference, trust_model: bool) -> TensorPredictor:
    """Load a SavedModel; of what lies beside it nothing is read.

    Parameters
    ----------
    path : Path
        Directory with `saved_model.pb`.
    files : ModelFiles
    reference : ModelReference
    trust_model : bool
        Allow graphs that read or write files or call Python.

    Returns
    -------
    TensorPredictor
        With the inputs by the names of the signature that the MLmodel file names; else of the signature
        `serving_default`, or of the only function there is.

    Raises
    ------
    UntrustedModelError
        If the graph reaches for the disk or for Python, and is not trusted.
    ModelError
        If the directory is no SavedModel, or has no such graph or function to call.
    """
    told = _Call.of(files)
    try:
        stored = SavedModelFiles.read(path)
        tags = _tags(stored, told, reference)
        reaching = reaching_operations(path)
        if reaching and not trust_model:
            raise refuse_untrusted(
                reference, f"its graph holds {name_list(reaching)}, which reach for the disk or for Python"
            )
        loaded = stored.load(tags)
    except _UNREADABLE as error:
        raise ModelError(f"the SavedModel of {reference} cannot be read ({type(error).__name__}).") from error
    function = _function(loaded, told, reference)
    positional, named = function.structured_input_signature or ((), {})
    specs = {str(getattr(spec, "name", "")): spec for spec in tf.nest.flatten(positional)} | dict(named)
    if not specs or any(not isinstance(spec, tf.TensorSpec) for spec in specs.values()):
        raise ModelError(f"the SavedModel of {reference} takes something else than named tensors.")
    inputs = [spec_from_tensor(name, specs[name]) for name in sorted(specs)]
    original = _original(loaded, told, len(inputs), reference)
    call = partial(_call, loaded, function, [spec.name for spec in tf.nest.flatten(positional)], list(named))
    return TensorPredictor(inputs, _outputs(function.structured_outputs), call, original)


def _call(_owner: object, function: Any, positional: list[str], named: list[str], tensors: Tensors) -> Any:  # noqa: ANN401
    """Call a function of a SavedModel; its variables live as long as their owner."""
    return function(*[tensors[name] for name in positional], **{name: tensors[name] for name in named})


def _tags(stored: SavedModelFiles, told: _Call, reference: ModelReference) -> tuple[str, ...] | None:
    """Return the tags of the graph to load; None where there is no choice."""
    known = {tags: ", ".join(tags) or "(no tag)" for tags in sorted(stored.tags)}
    if told.tags is not None and tuple(sorted(told.tags)) not in known:
        raise ModelError(
            f"the MLmodel file of {reference} names the graph with the tags {name_list(told.tags)} "
            f"(meta_graph_tags), and its SavedModel has {name_list(known.values())}."
        )
    if told.tags is None and len(known) > 1:
        raise ModelError(
            f"the SavedModel of {reference} holds several graphs, with the tags {name_list(known.values())}, and its "
            "MLmodel file does not say which is meant. Name its tags there: 'meta_graph_tags: [serve]'."
        )
    return told.tags


def _function(loaded: Any, told: _Call, reference: ModelReference) -> Any:  # noqa: ANN401 - TensorFlow's own untyped objects
    signatures = dict(getattr(loaded, "signatures", {}))
    if told.signature is not None:
        if told.signature not in signatures:
            raise ModelError(
                f"the MLmodel file of {reference} names the signature '{told.signature}' (signature_def_key), and its "
                f"SavedModel has {name_list(sorted(signatures))}.{did_you_mean(told.signature, signatures)}"
            )
        return signatures[told.signature]
    if _SERVING in signatures or len(signatures) == 1:
        return signatures.get(_SERVING) or next(iter(signatures.values()))
    calls = getattr(loaded.__call__, "concrete_functions", []) if callable(loaded) else []
    if len(calls) == 1:
        return calls[0]
    raise ModelError(
        f"the SavedModel of {reference} has no function to call: its signatures are {name_list(signatures)}. Save it "
        f"with signatures={{'{_SERVING}': ...}}, whose inputs have names and any number of rows."
    )


def _original(loaded: Any, told: _Call, n_inputs: int, reference: ModelReference) -> Callable[[Tensors], Any] | None:  # noqa: ANN401
    """Return what MLflow calls with the only input, where that is no signature."""
    if told.calls_endpoint:
        endpoint = getattr(loaded, _ENDPOINT, None)
        if not callable(endpoint) or n_inputs != 1:
            raise ModelError(
                f"MLflow serves {reference} by the endpoint '{_ENDPOINT}' with one input (save_exported_model), and "
                f"its SavedModel has {n_inputs} inputs and {'that' if callable(endpoint) else 'no such'} endpoint. Log "
                "the network again with mlflow.keras, without save_exported_model."
            )
        return lambda tensors: endpoint(next(iter(tensors.values())))
    if told.calls_module and n_inputs == 1 and callable(loaded):
        return lambda tensors: loaded(next(iter(tensors.values())))
    return None


def _outputs(structure: Any) -> OutputSpec:  # noqa: ANN401
    heads = structure if isinstance(structure, dict) else {"output": structure}
    if any(not isinstance(head, tf.TensorSpec) or head.shape.rank != 2 or not head.shape[1] for head in heads.values()):
        return OutputSpec()
    return OutputSpec(
        tuple(
            name if head.shape[1] == 1 else f"{name}_{position}"
            for name, head in heads.items()
            for position in range(head.shape[1])
        )
    )
