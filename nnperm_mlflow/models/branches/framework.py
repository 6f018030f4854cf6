"""What a framework brings, so that a network of its own is run by branches: parts of a graph, and tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.graph import Graph, Key

Packed = list[Any]
"""A tensor, and behind it its mask where it has one."""

Border = list[Packed]
"""What an input gives to the joint steps, in the order of `Graph.border`."""


class OwnSteps(Protocol):
    """The own steps of one or several inputs, run in one piece."""

    @property
    def specs(self) -> Mapping[str, InputSpec]:
        """The inputs, by name."""

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Border]:
        """Return the borders of inputs, arrays or tensors of shape (n_rows, ...), each with as many rows as it likes.

        Names of other inputs may be among them.
        """


class JointSteps(Protocol):
    """The joint steps that depend on some inputs, run in one piece."""

    @property
    def frontier(self) -> tuple[Key, ...]:
        """What they take besides the borders of these inputs."""

    def __call__(self, borders: Mapping[str, Border], frontier: Sequence[Packed]) -> tuple[list[Any], list[Packed]]:
        """Run the steps.

        Parameters
        ----------
        borders : mapping of str to Border
            Of all inputs that may change, of `n_rows` rows; of tensors, or of arrays that came from donors.
        frontier : sequence of Packed
            Of as many rows.

        Returns
        -------
        outputs : list of tensors of shape (n_rows, ...)
        kept : list of Packed
            Further tensors that were asked for.
        """


class Shortcut(Protocol):
    """Predictions for changes of single columns of one input, not to the last bit."""

    @property
    def frontier(self) -> tuple[Key, ...]:
        """What does not depend on the input and is taken."""

    def prepare(self, inputs: Any, frontier: Sequence[Packed]) -> Any:  # noqa: ANN401 - tensors
        """Return what is constant for a block of rows, to be handed to `predict`."""

    def predict(self, prepared: Any, columns: np.ndarray, differences: np.ndarray) -> list[Any]:  # noqa: ANN401
        """Return the outputs for columns (n_changes,) moved by (n_changes, n_rows), one below the other."""


class Tail(Protocol):
    """The own steps of a series from any of its steps on."""

    def begin(self, n_rows: int) -> Any:  # noqa: ANN401
        """Return the states before the first step."""

    def __call__(self, rows: Any, states: Any) -> tuple[Border, Any]:  # noqa: ANN401
        """Run the steps over a part of the series.

        Parameters
        ----------
        rows : array or tensor of shape (n_rows, n_steps, ...)
        states : Packed, nested
            Before the first of these steps, as `begin` or another call returned them.

        Returns
        -------
        border : Border
            The input's, where these were its last steps.
        states
            Behind the last of these steps.
        """


class Framework(Protocol):
    """A network's graph, and how a framework runs parts of it.

    Attributes
    ----------
    graph : Graph
    workers : int
        Calls that may run at the same time; 0 where all come from one thread.
    chunk_rows : int, optional
        Rows of a block that go through in one piece; None where that is a whole block.
    """

    graph: Graph[Any]
    workers: int
    chunk_rows: int | None

    def run_together(self, specs: Mapping[str, InputSpec]) -> list[list[str]]:
        """Return which inputs' own steps are run in one piece, each input once."""

    def own_steps(self, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> OwnSteps:
        """Return the own steps of some inputs."""

    def joint_steps(self, inputs: Mapping[str, Key], keeps: Sequence[Key] = ()) -> JointSteps:
        """Return the joint steps that depend on any of some inputs, which give the tensors `keeps` as well."""

    def find_shortcuts(self, inputs: Mapping[str, Key]) -> Mapping[str, Shortcut]:
        """Return the shortcuts that there are, by the input's name."""

    def find_tails(self, inputs: Mapping[str, Key], specs: Mapping[str, InputSpec]) -> Mapping[str, Tail]:
        """Return what runs series from any of their steps on, by the input's name."""

    def is_affine(self, step: Any, before_activation: bool) -> bool:  # noqa: ANN401
        """Tell whether a step is known to be affine in all that it takes together; unknown ones are not.

        With `before_activation` a layer that gives an output counts as what it is before its sigmoid, and a sigmoid
        that gives one as nothing.
        """

    def most_rows(self, row_bytes: int, cost: float) -> int:
        """Return how many rows a call shall get, for activations and multiplications a row; 1 stacks no changes."""

    def to_tensor(self, array: Any, spec: InputSpec) -> Any:  # noqa: ANN401
        """Return an input as the tensor that its network takes; a tensor stays as it is."""

    def lend(self, array: np.ndarray, spec: InputSpec) -> Any:  # noqa: ANN401
        """Return an input as a tensor that may use the array's own memory, which nobody changes until it is done."""

    def repeated(self, each: Packed, copies: int) -> Packed:
        """Return copies of a tensor one below the other, and of its mask."""

    def as_array(self, part: Any) -> np.ndarray:  # noqa: ANN401
        """Return a tensor of a border, or its mask, as an array."""

    def n_bytes(self, part: Any) -> int:  # noqa: ANN401
        """Return the memory that a tensor takes."""

    def to_columns(self, outputs: Iterable[Any], n_rows: int) -> np.ndarray:
        """Return what a network gave as numbers of shape (n_rows, n_outputs)."""
