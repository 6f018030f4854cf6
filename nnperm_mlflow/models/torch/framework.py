"""PyTorch networks in parts that are run call by call, for `models.branches`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.branches.framework import Border, Packed, Shortcut, Tail
from nnperm_mlflow.models.graph import Key
from nnperm_mlflow.models.torch.affine import is_affine, is_sigmoid, passes_on
from nnperm_mlflow.models.torch.free_values import FreeValues
from nnperm_mlflow.models.torch.steps import TorchGraph, TorchStep
from nnperm_mlflow.models.torch.tensors import (
    MOST_ROWS,
    as_array,
    guarded,
    to_columns,
    to_tensor,
)

_MOST_WORKERS = 8  # calls at the same time; each has the activations of some thousand rows


class _Run:
    """Some steps, run for what they are given."""

    def __init__(self, steps: Sequence[TorchStep], wanted: Sequence[str], free: FreeValues) -> None:
        self._calls = [call for step in steps for call in step.calls]
        self._wanted = tuple(wanted)
        self._free = free

    def __call__(self, given: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        return guarded(self._run, given, len(next(iter(given.values()))))

    def _run(self, given: Mapping[str, torch.Tensor], n_rows: int) -> list[torch.Tensor]:
        values = {**self._free.for_rows(n_rows), **given}
        for call in self._calls:
            values.update(call.run(values))
        return [values[name] for name in self._wanted]


class TorchOwnSteps:
    """The own steps of some inputs.

    Parameters
    ----------
    graph : TorchGraph
    free : FreeValues
    inputs : mapping of str to Key
    specs : mapping of str to InputSpec
    """

    def __init__(
        self, graph: TorchGraph, free: FreeValues, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]
    ) -> None:
        self.specs = {name: specs[name] for name in inputs}
        self._keys = dict(inputs)
        self._borders = {name: graph.border(key) for name, key in inputs.items()}
        self._runs = {
            name: _Run(graph.own_steps(key), [str(it) for it in self._borders[name]], free)
            for name, key in inputs.items()
        }
        self._types = {name: _torch_type(spec) for name, spec in self.specs.items()}

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Border]:
        """Return the borders of inputs of shape (n_rows, ...), each with as many rows as it likes."""
        found = {}
        for name, run in self._runs.items():
            tensor = to_tensor(inputs[name], self._types[name])
            found[name] = [[part] for part in run({str(self._keys[name]): tensor})] if self._borders[name] else []
        return found


class TorchJointSteps:
    """The joint steps that depend on some inputs.

    Parameters
    ----------
    graph : TorchGraph
    free : FreeValues
    inputs : mapping of str to Key
    keeps : sequence of Key
        Tensors to return as well.
    """

    def __init__(self, graph: TorchGraph, free: FreeValues, inputs: Mapping[str, Key], keeps: Sequence[Key]) -> None:
        self.frontier = graph.frontier(inputs.values())
        self._borders = {name: graph.border(key) for name, key in inputs.items()}
        self._n_outputs = len(graph.outputs)
        self._coarse = {key for key, (_, dtype) in graph.shapes.items() if dtype == str(torch.bfloat16)}
        self._run = _Run(graph.joint_steps(inputs.values()), [str(key) for key in (*graph.outputs, *keeps)], free)

    def __call__(self, borders: Mapping[str, Border], frontier: Sequence[Packed]) -> tuple[list[Any], list[Packed]]:
        """Return the outputs, and what is kept, for borders and a frontier of so many rows."""
        given = [*zip(self.frontier, frontier, strict=True)]
        for name, keys in self._borders.items():
            given += zip(keys, borders[name], strict=True)
        found = self._run({str(key): self._as_tensor(key, part) for key, (part,) in given})
        return found[: self._n_outputs], [[part] for part in found[self._n_outputs :]]

    def _as_tensor(self, key: Key, part: Any) -> torch.Tensor:  # noqa: ANN401
        """Return a tensor, or what came from donors as an array, as the steps take it."""
        if isinstance(part, torch.Tensor):
            return part
        tensor = torch.from_numpy(part)
        return tensor.view(torch.bfloat16) if key in self._coarse else tensor


class TorchFramework:
    """A PyTorch network that is run by parts of its exported graph.

    Parameters
    ----------
    graph : TorchGraph
    free : FreeValues
    """

    chunk_rows: int | None = MOST_ROWS

    def __init__(self, graph: TorchGraph, free: FreeValues) -> None:
        threads = min(_MOST_WORKERS, torch.get_num_threads())
        self.workers = threads if threads > 1 else 0
        self.graph = graph
        self._free = free

    def run_together(self, specs: Mapping[str, InputSpec]) -> list[list[str]]:
        """Leave each input alone: a call of an operator costs microseconds, and nothing is compiled."""
        return [[name] for name in specs]

    def own_steps(self, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> TorchOwnSteps:
        """Return the own steps of some inputs."""
        return TorchOwnSteps(self.graph, self._free, inputs, specs)

    def joint_steps(self, inputs: Mapping[str, Key], keeps: Sequence[Key] = ()) -> TorchJointSteps:
        """Return the joint steps that depend on any of some inputs."""
        return TorchJointSteps(self.graph, self._free, inputs, keeps)

    def find_shortcuts(self, inputs: Mapping[str, Key]) -> Mapping[str, Shortcut]:
        """Return none: what is left to run is little."""
        return {}

    def find_tails(self, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> Mapping[str, Tail]:
        """Return none: a recurrent layer of PyTorch is one operator over all steps."""
        return {}

    def is_affine(self, step: TorchStep, before_activation: bool) -> bool:
        """Tell whether a step is made of operators that are known to be affine in what they take together."""
        if before_activation and is_sigmoid(step):
            return any(step is last for last in self.graph.makes_outputs(passes_on))
        return is_affine(step)

    def most_rows(self, row_bytes: int, cost: float) -> int:
        """Return that changes are not stacked: more rows in a call round some of them otherwise."""
        return 1

    def to_tensor(self, array: Any, spec: InputSpec) -> torch.Tensor:  # noqa: ANN401
        """Return an input as the tensor that its network takes."""
        return to_tensor(array, _torch_type(spec))

    def lend(self, array: np.ndarray, spec: InputSpec) -> torch.Tensor:
        """Return an input as a tensor in the array's own memory."""
        return to_tensor(array, _torch_type(spec))

    def repeated(self, each: Packed, copies: int) -> Packed:
        """Return copies of a tensor one below the other."""
        return guarded(lambda: [torch.cat([part] * copies) for part in each]) if copies > 1 else each

    def as_array(self, part: Any) -> np.ndarray:  # noqa: ANN401
        """Return a tensor as an array, of which rows are moved; of bfloat16, which NumPy does not know, the bits."""
        is_coarse = isinstance(part, torch.Tensor) and part.dtype == torch.bfloat16
        return as_array(part.view(torch.int16) if is_coarse else part)

    def n_bytes(self, part: torch.Tensor) -> int:
        """Return the memory of a tensor."""
        return part.numel() * part.element_size()

    def to_columns(self, outputs: Iterable[Any], n_rows: int) -> np.ndarray:
        """Return what the network gave as numbers of shape (n_rows, n_outputs)."""
        return to_columns(outputs, n_rows)


def _torch_type(spec: InputSpec) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype=spec.dtype)).dtype
