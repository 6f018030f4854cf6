"""What MLflow's signature says of a model's inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, TensorSpec
from mlflow.types.schema import Array

from nnperm_mlflow.basics.errors import ModelError
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.model_uri import ModelReference

_COLUMN_TYPES = {
    DataType.boolean: "bool", DataType.integer: "int32", DataType.long: "int64",
    DataType.float: "float32", DataType.double: "float64", DataType.string: "object",
}  # fmt: skip


_MOST_AXES = 2  # of an array in a cell: steps and channels


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
    if not isinstance(part, ColSpec) or not part.name:
        raise ModelError(
            f"{reference} takes an input ({part}) that is neither a named column nor a tensor. Log it with the "
            "signature of a DataFrame or of arrays: infer_signature(X, ...)."
        )
    kind, depth = part.type, 0
    while isinstance(kind, Array):
        kind, depth = kind.dtype, depth + 1
    if isinstance(kind, DataType) and kind in _COLUMN_TYPES and depth <= _MOST_AXES:
        dtype = np.dtype(_COLUMN_TYPES[kind])
        return InputSpec(part.name, (None,) * depth, dtype, is_column=True, is_optional=not part.required)
    told = getattr(part.type, "name", part.type)
    raise ModelError(
        f"{reference} takes the column '{part.name}' of type {told}: cells can be disturbed that are numbers, text, "
        f"yes/no, or arrays of up to {_MOST_AXES} axes of these. Log a model that takes such columns and makes of them "
        "what it needs."
    )


def output_names(mlmodel: dict[str, Any]) -> tuple[str, ...]:
    """Return what a signature that can be read calls its outputs, where these are columns; empty otherwise."""
    outputs = ModelSignature.from_dict(mlmodel["signature"]).outputs
    columns = [part for part in outputs.inputs if isinstance(part, ColSpec)] if outputs else []
    return tuple(str(part.name) for part in columns if part.name)


def refuse_fixed_rows(mlmodel: dict[str, Any], reference: ModelReference) -> None:
    """Refuse a signature that takes a certain number of rows, which MLflow then insists on.

    Parameters
    ----------
    mlmodel, reference
        As for `specs_from_signature`, which is to have read them.

    Raises
    ------
    ModelError
        If there is such an input.
    """
    for part in ModelSignature.from_dict(mlmodel["signature"]).inputs.inputs:
        if isinstance(part, TensorSpec) and part.shape and part.shape[0] != -1:
            raise ModelError(
                f"the signature of {reference} says that '{part.name or 'num_input'}' has {part.shape[0]} row(s), and "
                "MLflow's pyfunc refuses any other number. Log it again with a first axis of any length (-1), as "
                "infer_signature makes of arrays."
            )
