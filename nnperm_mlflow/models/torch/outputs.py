"""What a program tells of its outputs: their names, and whether its last step makes probabilities of them."""

from __future__ import annotations

from nnperm_mlflow.inputs.specs import Head, OutputSpec
from nnperm_mlflow.models.torch.operators import operator_name
from nnperm_mlflow.models.torch.program import Call, Program, Value

_SAME_NUMBERS = frozenset({"squeeze", "unsqueeze", "view", "reshape", "flatten", "alias", "contiguous", "clone", "to"})
"""Operators that give the numbers they take in another shape."""


def outputs_of(program: Program) -> OutputSpec:
    """Return the names of all outputs where the network returns a dict, and what is known of each tensor of them.

    Parameters
    ----------
    program : Program

    Returns
    -------
    OutputSpec
    """
    makers = {name: call for call in program.calls for name in call.gives}
    widths = [_width(program, name) for name in program.outputs]
    heads, names = [], []
    first = 0
    for place, (output, width) in enumerate(zip(program.outputs, widths, strict=True)):
        columns = tuple(range(first, first + (width or 0))) if None not in widths else ()
        heads.append(_head(_last_step(output, makers), columns))
        first += width or 0
        if program.output_names:
            name = program.output_names[place]
            names += [name] if width == 1 else [f"{name}_{column}" for column in range(width or 0)]
    return OutputSpec(tuple(names) if None not in widths else (), tuple(heads))


def _width(program: Program, name: str) -> int | None:
    """Return how many numbers a row an output has; None where only a call tells."""
    width = 1
    for length in program.shapes[name][1:]:
        if not isinstance(length, int):
            return None
        width *= length
    return width


def _last_step(name: str, makers: dict[str, Call]) -> Call | None:
    """Return the call that computed an output."""
    call = makers.get(name)
    while call is not None and operator_name(call.function) in _SAME_NUMBERS and isinstance(call.arguments[0], Value):
        call = makers.get(call.arguments[0].name)
    return call


def _head(call: Call | None, columns: tuple[int, ...]) -> Head:
    kind = operator_name(call.function) if call else ""
    unit = "probability" if kind in ("sigmoid", "softmax", "_softmax") else None
    return Head(columns, unit, exclusive=kind in ("softmax", "_softmax") and len(columns) != 1)
