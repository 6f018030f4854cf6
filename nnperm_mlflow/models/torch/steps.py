"""One step of a network's graph in PyTorch, and about what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nnperm_mlflow.models.graph import Graph
from nnperm_mlflow.models.torch.dependence import by_value
from nnperm_mlflow.models.torch.operators import operator_name
from nnperm_mlflow.models.torch.program import Call

_PRODUCTS = frozenset({"matmul", "bmm", "baddbmm", "mm", "einsum", "scaled_dot_product_attention"})
_LOOKS_UP = frozenset({"embedding"})


@dataclass(frozen=True)
class TorchStep:
    """Calls of a program that are run together.

    Attributes
    ----------
    calls : tuple of Call
        One; several where what the first gives has no row axis at its front, and so cannot be kept by rows.
    takes : tuple of str
        What it takes by value that depends on an input.
    gives : tuple of str
    cost : float
        Multiplications a row, about.
    row_bytes : int
        Memory that what it gives takes a row, about.
    """

    calls: tuple[Call, ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    cost: float
    row_bytes: int


TorchGraph = Graph[TorchStep]


def measured_step(call: Call, known: frozenset[str], values: Mapping[str, Any], n_rows: int) -> TorchStep:
    """Return a call as a step, with what it costs.

    Parameters
    ----------
    call : Call
    known : frozenset of str
        All values that depend on an input.
    values : mapping of str to Tensor, or a number
        What it takes and gives, for some rows.
    n_rows : int
    """
    takes = tuple(name for name in by_value(call) if name in known)
    given = [values[name] for name in call.gives]
    weights = sum(
        values[name].numel() for name in call.uses if name not in known and isinstance(values.get(name), torch.Tensor)
    )
    taken = [values[name] for name in takes]
    numbers = sum(it.numel() for it in given) / n_rows
    cost = numbers + _multiplications(operator_name(call.function), weights, taken, given, n_rows)
    return TorchStep(
        (call,), takes, call.gives, cost, int(sum(it.numel() * it.element_size() for it in given) / n_rows)
    )


def _multiplications(
    name: str, weights: int, taken: Sequence[torch.Tensor], given: Sequence[torch.Tensor], n_rows: int
) -> float:
    """Estimate the multiplications a row: each weight once a position."""
    if name in _LOOKS_UP:
        return 0.0
    if name in _PRODUCTS and taken[0].dim() > 1:
        return given[0].numel() / n_rows * taken[0].shape[-1]
    is_convolution = name.startswith("conv")
    channels = given[0].shape[1] if is_convolution and given[0].dim() > 1 else 0
    if channels:
        return given[0].numel() / n_rows / channels * weights
    widths = [it.numel() / n_rows / max(1, it.shape[-1]) for it in [*taken, *given] if it.dim() > 1]
    return weights * max(1.0, *widths, 1.0)


def joined_step(step: TorchStep, makers: Sequence[TorchStep]) -> TorchStep:
    """Return a step that makes by itself what it took of others."""
    inside = {name for maker in makers for name in maker.gives}
    takes = [name for maker in makers for name in maker.takes] + [name for name in step.takes if name not in inside]
    return TorchStep(
        calls=(*(call for maker in makers for call in maker.calls), *step.calls),
        takes=tuple(dict.fromkeys(takes)),
        gives=step.gives,
        cost=step.cost + sum(maker.cost for maker in makers),
        row_bytes=step.row_bytes,
    )
