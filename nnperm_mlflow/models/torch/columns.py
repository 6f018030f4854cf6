"""Columns of an input that a program only picks: each is as good as an input of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from nnperm_mlflow.models.branches.columns import Piece
from nnperm_mlflow.models.torch.dependence import by_value
from nnperm_mlflow.models.torch.operators import operator_name
from nnperm_mlflow.models.torch.program import Call, Value

_ALL_ROWS = (0, 0)  # what a slice says that takes all rows: which axis, and from where
_COLUMNS = 1  # the axis


@dataclass(frozen=True)
class Pick:
    """Columns that a call takes of an input.

    Attributes
    ----------
    gives : str
    first, last : int
        The last is not taken.
    is_single : bool
        Whether what it gives has no axis for columns.
    """

    gives: str
    first: int
    last: int
    is_single: bool


def split_columns(
    calls: Sequence[Call], inputs: Mapping[str, tuple[int, ...]], outputs: Iterable[str]
) -> tuple[list[Call], dict[str, list[Piece]]]:
    """Return calls that take pieces of inputs instead of inputs of which columns are only picked.

    Parameters
    ----------
    calls : sequence of Call
    inputs : mapping of str to tuple of int
        Their shapes behind the row axis.
    outputs : iterable of str

    Returns
    -------
    calls : list of Call
    pieces : dict of str to list of Piece
        Of each input that is cut, in order, without gaps.
    """
    kept = [*calls]
    pieces: dict[str, list[Piece]] = {}
    for name, shape in inputs.items():
        picks = _picks(kept, name, shape, frozenset(outputs))
        cuts = sorted({0, shape[0], *(cut for pick in picks or [] for cut in (pick.first, pick.last))} if shape else [])
        if not picks or len(cuts) < 3:
            continue
        pieces[name] = [Piece(f"{name}[{first}:{last}]", first, last) for first, last in pairwise(cuts)]
        by_name = {pick.gives: pick for pick in picks}
        kept = [new for call in kept for new in _replaced(call, by_name, pieces[name])]
    return kept, pieces


def _picks(calls: Sequence[Call], name: str, shape: tuple[int, ...], outputs: frozenset[str]) -> list[Pick] | None:
    """Return what is picked of an input, or None where it is also taken as a whole."""
    if len(shape) != 1 or name in outputs:
        return None
    same, picks = {name}, []
    for call in calls:
        if same.isdisjoint(by_value(call)):
            continue
        found = [*_picked(call, shape[0])]
        if _takes_all_rows(call) and not outputs.intersection(call.gives):
            same.update(call.gives)
        elif not found or not _is_first(call, same):
            return None
        picks += found
    return picks


def _is_first(call: Call, names: set[str]) -> bool:
    first = call.arguments[0] if call.arguments else None
    return isinstance(first, Value) and first.name in names and len(call.uses) == 1


def _takes_all_rows(call: Call) -> bool:
    if operator_name(call.function) != "slice" or len(call.uses) != 1:
        return False
    rest = (*call.arguments[1:], *call.options.values())
    return rest[:2] == _ALL_ROWS and rest[2:] in ((), (None,), (_EVERY,), (_EVERY, 1))


_EVERY = 2**63 - 1  # where a slice ends that goes to the end


def _picked(call: Call, width: int) -> Iterator[Pick]:
    """Yield what a call picks of a matrix of so many columns; nothing where it does something else."""
    name, rest = operator_name(call.function), call.arguments[1:]
    if call.options or not all(isinstance(it, (int, list)) for it in rest):
        return
    if name == "select" and rest[:1] == (_COLUMNS,):
        first = rest[1] % width
        yield Pick(call.gives[0], first, first + 1, is_single=True)
    elif name == "slice" and rest[:1] == (_COLUMNS,) and rest[3:] in ((), (1,)):
        first, last, _ = slice(*rest[1:3]).indices(width)
        if first < last:
            yield Pick(call.gives[0], first, last, is_single=False)
    elif name == "unbind" and rest == (_COLUMNS,):
        yield from (Pick(gives, column, column + 1, is_single=True) for column, gives in enumerate(call.gives))
    elif name in ("split", "split_with_sizes") and rest[1:] == (_COLUMNS,):
        sizes = rest[0] if isinstance(rest[0], list) else [rest[0]] * len(call.gives)
        first = 0
        for gives, size in zip(call.gives, sizes, strict=True):
            yield Pick(gives, first, min(first + size, width), is_single=False)
            first += size


def _replaced(call: Call, picks: Mapping[str, Pick], pieces: Sequence[Piece]) -> Iterator[Call]:
    """Yield a call, or those that pick the same out of pieces."""
    if not set(call.gives).issubset(picks):
        yield call
        return
    for pick in (picks[name] for name in call.gives):
        taken: list[Any] = [Value(it.name) for it in pieces if pick.first <= it.start and it.stop <= pick.last]
        if pick.is_single:
            yield Call(torch.ops.aten.select.int, (taken[0], _COLUMNS, 0), {}, (pick.gives,), False)
        elif len(taken) == 1:
            yield Call(torch.ops.aten.alias.default, (taken[0],), {}, (pick.gives,), False)
        else:
            yield Call(torch.ops.aten.cat.default, (taken, _COLUMNS), {}, (pick.gives,), False)
