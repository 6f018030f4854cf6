"""Calling a network or a SavedModel with named tensors: compiled once, fed by name only."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import ALIGNMENT, InputSpec

Tensors = Mapping[str, Any]
WORKERS = max(2, min(4, (os.cpu_count() or 1) // 2))
"""Calls of a network that run at the same time, so that one computes where another waits."""


_CAUSES = {
    re.compile(r"is not in \[0, "): "A code outside of what an embedding knows does that.",
    re.compile("shape|dimension", re.IGNORECASE): "A series of another length than the network takes does that.",
}
"""What TensorFlow says where a network fails, and what that comes from."""


def describe_failure(error: Exception) -> str:
    """Return what to say where a network fails; TensorFlow's own words may hold data."""
    cause = next((cause for says, cause in _CAUSES.items() if says.search(str(error))), "")
    return f"the network failed ({type(error).__name__}). {cause}".rstrip()


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


class Compiled:
    """A function of tensors, traced at its first call and called without looking for a trace again.

    It is traced for any number of rows, and for the lengths of what it is given: where a network leaves the length of a
    series open, a layer that is not told one may be another function than with the series itself.

    Parameters
    ----------
    function : callable
    signature : sequence, optional
        Of nested `tf.TensorSpec`, where more than the number of rows varies.
    autograph : bool
        Rewrite Python's conditions and loops in code that is not Keras's own. Its layers need none of that, which would
        take longer than tracing them.
    """

    def __init__(
        self, function: Callable[..., Any], signature: Sequence[Any] | None = None, autograph: bool = False
    ) -> None:
        self.uncompiled = function
        self._signature = signature
        self._autograph = autograph
        self._traced: Any = None
        self._concrete: Any = None

    @property
    def n_traces(self) -> int:
        """How often the function has been traced."""
        return 0 if self._traced is None else int(self._traced.experimental_get_tracing_count())

    def __call__(self, *given: Any) -> Any:  # noqa: ANN401
        """Call the function; what TensorFlow raises becomes a `PredictionError`."""
        if self._concrete is None:
            signature = self._signature or tf.nest.map_structure(any_rows, given)
            self._traced = tf.function(self.uncompiled, input_signature=signature, autograph=self._autograph)
            self._concrete = guarded(self._traced.get_concrete_function)
        return guarded(self._concrete, *given)


_FAILURES = (tf.errors.OpError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError,
             RuntimeError)  # fmt: skip
"""What a network may raise, one with code of its own included."""


def guarded(function: Callable[..., Any], *given: Any) -> Any:  # noqa: ANN401
    """Call a function; what TensorFlow or a network's own code raises becomes a `PredictionError`."""
    try:
        return function(*given)
    except _FAILURES as error:
        raise PredictionError(describe_failure(error)) from error


def any_rows(tensor: Any) -> tf.TensorSpec:  # noqa: ANN401
    """Return what a compiled function is told of a tensor: any number of rows."""
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
