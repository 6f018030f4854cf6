"""An exported program as a graph of steps: writing in place undone, columns that are picked as inputs of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from nnperm_mlflow.models.branches.columns import Piece
from nnperm_mlflow.models.graph import Graph, Key
from nnperm_mlflow.models.torch.columns import split_columns
from nnperm_mlflow.models.torch.dependence import by_value, input_dependent, is_by_chance, needed_for
from nnperm_mlflow.models.torch.free_values import FreeValues
from nnperm_mlflow.models.torch.operators import gives_new_memory, is_in_place, operator_name, without_writing
from nnperm_mlflow.models.torch.program import Call, Program
from nnperm_mlflow.models.torch.steps import TorchGraph, TorchStep, joined_step, measured_step

_CHECKS_NO_VALUES = frozenset({"_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size"})


@dataclass(frozen=True)
class Unfolded:
    """A program that can be run in parts.

    Attributes
    ----------
    graph : TorchGraph
        Its inputs are the pieces of the program's inputs.
    pieces : dict of str to list of Piece
        Of each of the program's inputs that is cut.
    free : FreeValues
    """

    graph: TorchGraph
    pieces: dict[str, list[Piece]]
    free: FreeValues


def unfold(program: Program, rows: Sequence[torch.Tensor]) -> Unfolded | None:
    """Return a program as a graph, or None for one whose parts may not be run by themselves.

    Parameters
    ----------
    program : Program
    rows : sequence of Tensor of shape (n_rows, ...)
        Some rows of each input, from which lengths and costs are measured.

    Returns
    -------
    Unfolded or None
        None where steps write into what others take, depend on chance, or check values.
    """
    calls = _without_writing(program)
    dependent = input_dependent(program)
    if calls is None or is_by_chance(program) or any(_checks_values(call, dependent) for call in calls):
        return None
    calls = needed_for(calls, program.outputs)
    shapes = {name: tuple(it.shape[1:]) for name, it in zip(program.inputs, rows, strict=True)}
    free = FreeValues(program, list(shapes.values()), calls)
    calls, pieces = split_columns(calls, shapes, program.outputs)
    calls = needed_for(calls, program.outputs)
    values: dict[str, Any] = dict(free.for_rows(len(rows[0])))
    for name, it in zip(program.inputs, rows, strict=True):
        cut = {piece.name: it[:, piece.start : piece.stop] for piece in pieces.get(name, ())}
        values.update(cut or {name: it})
    inputs = [key for name in program.inputs for key in _keys_of(name, pieces)]
    known = dependent | set(inputs)
    steps = []
    for call in calls:
        if known.isdisjoint(call.gives):
            continue
        values.update(call.run(values))
        if not all(isinstance(values[name], torch.Tensor) for name in call.gives):
            return None  # a length that is read off what stands in an input
        steps.append(measured_step(call, known, values, len(rows[0])))
    if not set(program.outputs).issubset(known):
        return None
    tensors = [*inputs, *(name for step in steps for name in step.gives)]
    by_rows = _by_rows(program, inputs)
    described: dict[Key, tuple[tuple[int | None, ...], str]] = {
        name: ((None, *values[name].shape[1:]), str(values[name].dtype)) for name in tensors
    }
    graph = _kept_by_rows(Graph(tuple(steps), tuple(inputs), program.outputs, described), by_rows)
    return None if graph is None else Unfolded(graph, pieces, free)


def _keys_of(name: str, pieces: Mapping[str, Sequence[Piece]]) -> list[str]:
    """Return what an input is called in the graph: by its pieces, where it is cut."""
    return [piece.name for piece in pieces[name]] if name in pieces else [name]


def _checks_values(call: Call, dependent: frozenset[str]) -> bool:
    """Tell whether a call gives nothing and looks at values, as an assertion does that a perturbed row could fail."""
    looks = not dependent.isdisjoint(by_value(call))
    return not call.gives and looks and operator_name(call.function) not in _CHECKS_NO_VALUES


def _without_writing(program: Program) -> list[Call] | None:
    """Return calls that write nothing in place, or None where what is written into is taken by others."""
    made = {name: call.function for call in program.calls for name in call.gives}
    calls = []
    for place, call in enumerate(program.calls):
        if is_in_place(call.function):
            new = _new_instead(program, place, made)
            if new is None:
                if any(name in program.constants for name in call.uses) and not _is_read(program, place):
                    continue  # a counter of batches
                return None
            call = new  # noqa: PLW2901
            made.update(dict.fromkeys(call.gives, call.function))
        calls.append(call)
    return calls


def _new_instead(program: Program, place: int, made: Mapping[str, Any]) -> Call | None:
    """Return a call that gives a new tensor where one writes into a tensor of its own that nobody else looks at."""
    call = program.calls[place]
    function, target = without_writing(call.function), call.uses[0]
    earlier = [it for it in program.calls[:place] if target in it.uses]
    is_own = target in made and gives_new_memory(made[target]) and all(gives_new_memory(it.function) for it in earlier)
    later = any(target in it.uses for it in program.calls[place + 1 :]) or target in program.outputs
    return replace(call, function=function) if function and is_own and not later else None


def _is_read(program: Program, place: int) -> bool:
    """Tell whether a step after the one at a place takes what that one takes or gives."""
    call = program.calls[place]
    names = {*call.gives, call.uses[0]}
    return any(not names.isdisjoint(it.uses) for it in program.calls[place + 1 :]) or not names.isdisjoint(
        program.outputs
    )


def _by_rows(program: Program, pieces: Sequence[str]) -> frozenset[str]:
    """Return the tensors whose first axis is the rows, as the program says."""
    rows = {program.shapes[name][0] for name in program.inputs if program.shapes[name]}
    named = {name for name, shape in program.shapes.items() if shape and shape[0] in rows and isinstance(shape[0], str)}
    return frozenset(named | set(pieces))


def _kept_by_rows(graph: TorchGraph, by_rows: frozenset[str]) -> TorchGraph | None:
    """Return a graph in which what is kept between its parts has the rows as first axis, or None where it cannot be."""
    while True:
        step = next(_across(graph, by_rows), None)
        if step is None:
            return graph if all(key in by_rows for key in graph.outputs) else None
        makers = {name: maker for maker in graph.steps for name in maker.gives}
        wrong = [key for key in _crossing(graph, step) if key not in by_rows]
        if any(key not in makers for key in wrong):
            return None
        made = [maker for maker in graph.steps if any(makers[key] is maker for key in wrong)]
        joined = joined_step(step, made)
        graph = replace(graph, steps=tuple(joined if it is step else it for it in graph.steps))


def _across(graph: TorchGraph, by_rows: frozenset[str]) -> Iterator[TorchStep]:
    """Yield the steps that take, across the end of a part, what has no row axis at its front."""
    return (step for step in graph.steps if any(key not in by_rows for key in _crossing(graph, step)))


def _crossing(graph: TorchGraph, step: TorchStep) -> list[str]:
    """Return what a step takes that depends on other inputs than the step does."""
    origin = graph.origins[step.gives[0]]
    return [key for key in step.takes if graph.origins[key] != origin]
