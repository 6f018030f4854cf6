"""TensorFlow modules and SavedModels, those that Keras 2 wrote included: called through their signature."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.inputs.specs import OutputSpec
from nnperm_mlflow.models.model_files import ModelFiles, refuse_untrusted
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.tensor_predictor import TensorPredictor
from nnperm_mlflow.models.tensors import Tensors, spec_from_tensor
from nnperm_mlflow.models.trust import reaching_operations

_SERVING = "serving_default"


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
        With the inputs by the names of the signature `serving_default`, or of the only function there is.

    Raises
    ------
    UntrustedModelError
        If the graph reaches for the disk or for Python, and is not trusted.
    ModelError
        If the directory is no SavedModel, or has no function to call.
    """
    try:
        reaching = reaching_operations(path)
        if reaching and not trust_model:
            raise refuse_untrusted(
                reference, f"its graph holds {name_list(reaching)}, which reach for the disk or for Python"
            )
        loaded = tf.saved_model.load(str(path))
    except (DecodeError, OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise ModelError(f"the SavedModel of {reference} cannot be read ({type(error).__name__}).") from error
    function = _function(loaded, reference)
    positional, named = function.structured_input_signature or ((), {})
    specs = {str(getattr(spec, "name", "")): spec for spec in tf.nest.flatten(positional)} | dict(named)
    if not specs or any(not isinstance(spec, tf.TensorSpec) for spec in specs.values()):
        raise ModelError(f"the SavedModel of {reference} takes something else than named tensors.")
    call = partial(_call, loaded, function, [spec.name for spec in tf.nest.flatten(positional)], list(named))
    inputs = [spec_from_tensor(name, specs[name]) for name in sorted(specs)]
    return TensorPredictor(inputs, _outputs(function.structured_outputs), call)


def _call(_owner: object, function: Any, positional: list[str], named: list[str], tensors: Tensors) -> Any:  # noqa: ANN401
    """Call a function of a SavedModel; its variables live as long as their owner."""
    return function(*[tensors[name] for name in positional], **{name: tensors[name] for name in named})


def _function(loaded: Any, reference: ModelReference) -> Any:  # noqa: ANN401 - TensorFlow's own untyped objects
    signatures = dict(loaded.signatures)
    if _SERVING in signatures or len(signatures) == 1:
        return signatures.get(_SERVING) or next(iter(signatures.values()))
    calls = getattr(loaded.__call__, "concrete_functions", []) if callable(loaded) else []
    if len(calls) == 1:
        return calls[0]
    raise ModelError(
        f"the SavedModel of {reference} has no function to call: its signatures are {name_list(signatures)}. Save it "
        f"with signatures={{'{_SERVING}': ...}}, whose inputs have names and any number of rows."
    )


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
