"""A program as a network that is called as a whole, in the very steps that are run where it is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nnperm_mlflow.models.torch.operators import is_in_place
from nnperm_mlflow.models.torch.program import Program
from nnperm_mlflow.models.torch.tensors import guarded, join_pieces, pieces_of


class Network:
    """A program, ready to be called.

    Parameters
    ----------
    program : Program
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self._writes = any(is_in_place(call.function) for call in program.calls)
        last = {name: place for place, call in enumerate(program.calls) for name in (*call.gives, *call.uses)}
        for name in (*program.outputs, *program.constants):
            last.pop(name, None)
        self._done_after: dict[int, list[str]] = {}
        for name, place in last.items():
            self._done_after.setdefault(place, []).append(name)

    def __call__(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Return the outputs for inputs of shape (n_rows, ...), in the program's order, a piece of rows at a time.

        Raises
        ------
        PredictionError
        """
        found = [guarded(self._run, [it[rows] for it in tensors]) for rows in pieces_of(len(tensors[0]))]
        return guarded(lambda: [join_pieces(list(parts)) for parts in zip(*found, strict=True)])

    def _run(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        program = self.program
        values: dict[str, Any] = {**program.constants, **dict(zip(program.inputs, tensors, strict=True))}
        if self._writes:
            values = _copied(values)
        for place, call in enumerate(program.calls):
            values.update(call.run(values))
            for name in self._done_after.get(place, ()):
                values.pop(name, None)
        return [values[name] for name in program.outputs]


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values into which may be written; those that share memory share it no more, as no step is to see."""
    return {name: it.clone() if isinstance(it, torch.Tensor) else it for name, it in values.items()}
