"""Which steps of a PyTorch program are affine in all that they take together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from nnperm_mlflow.models.torch.dependence import by_value
from nnperm_mlflow.models.torch.operators import operator_name
from nnperm_mlflow.models.torch.program import Call, Value
from nnperm_mlflow.models.torch.steps import TorchStep

_PASSING = frozenset(
    (
        "alias", "clone", "contiguous", "detach", "expand", "flatten", "movedim", "moveaxis", "narrow", "permute",
        "reshape", "select", "slice", "split", "split_with_sizes", "squeeze", "swapaxes", "swapdims", "t", "transpose",
        "unbind", "unflatten", "unsqueeze", "view", "_unsafe_view",
    )
)  # fmt: skip
"""Operators that give what they take, or a part of it, in another shape."""

_FIRST = _PASSING | frozenset(
    (
        "cat", "concat", "stack", "mean", "sum", "neg", "flip", "repeat", "div", "true_divide", "dropout", "batch_norm",
        "_native_batch_norm_legit_no_training", "_to_copy",
    )
)  # fmt: skip
"""Affine in their first argument, be it one tensor or a list of them, the others being constants."""

_BOTH = frozenset(("add", "sub", "rsub"))
"""Affine in their first two arguments together."""

_FACTORS = {
    **dict.fromkeys(("linear", "matmul", "mm", "bmm", "mul", "conv1d", "conv2d", "conv3d"), frozenset((0, 1, 2))),
    **dict.fromkeys(("addmm", "baddbmm"), frozenset((1, 2))),
}
"""Affine where no two of these arguments, which are multiplied with each other, depend on an input."""

_TRAINING = 5  # place of the argument of batch_norm that says so

_FLOATS = (torch.float32, torch.float64)


def is_affine(step: TorchStep) -> bool:
    """Tell whether a step is known to be affine in all that it takes together; unknown ones are not."""
    varying = {*step.takes, *(name for call in step.calls for name in call.gives)}
    return all(_is_affine(call, varying) for call in step.calls)


def passes_on(step: TorchStep) -> bool:
    """Tell whether a step gives what it takes, or a part of it, in another shape."""
    return all(operator_name(call.function) in _PASSING for call in step.calls)


def is_sigmoid(step: TorchStep) -> bool:
    """Tell whether a step is the sigmoid function of one tensor."""
    return len(step.calls) == 1 and operator_name(step.calls[0].function) == "sigmoid"


def _is_affine(call: Call, varying: Collection[str]) -> bool:
    name, places = operator_name(call.function), _varies_in(call, varying)
    if name in _FACTORS:
        return len(places & _FACTORS[name]) <= 1
    known = {0, 1} if name in _BOTH else {0} if name in _FIRST and not _is_bent(name, call) else set()
    return bool(known) and places <= known


def _is_bent(name: str, call: Call) -> bool:
    """Tell whether a call rounds, turns numbers into others, or standardises over the rows of a call."""
    if name == "batch_norm":
        return True in call.arguments[_TRAINING : _TRAINING + 1]
    kind = call.options.get("dtype")
    return bool(call.options.get("rounding_mode")) or (name == "_to_copy" and kind not in (None, *_FLOATS))


def _varies_in(call: Call, varying: Collection[str]) -> set[int]:
    """Return the places of the arguments that depend on an input by what stands in them; -1 for one given by name."""
    taken = set(by_value(call)).intersection(varying)
    found = {place for place, argument in enumerate(call.arguments) if not taken.isdisjoint(_names_in(argument))}
    by_name = any(not taken.isdisjoint(_names_in(argument)) for argument in call.options.values())
    return found | ({-1} if by_name else set())


def _names_in(argument: Any) -> list[str]:  # noqa: ANN401 - numbers, values, lists of these
    parts = argument if isinstance(argument, list) else [argument]
    return [part.name for part in parts if isinstance(part, Value)]
