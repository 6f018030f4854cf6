"""The graph of a network, whatever the framework: which steps an input can reach, and what they take from elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

Key = Hashable
"""A tensor of the graph, as a framework names it."""


class Step(Protocol):
    """One call of a layer or operation, as a framework brings it."""

    @property
    def takes(self) -> tuple[Key, ...]:
        """The tensors whose values it takes."""

    @property
    def gives(self) -> tuple[Key, ...]:
        """The tensors that it makes."""

    @property
    def cost(self) -> float:
        """Multiplications a row, about."""

    @property
    def row_bytes(self) -> int:
        """Memory that the outputs take a row, about."""


AnyStep = TypeVar("AnyStep", bound=Step)


@dataclass(frozen=True)
class Graph(Generic[AnyStep]):
    """A network as steps in an order in which they can be run.

    A step is an input's *own* where it depends on that input alone, and *joint* where it depends on several. The
    *border* of an input is what of its own is taken by joint steps, or is an output: from there on inputs meet. A step
    is *free* where it depends on no input: what it gives is made of constants, or of how many rows there are.

    Attributes
    ----------
    steps : tuple of Step
        Of the framework's own kind.
    inputs : tuple of Key
        In the network's own order.
    outputs : tuple of Key
    shapes : mapping of Key to (shape, dtype)
        Of each tensor, the row axis included.
    """

    steps: tuple[AnyStep, ...]
    inputs: tuple[Key, ...]
    outputs: tuple[Key, ...]
    shapes: Mapping[Key, tuple[tuple[int | None, ...], str]]

    @cached_property
    def origins(self) -> dict[Key, frozenset[Key]]:
        """For each tensor the inputs that it depends on."""
        found: dict[Key, frozenset[Key]] = {key: frozenset([key]) for key in self.inputs}
        for step in self.steps:
            found.update(dict.fromkeys(step.gives, frozenset().union(*(found[key] for key in step.takes))))
        return found

    def own_steps(self, name: Key) -> list[AnyStep]:
        """Return the steps that depend on an input alone, in order."""
        return [step for step in self.steps if self._origin(step) == {name}]

    def border(self, name: Key) -> tuple[Key, ...]:
        """Return what of an input's own is taken by joint steps, or is an output."""
        taken = [key for step in self.joint_steps(self.inputs) for key in step.takes]
        return tuple(dict.fromkeys(key for key in [*taken, *self.outputs] if self.origins[key] == {name}))

    def joint_steps(self, inputs: Iterable[Key]) -> list[AnyStep]:
        """Return the steps that depend on several inputs, any of the given ones among them, in order."""
        changed = set(inputs)
        return [
            step for step in self.steps if len(self._origin(step)) > 1 and not changed.isdisjoint(self._origin(step))
        ]

    def frontier(self, inputs: Iterable[Key]) -> tuple[Key, ...]:
        """Return what does not depend on the given inputs, but is taken by joint steps that do, or is an output."""
        changed = set(inputs)
        taken = [key for step in self.joint_steps(changed) for key in step.takes]
        return tuple(
            dict.fromkeys(
                key for key in [*taken, *self.outputs] if self.origins[key] and changed.isdisjoint(self.origins[key])
            )
        )

    def free_steps(self, steps: Iterable[AnyStep], also: Iterable[Key] = ()) -> list[AnyStep]:
        """Return the free steps that some steps take from, or that give some further tensors, in order."""
        needed = {*also, *(key for step in steps for key in step.takes)}
        found = []
        for step in reversed(self.steps):
            if not self._origin(step) and not needed.isdisjoint(step.gives):
                found.append(step)
                needed.update(step.takes)
        return found[::-1]

    def makes_outputs(self, passes_on: Callable[[AnyStep], bool]) -> list[AnyStep]:
        """Return the steps of which nothing is taken but by steps that pass it on to the outputs, as it is.

        Parameters
        ----------
        passes_on : callable
            Tells of a step whether it gives what it takes, or a part of it, in another shape.
        """
        takers: dict[Key, list[AnyStep]] = {}
        last: list[AnyStep] = []
        reaching = set[Key]()  # what becomes an output as it is, or nothing
        for step in reversed(self.steps):
            behind = [taker for key in step.gives for taker in takers.get(key, [])]
            if all(passes_on(taker) and reaching.issuperset(taker.gives) for taker in behind):
                reaching.update(step.gives)
                last.append(step)
            for key in step.takes:
                takers.setdefault(key, []).append(step)
        return last[::-1]

    def own_cost(self, name: Key) -> float:
        """Return the multiplications a row of an input's own steps, about."""
        return sum(step.cost for step in self.own_steps(name))

    def joint_cost(self, inputs: Iterable[Key]) -> float:
        """Return the multiplications a row of all joint steps that depend on the given inputs, about."""
        return sum(step.cost for step in self.joint_steps(inputs))

    @cached_property
    def row_bytes(self) -> int:
        """Memory that all tensors of the graph take a row, about."""
        return sum(step.row_bytes for step in self.steps)

    def _origin(self, step: AnyStep) -> frozenset[Key]:
        return self.origins[step.gives[0]]


def cluster_inputs(graph: Graph[AnyStep], most_extra: float) -> list[tuple[Key, ...]]:
    """Put inputs together that share a suffix: the joint steps that depend on any of them.

    Parameters
    ----------
    graph : Graph
    most_extra : float
        How much dearer a change of an input may be with a common suffix than with the cheapest, as a share of it. A
        suffix takes a while to compile, and the one of all inputs is there already: it gives the baseline.

    Returns
    -------
    list of tuple of Key
        Each input in one cluster; the first is of all inputs that run the whole of the joint steps.
    """

    def is_cheap(cluster: Sequence[Key], common: Sequence[Key]) -> bool:
        joint = graph.joint_cost(common)
        alone = {key: graph.own_cost(key) + graph.joint_cost([key]) for key in cluster}
        return all(graph.own_cost(key) + joint <= (1 + most_extra) * alone[key] for key in cluster)

    clusters: list[list[Key]] = [[key for key in graph.inputs if is_cheap([key], graph.inputs)]]
    for key in graph.inputs:
        if key in clusters[0]:
            continue
        for cluster in clusters[1:]:
            if is_cheap([*cluster, key], [*cluster, key]):
                cluster.append(key)
                break
        else:
            clusters.append([key])
    return [tuple(cluster) for cluster in clusters]
