"""A network's graph, compiled in pieces: what an input does by itself, and what happens where inputs meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.branches.framework import Border, Packed
from nnperm_mlflow.models.graph import Key
from nnperm_mlflow.models.keras.nodes import KerasGraph, packed, run_steps, unpacked
from nnperm_mlflow.models.tensors import Compiled, guarded, to_tensor

_MOVES_NUMBERS = frozenset({"Embedding", "Flatten", "Reshape"})
_CALLS_UNCOMPILED = 24  # tracing takes as long as about twenty calls


class OwnSteps:
    """The own steps of one or several inputs as one compiled function; traced once, when that begins to pay.

    Steps that only move numbers give the same bits compiled or not; their first calls are not, since compiling an
    embedding takes longer than some calls of it.

    Parameters
    ----------
    graph : KerasGraph
    inputs : mapping of str to Key
    specs : mapping of str to InputSpec
    """

    def __init__(self, graph: KerasGraph, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> None:
        self.specs = {name: specs[name] for name in inputs}
        self._steps = [step for key in inputs.values() for step in graph.own_steps(key)]
        self._keys = dict(inputs)
        self._borders = {name: graph.border(key) for name, key in inputs.items()}
        self._function = Compiled(self._run)
        moves = all(step.kind in _MOVES_NUMBERS for step in self._steps)
        self._calls_left = _CALLS_UNCOMPILED if moves else 0

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Border]:
        """Return the borders of inputs of shape (n_rows, ...), each with as many rows as it likes."""
        tensors = {name: to_tensor(inputs[name], spec) for name, spec in self.specs.items()}
        if self._calls_left > 0:
            self._calls_left -= 1
            return guarded(self._run, tensors)
        return dict(self._function(tensors))

    def _run(self, tensors: Mapping[str, Any]) -> dict[str, Border]:
        values = run_steps(self._steps, {key: tensors[name] for name, key in self._keys.items()})
        return {name: [packed(values[key]) for key in border] for name, border in self._borders.items()}


class JointSteps:
    """The joint steps that depend on some inputs as a compiled function; traced once, when it is first called.

    Parameters
    ----------
    graph : KerasGraph
    inputs : mapping of str to Key
        Those that may change.
    keeps : sequence of Key
        Tensors to return as well.
    """

    def __init__(self, graph: KerasGraph, inputs: Mapping[str, Key], keeps: Sequence[Key] = ()) -> None:
        self.frontier = graph.frontier(inputs.values())
        self._steps = graph.joint_steps(inputs.values())
        self._borders = {name: graph.border(key) for name, key in inputs.items()}
        self._outputs = graph.outputs
        self._keeps = tuple(keeps)
        self._function = Compiled(self._run)

    def __call__(self, borders: Mapping[str, Border], frontier: Sequence[Packed]) -> tuple[list[Any], list[Packed]]:
        """Run the steps.

        Parameters
        ----------
        borders : mapping of str to Border
            Of all inputs that may change, of `n_rows` rows.
        frontier : sequence of Packed
            Of as many rows.

        Returns
        -------
        outputs : list of Tensor of shape (n_rows, ...)
        kept : list of Packed
        """
        outputs, kept = self._function(dict(borders), list(frontier))
        return outputs, kept

    def _run(self, borders: Mapping[str, Border], frontier: Sequence[Packed]) -> tuple[list[Any], list[Packed]]:
        given = dict(zip(self.frontier, frontier, strict=True))
        for name, keys in self._borders.items():
            given.update(zip(keys, borders[name], strict=True))
        values = run_steps(self._steps, {key: unpacked(each) for key, each in given.items()})
        return [values[key] for key in self._outputs], [packed(values[key]) for key in self._keeps]
