"""ONNX models from their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.models.model_files import ModelFiles, refuse_untrusted
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.onnx.interface import Output, followed_outputs, input_specs
from nnperm_mlflow.models.onnx.model_file import read_model
from nnperm_mlflow.models.onnx.network_predictor import OnnxPredictor
from nnperm_mlflow.models.onnx.safety import reaching_operators, unbounded_forests
from nnperm_mlflow.models.onnx.sessions import FAILURES, HARMLESS_SETTINGS, SettingError
from nnperm_mlflow.models.onnx.signature import named_by_signature
from nnperm_mlflow.models.served_network import own_code

_LOADER = "mlflow.onnx"


def load_onnx(files: ModelFiles, reference: ModelReference, trust_model: bool) -> OnnxPredictor:
    """Load an ONNX model from its own file.

    Parameters
    ----------
    files : ModelFiles
    reference : ModelReference
    trust_model : bool
        Allow what does not only compute: code beside the model, operators that are not known, settings that name files.

    Returns
    -------
    OnnxPredictor
        With the inputs that the file names.

    Raises
    ------
    UntrustedModelError
        If it would reach further, and is not trusted.
    ModelError
        If the file is no model that this ONNX Runtime runs, MLflow would serve another, or a setting is none.
    """
    conf = files.mlmodel["flavors"]["onnx"]
    path = _served_file(files, conf, reference)
    if not trust_model:
        _refuse_reaching(files, conf, reference)
    model = read_model(path, reference)
    if not trust_model and (reaching := reaching_operators(model)):
        raise refuse_untrusted(reference, f"the model holds {name_list(reaching)}, which may do more than compute")
    if not trust_model and (forests := unbounded_forests(model)):
        raise refuse_untrusted(reference, f"{forests[0]}, which ONNX Runtime follows unchecked")
    specs = named_by_signature(model, input_specs(model, reference), files.mlmodel, reference)
    outputs = followed_outputs(model, reference)
    _follow(model, outputs)
    try:
        predictor = OnnxPredictor(model, specs, outputs, conf)
    except SettingError as error:
        raise ModelError(
            f"{reference} was logged with the setting {error}. Log it again with other onnx_session_options."
        ) from error
    except FAILURES as error:
        raise _unreadable(model, reference, error) from error
    return predictor


def _served_file(files: ModelFiles, conf: Mapping[str, Any], reference: ModelReference) -> Path:
    """Return the model's file, if it is the one that MLflow serves.

    Raises
    ------
    ModelError
        If the flavour names none beside the MLmodel file, or pyfunc another or another way to read it.
    """
    name, served = conf.get("data"), files.mlmodel["flavors"].get("python_function")
    if not isinstance(name, str) or not (files.path / name).is_file() or Path(name).name != name:
        raise ModelError(f"the flavour onnx of {reference} names no file beside the MLmodel file, but '{name}'.")
    if isinstance(served, dict) and (served.get("loader_module"), served.get("data")) != (_LOADER, name):
        raise ModelError(
            f"{reference} is served by '{served.get('loader_module')}' from '{served.get('data')}', and its flavour "
            f"onnx names '{name}': these may be two models. Log it again with mlflow.onnx.log_model alone."
        )
    return files.path / name


def _refuse_reaching(files: ModelFiles, conf: Mapping[str, Any], reference: ModelReference) -> None:
    """Refuse what lies beside a model, or is said of its session, and reaches further than it.

    Raises
    ------
    UntrustedModelError
    """
    if code := own_code(files):
        raise refuse_untrusted(
            reference, f"beside the model lies {name_list(code)}, which would run where MLflow serves it"
        )
    told = conf.get("onnx_session_options") or {}
    further = told.get("extra_session_config") or {} if isinstance(told, dict) else {"onnx_session_options": told}
    unknown = [str(key) for key in further if not HARMLESS_SETTINGS.fullmatch(str(key))]
    if unknown:
        raise refuse_untrusted(
            reference, f"its session has the settings {name_list(unknown)}, which may name files or libraries"
        )


def _follow(model: onnx.ModelProto, outputs: Sequence[Output]) -> None:
    """Make the tensors that are followed the outputs of a model."""
    values = {value.name: value for value in model.graph.output}
    kept = [values.get(output.tensor, onnx.ValueInfoProto(name=output.tensor)) for output in outputs]
    kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def _unreadable(model: onnx.ModelProto, reference: ModelReference, error: Exception) -> ModelError:
    """Return the error for a model that ONNX Runtime does not take."""
    versions = ", ".join(f"{told.domain or 'ai.onnx'} {told.version}" for told in model.opset_import)
    return ModelError(
        f"{reference} cannot be run by ONNX Runtime {onnxruntime.__version__} ({type(error).__name__}): it is a model "
        f"of IR version {model.ir_version} with the operators of {versions}. Install the version of onnxruntime that "
        "its requirements.txt names, or export it again for an older opset."
    )
