"""What each call of a program takes by value, and what it takes for its shape alone.

A state of zeros hangs on how many rows the first input has, and on nothing that stands in it. Were that a dependence,
each change of that input would run every recurrent layer again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nnperm_mlflow.models.torch.operators import operator_name
from nnperm_mlflow.models.torch.program import Call, Program, Value

_SHAPE_ALONE: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("sym_size", "sym_stride", "sym_numel", "sym_storage_offset"), (0,)),
    **dict.fromkeys(("zeros_like", "ones_like", "full_like", "empty_like"), (0,)),
    **dict.fromkeys(("new_zeros", "new_ones", "new_full", "new_empty"), (0,)),
    **dict.fromkeys(("expand_as", "view_as", "reshape_as"), (1,)),
}
"""Of which operators which arguments, by their place, are taken for their shape alone."""

_BY_CHANCE = frozenset(
    {"rand", "rand_like", "randn", "randn_like", "randint", "randperm", "native_dropout", "rrelu_with_noise"}
    | {name + end for name in ("bernoulli", "normal", "uniform", "rrelu") for end in ("", "_")}
)


def shape_alone(call: Call) -> tuple[str, ...]:
    """Return the names of the values of which a call takes nothing but shape and type."""
    places = _SHAPE_ALONE.get(operator_name(call.function), ())
    return tuple(it.name for place, it in enumerate(call.arguments) if place in places and isinstance(it, Value))


def by_value(call: Call) -> tuple[str, ...]:
    """Return the names of the values of which a call takes what stands in them."""
    shapes = set(shape_alone(call))
    places = _SHAPE_ALONE.get(operator_name(call.function), ())
    rest = [argument for place, argument in enumerate(call.arguments) if place not in places]
    again = {it.name for it in rest if isinstance(it, Value)}
    return tuple(name for name in call.uses if name not in shapes or name in again)


def input_dependent(program: Program) -> frozenset[str]:
    """Return the names of all values that depend on what stands in an input, those of the inputs included."""
    found = set(program.inputs)
    for call in program.calls:
        if not found.isdisjoint(by_value(call)):
            found.update(call.gives)
    return frozenset(found)


def needed_for(calls: Iterable[Call], names: Iterable[str]) -> list[Call]:
    """Return the calls that some values are made by, in order."""
    needed, found = set(names), []
    for call in reversed([*calls]):
        if not needed.isdisjoint(call.gives):
            found.append(call)
            needed.update(call.uses)
    return found[::-1]


def trained_parts(program: Program) -> list[str]:
    """Return what a program does as in training: layers that drop values, or that normalise over the rows of a call."""
    return sorted(
        {name for call in program.calls if (name := operator_name(call.function)) and _is_trained(name, call)}
    )


def is_by_chance(program: Program) -> bool:
    """Tell whether any step gives something else each time."""
    names = {operator_name(call.function) for call in program.calls}
    return not names.isdisjoint(_BY_CHANCE) or any("dropout" in part for part in trained_parts(program))


def _is_trained(name: str, call: Call) -> bool:
    """Tell by the arguments that the operators of PyTorch name so whether a call does what layers do in training."""
    given = _by_name(call)
    if name in ("lstm", "gru", "rnn_tanh", "rnn_relu", "dropout", "feature_dropout", "alpha_dropout"):
        return bool(given.get("train")) and float(given.get("dropout", given.get("p", 0.0))) > 0
    if name == "scaled_dot_product_attention":
        return float(given.get("dropout_p", 0.0)) > 0
    return name.endswith("batch_norm") and bool(given.get("training"))


def _by_name(call: Call) -> dict[str, Any]:
    names = [argument.name for argument in call.function._schema.arguments]  # type: ignore[attr-defined]
    return {**dict(zip(names, call.arguments, strict=False)), **call.options}
