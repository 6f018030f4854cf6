"""Arrays as PyTorch's tensors and back, calls in pieces of some thousand rows, and what is said where they fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.models.output_numbers import as_columns

MOST_ROWS = 4_096
"""Rows of a call; more make none of them cheaper, and take what was computed last out of the processor's memory."""

_CAUSES = {
    re.compile("index out of range"): "A code outside of what an embedding knows does that.",
    re.compile("shape|dimension|size"): "A series of another length than the network takes does that.",
    re.compile("dtype|scalar type|expected .* but (got|found)"): (
        "Inputs of another type than the network takes do that: its signature says which it gets."
    ),
}
"""What PyTorch says where a network fails, and what that comes from."""

_FAILURES = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError,
             NotImplementedError)  # fmt: skip

ResultT = TypeVar("ResultT")


def guarded(function: Callable[..., ResultT], *given: Any) -> ResultT:  # noqa: ANN401
    """Call a function without gradients; what PyTorch or a network's code raises becomes a `PredictionError`."""
    try:
        with _one_thread_beside_others(), torch.inference_mode():
            return function(*given)
    except _FAILURES as error:
        cause = next((cause for says, cause in _CAUSES.items() if says.search(str(error))), "")
        raise PredictionError(f"the network failed ({type(error).__name__}). {cause}".rstrip()) from error


@contextmanager
def _one_thread_beside_others() -> Iterator[None]:
    """Have a call that runs beside others use one thread: so they share the processors better than by their parts.

    PyTorch keeps the number for each thread that calls it, and that of others stays as it is.
    """
    before = torch.get_num_threads()
    is_alone = threading.current_thread() is threading.main_thread() or before == 1
    if not is_alone:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if not is_alone:
            torch.set_num_threads(before)


def to_tensor(array: Any, dtype: torch.dtype) -> torch.Tensor:  # noqa: ANN401 - an array, or a tensor already
    """Return an array as a tensor in its own memory where that can be; nobody may write into either afterwards."""
    if isinstance(array, torch.Tensor):
        return array
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(dtype)


def numpy_type(dtype: torch.dtype) -> np.dtype:
    """Return the type of arrays that become tensors of a type; NumPy knows no bfloat16."""
    return np.dtype(np.float32) if dtype == torch.bfloat16 else np.dtype(str(dtype).removeprefix("torch."))


def as_array(tensor: Any) -> np.ndarray:  # noqa: ANN401 - a tensor, or an array already
    """Return a tensor as an array; of a type that NumPy does not know as float32."""
    if isinstance(tensor, np.ndarray):
        return tensor
    plain = tensor.detach()
    return np.asarray((plain.float() if plain.dtype == torch.bfloat16 else plain).numpy())


def to_columns(outputs: Iterable[Any], n_rows: int) -> np.ndarray:
    """Return what a network gave as numbers of shape (n_rows, n_outputs)."""
    return as_columns([as_array(output) for output in outputs], n_rows)


def pieces_of(n_rows: int) -> list[slice]:
    """Return equal pieces of rows, of at most `MOST_ROWS` each."""
    n_pieces = -(-n_rows // MOST_ROWS) or 1
    ends = np.linspace(0, n_rows, n_pieces + 1).round().astype(int).tolist()
    return [slice(*ends) for ends in pairwise(ends)]


def join_pieces(parts: list[torch.Tensor]) -> torch.Tensor:
    """Return the rows of several tensors one below the other."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)
