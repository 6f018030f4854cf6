"""Calling a network or a SavedModel with named tensors: compiled once, fed by name only."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.batching import ALIGNMENT
from nnperm_mlflow.models.predictions import as_columns

Tensors = Mapping[str, Any]
WORKERS = max(2, min(4, (os.cpu_count() or 1) // 2))
"""Calls of a network that run at the same time, so that one computes where another waits."""


def tensor_spec(spec: InputSpec) -> tf.TensorSpec:
    """Return what a compiled function is told of an input: any number of rows."""
    return tf.TensorSpec((None, *spec.shape), _tensor_type(spec.dtype))


def describe_failure(error: Exception) -> str:
    """Return what to say where a network fails; TensorFlow's own words may hold data."""
    return (
        f"the network failed ({type(error).__name__}). A code outside of what an embedding knows, or a series longer "
        "than the network takes, does that."
    )


def spec_from_tensor(name: str, tensor: Any) -> InputSpec:  # noqa: ANN401 - a Keras tensor or a tf.TensorSpec
    """Return what a symbolic tensor says of the input called `name`."""
    kind = tf.as_dtype(tensor.dtype)
    dtype = np.dtype(object) if kind == tf.string else np.dtype(kind.as_numpy_dtype)
    return InputSpec(name, tuple(tensor.shape)[1:], dtype)


def _tensor_type(dtype: np.dtype) -> tf.DType:
    return tf.string if dtype.kind == "O" else tf.as_dtype(dtype)


def to_tensor(array: Any, spec: InputSpec) -> tf.Tensor:  # noqa: ANN401 - an array, or a tensor already
    """Return an input as the tensor that its network takes; a tensor stays as it is."""
    return tf.convert_to_tensor(array, _tensor_type(spec.dtype))


def lend_tensor(array: np.ndarray, spec: InputSpec) -> tf.Tensor:
    """Return an input as a tensor that uses the array's own memory, where TensorFlow can; else a copy.

    Of wide inputs the copy takes as long as a good part of the network.

    Parameters
    ----------
    array : ndarray of shape (n_rows, ...)
        Nobody may change it afterwards.
    spec : InputSpec
    """
    is_aligned = array.flags.c_contiguous and array.ctypes.data % ALIGNMENT == 0
    if not (is_aligned and array.flags.writeable and array.dtype == spec.dtype and array.dtype.kind in "iuf"):
        return to_tensor(array, spec)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def to_columns(predicted: Any, n_rows: int) -> np.ndarray:  # noqa: ANN401 - a tensor, or a list or dict of them
    """Return what a network gave as numbers of shape (n_rows, n_outputs); NumPy takes bfloat16 for none."""
    return as_columns(tf.nest.map_structure(_known_to_numpy, predicted), n_rows)


def _known_to_numpy(tensor: tf.Tensor) -> tf.Tensor:
    return tf.cast(tensor, tf.float32) if tensor.dtype == tf.bfloat16 else tensor


class Compiled:
    """A function of tensors, traced once and called without looking for a trace again.

    Parameters
    ----------
    function : callable
    signature : sequence
        Of nested `tf.TensorSpec`.
    """

    def __init__(self, function: Callable[..., Any], signature: Sequence[Any]) -> None:
        # the layers of Keras need no rewriting of their code, which would take longer than tracing them
        self._function = tf.function(function, input_signature=signature, autograph=False)
        self._concrete: Any = None

    @property
    def n_traces(self) -> int:
        """How often the function has been traced."""
        return int(self._function.experimental_get_tracing_count())

    def __call__(self, *given: Any) -> Any:  # noqa: ANN401
        """Call the function; what TensorFlow raises becomes a `PredictionError`."""
        if self._concrete is None:
            self._concrete = guarded(self._function.get_concrete_function)
        return guarded(self._concrete, *given)


def guarded(function: Callable[..., Any], *given: Any) -> Any:  # noqa: ANN401
    """Call a function; what TensorFlow raises becomes a `PredictionError`."""
    try:
        return function(*given)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        raise PredictionError(describe_failure(error)) from error


def any_rows(tensor: Any) -> tf.TensorSpec:  # noqa: ANN401
    """Return what a compiled function is told of a tensor: any number of rows."""
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
