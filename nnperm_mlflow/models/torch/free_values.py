"""What a program makes of constants and of how many rows there are: states of zeros, positions, lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import torch

from nnperm_mlflow.models.torch.dependence import input_dependent, needed_for, shape_alone
from nnperm_mlflow.models.torch.program import Call, Program

_MOST_KEPT = 8  # numbers of rows; blocks and their pieces have few


class FreeValues:
    """The values of a program that depend on no input's values, for any number of rows.

    Parameters
    ----------
    program : Program
    shapes : sequence of tuple of int
        Of each input behind the row axis.
    calls : sequence of Call
        The program's, as they are run.
    """

    def __init__(self, program: Program, shapes: Sequence[tuple[int, ...]], calls: Sequence[Call]) -> None:
        dependent = input_dependent(program)
        self._program = program
        self._shapes = dict(zip(program.inputs, shapes, strict=True))
        self._calls = [call for call in calls if call.gives and dependent.isdisjoint(call.gives)]
        measured = {name for call in calls for name in shape_alone(call)} & dependent
        self._measuring = needed_for(calls, measured - set(program.inputs))
        self._measured = measured
        self._known: dict[int, dict[str, Any]] = {}
        self._joining = Lock()

    def for_rows(self, n_rows: int) -> Mapping[str, Any]:
        """Return constants, free values, and what stands in for shapes, by name, for so many rows."""
        with self._joining:
            if n_rows not in self._known:
                while len(self._known) >= _MOST_KEPT:
                    self._known.pop(next(iter(self._known)))
                self._known[n_rows] = self._computed(n_rows)
            return self._known[n_rows]

    def _computed(self, n_rows: int) -> dict[str, Any]:
        program = self._program
        values = dict(program.constants) | self._stand_ins(n_rows)
        for call in self._calls:
            values.update(call.run(values))
        return values

    def _stand_ins(self, n_rows: int) -> dict[str, torch.Tensor]:
        """Return tensors of the right shape and of any content for all of which nothing but the shape is taken."""
        program = self._program
        found = {name: torch.empty((n_rows, *shape), dtype=program.types[name], device="meta")
                 for name, shape in self._shapes.items()}  # fmt: skip
        if self._measuring:
            found = {**{name: _without_content(it) for name, it in program.constants.items()}, **found}
            for call in self._measuring:
                found.update((name, _without_content(it)) for name, it in call.run(found))
        return {name: _of_shape(found[name]) for name in self._measured}


def _without_content(value: Any) -> Any:  # noqa: ANN401 - tensors and numbers
    return value.to("meta") if isinstance(value, torch.Tensor) else value


def _of_shape(like: torch.Tensor) -> torch.Tensor:
    """Return a tensor of a shape, type and strides that takes hardly any memory."""
    return torch.empty((), dtype=like.dtype).expand(like.shape)
