"""Whether the signature that an ONNX model was logged with and its file speak of the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, TensorSpec
from onnx import NodeProto

from nnperm_mlflow.basics.errors import ModelError, name_list
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.model_signature import refuse_fixed_rows
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.onnx.model_file import every_message

_UNNAMED = "num_input"
"""How the single input of a model is called to which its signature gives no name."""


def named_by_signature(
    model: onnx.ModelProto, specs: Sequence[InputSpec], mlmodel: Mapping[str, Any], reference: ModelReference
) -> list[InputSpec]:
    """Return the inputs of a model by the names that its signature gives them, where it has one.

    Parameters
    ----------
    model : onnx.ModelProto
        A single input that the signature leaves without a name is renamed in it.
    specs : sequence of InputSpec
        As the file has them.
    mlmodel : mapping
        The MLmodel file.
    reference : ModelReference
        For messages.

    Returns
    -------
    list of InputSpec

    Raises
    ------
    ModelError
        If the signature names other inputs, or cannot be read.
    """
    try:
        signature = ModelSignature.from_dict(mlmodel["signature"]) if mlmodel.get("signature") else None
    except (MlflowException, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"the signature of {reference} cannot be read ({type(error).__name__}).") from error
    parts = list(signature.inputs.inputs) if signature and signature.inputs else []
    if not parts:
        return list(specs)
    refuse_fixed_rows(dict(mlmodel), reference)
    if len(parts) == len(specs) == 1 and isinstance(parts[0], TensorSpec) and not parts[0].name:
        _rename(model, specs[0].name, _UNNAMED)
        return [replace(specs[0], name=_UNNAMED)]
    names, known = [spec.name for spec in specs], [str(part.name) for part in parts]
    is_table = all(isinstance(part, ColSpec) for part in parts)
    if set(known) == set(names) or (is_table and set(known) > set(names)):
        return list(specs)  # MLflow takes from a table what the file names
    if is_table and len(specs) == 1 and specs[0].shape in ((None,), (len(parts),)):
        return list(specs)  # whose columns, in their order, MLflow makes one matrix of
    raise ModelError(
        f"the signature of {reference} names {name_list(known)}, and its file takes {name_list(names)}: MLflow hands "
        "over by name. Log it again with a signature of the names that the file has: infer_signature({"
        + ", ".join(f"'{name}': ..." for name in names)
        + "}, ...)."
    )


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    """Call an input otherwise, wherever it is taken."""
    nodes = [message for message in every_message(model.graph) if isinstance(message, NodeProto)]
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]
    for value in [*model.graph.input, *model.graph.output]:
        value.name = new if value.name == old else value.name
