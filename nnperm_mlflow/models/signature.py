"""What MLflow's signature says of a model's inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, TensorSpec

from nnperm_mlflow.basics.errors import ModelError
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.model_uri import ModelReference

_COLUMN_TYPES = {
    DataType.boolean: "bool", DataType.integer: "int32", DataType.long: "int64",
    DataType.float: "float32", DataType.double: "float64", DataType.string: "object",
}  # fmt: skip


def specs_from_signature(mlmodel: dict[str, Any], reference: ModelReference) -> list[InputSpec]:
    """Return the inputs that a signature names.

    Parameters
    ----------
    mlmodel : dict
        The MLmodel file.
    reference : ModelReference
        For messages.

    Returns
    -------
    list of InputSpec
        Tensors, or columns of a DataFrame. A single tensor without a name is called `num_input`.

    Raises
    ------
    ModelError
        If there is no signature, or one with inputs that cannot be disturbed.
    """
    try:
        signature = ModelSignature.from_dict(mlmodel["signature"]) if mlmodel.get("signature") else None
    except (MlflowException, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"the signature of {reference} cannot be read ({type(error).__name__}).") from error
    if signature is None or signature.inputs is None:
        raise ModelError(
            f"{reference} was logged without a signature, so that the names of its inputs are unknown. "
            "Log it again with signature=infer_signature(inputs, predictions)."
        )
    return [_spec(part, reference) for part in signature.inputs.inputs]


def columns_by_signature(
    mlmodel: Mapping[str, Any], inputs: Sequence[InputSpec], known: Iterable[str]
) -> dict[str, list[str]]:
    """Return which columns a network's only input takes, in their order, where its signature is one of a DataFrame.

    MLflow puts the columns of what it is given into that order.

    Parameters
    ----------
    mlmodel : mapping
        The MLmodel file.
    inputs : sequence of InputSpec
    known : iterable of str
        Columns that there are; where one of the signature's is not among them, nothing is returned.
    """
    try:
        signature = ModelSignature.from_dict(mlmodel["signature"]) if mlmodel.get("signature") else None
    except (MlflowException, KeyError, TypeError, ValueError, AttributeError):
        return {}
    parts = signature.inputs.inputs if signature and signature.inputs else []
    names = [part.name for part in parts if isinstance(part, ColSpec) and part.name]
    if len(inputs) != 1 or inputs[0].shape not in ((None,), (len(names),)) or len(names) != len(parts):
        return {}
    return {inputs[0].name: names} if names and set(names) <= set(known) else {}


def _spec(part: object, reference: ModelReference) -> InputSpec:
    if isinstance(part, TensorSpec):
        dtype = np.dtype(object) if part.type.kind in "OUS" else part.type
        return InputSpec(part.name or "num_input", tuple(None if n == -1 else n for n in part.shape[1:]), dtype)
    if isinstance(part, ColSpec) and part.name and part.type in _COLUMN_TYPES:
        return InputSpec(part.name, (), np.dtype(_COLUMN_TYPES[part.type]), is_column=True)
    raise ModelError(
        f"{reference} takes an input ({part}) that is neither a named column of numbers, text or yes/no, nor a tensor."
    )
