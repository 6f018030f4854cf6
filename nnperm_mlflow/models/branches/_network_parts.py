"""A network in parts: what each input does by itself, and what happens where inputs meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnperm_mlflow.inputs.slots import Slot
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models.branches.framework import Border, Framework, OwnSteps, Packed
from nnperm_mlflow.models.graph import Key, cluster_inputs

_MOST_EXTRA = 0.25
"""How much dearer a change may be with a suffix that inputs share, since each takes a while to compile."""

Cluster = tuple[str, ...]
"""Inputs, by name, that share the joint steps which depend on any of them."""


@dataclass(frozen=True)
class Route:
    """A change is predicted by own and joint steps.

    Attributes
    ----------
    cluster : tuple of str
        Inputs whose joint steps are run.
    run : frozenset of str
        Inputs whose own steps are run where they change; of others the border is taken from the donors.
    first : int
        Where a single series is run, its first step that may have changed; earlier ones are not run.
    """

    cluster: Cluster
    run: frozenset[str]
    first: int = 0


class NetworkParts:
    """The parts of a network, and which of them a change runs.

    Parameters
    ----------
    inputs : sequence of InputSpec
        In the order of the graph's inputs.
    outputs : OutputSpec
    framework : Framework
        With the network's graph.
    exact : bool
        Give the network's numbers to the last bit; otherwise changes of single columns may take a shortcut.

    Attributes
    ----------
    stacks : bool
        Whether several changes may share a call, as the ends of calls are rounded as their middle is.
    """

    def __init__(
        self, inputs: Sequence[InputSpec], outputs: OutputSpec, framework: Framework, exact: bool = True
    ) -> None:
        graph = framework.graph
        self.framework = framework
        self.inputs = tuple(inputs)
        self.outputs = outputs
        self.specs = {spec.name: spec for spec in inputs}
        self.every: Cluster = tuple(self.specs)
        self.row_bytes = graph.row_bytes
        self.kept_bytes = 0
        self.calls = 0
        self.stacks = True
        keys = dict(zip(self.every, graph.inputs, strict=True))
        names = {key: name for name, key in keys.items()}
        clusters = [tuple(names[key] for key in cluster) for cluster in cluster_inputs(graph, _MOST_EXTRA)]
        self.own = {
            name: own
            for group in framework.run_together(self.specs)
            for own in [framework.own_steps({name: keys[name] for name in group}, self.specs)]
            for name in group
        }
        self._own_costs = {name: graph.own_cost(key) for name, key in keys.items()}
        self.joint = {
            cluster: framework.joint_steps({name: keys[name] for name in cluster}) for cluster in clusters[1:]
        }
        self._border_keys = {name: graph.border(key) for name, key in keys.items()}
        borders = {key for border in self._border_keys.values() for key in border}
        self.shortcuts = {} if exact else dict(framework.find_shortcuts(keys))
        self.tails = dict(framework.find_tails(keys, self.specs))
        self.largest_difference = 0.0
        self.widest: dict[str, np.ndarray] = {}
        frontiers = [joint.frontier for joint in self.joint.values()]
        frontiers += [shortcut.frontier for shortcut in self.shortcuts.values()]
        self._kept_keys = tuple(dict.fromkeys(key for it in frontiers for key in it if key not in borders))
        self.joint[self.every] = framework.joint_steps(keys, self._kept_keys)
        self._keys = keys
        self._bent_steps: dict[bool, list[frozenset[Key]]] = {}
        self._cluster_of = dict.fromkeys(clusters[0], self.every)
        self._cluster_of |= {name: cluster for cluster in clusters[1:] for name in cluster}
        self._joint_costs = {cluster: graph.joint_cost(keys[name] for name in cluster) for cluster in self.joint}

    @property
    def shares(self) -> dict[str, float]:
        """For each input the share of the network's multiplications that are done again when it changes, about."""
        whole = sum(self._own_costs.values()) + self._joint_costs[self.every]
        again = {name: self._own_costs[name] + self._joint_costs[self._cluster_of[name]] for name in self.every}
        return {name: cost / whole if whole else 1.0 for name, cost in again.items()}

    @property
    def reuses(self) -> bool:
        """Whether any input leaves something of the network as it was."""
        return any(share < 1 for share in self.shares.values())

    def cluster_for(self, names: Sequence[str]) -> Cluster:
        """Return the inputs whose joint steps are run when the named ones change."""
        clusters = {self._cluster_of[name] for name in names}
        return clusters.pop() if len(clusters) == 1 else self.every

    def separates(self, first: Iterable[Slot], second: Iterable[Slot], before_activation: bool) -> bool:
        """Tell whether no step that is not affine depends on inputs of both kinds, see `predictor.Separating`."""
        one, other = ({self._keys[slot.input] for slot in slots} for slots in (first, second))
        return all(one.isdisjoint(origin) or other.isdisjoint(origin) for origin in self._bent(before_activation))

    def _bent(self, before_activation: bool) -> list[frozenset[Key]]:
        """Return for each step that is not known to be affine the inputs that it depends on."""
        if before_activation not in self._bent_steps:
            graph = self.framework.graph
            self._bent_steps[before_activation] = [
                graph.origins[step.gives[0]]
                for step in graph.steps
                if not self.framework.is_affine(step, before_activation)
            ]
        return self._bent_steps[before_activation]

    def cost(self, route: Route) -> float:
        """Return the multiplications a row of a call, about."""
        return self._joint_costs[route.cluster] + sum(self._own_costs[name] for name in route.run)

    def run_own(self, name: str, array: Any, others: Arrays) -> Border:  # noqa: ANN401 - an array or a tensor
        """Return the border of an input of shape (n_rows, ...); `others` hold any rows of inputs compiled with it."""
        own = self.own[name]
        return own({other: array if other == name else others[other][:1] for other in own.specs})[name]

    def keep_border(
        self, name: str, inputs: Arrays, borders: Mapping[str, Border], sizes: Iterable[int]
    ) -> dict[str, bool]:
        """Tell whether rows have their border wherever they stand among how many others.

        Parameters
        ----------
        name : str
            Of the input.
        inputs : mapping of str to ndarray of shape (n_rows, ...)
            A block of rows, one of the largest.
        borders : mapping of str to Border
            That were found for it.
        sizes : iterable of int
            Rows of all blocks among which borders are exchanged.

        Returns
        -------
        dict of str to bool
            For the input, and for those that are compiled with it.
        """
        own = self.own[name]
        found = [self._same_borders(own, inputs, borders, size) for size in sizes]
        return {other: all(same[other] for same in found) for other in own.specs}

    def _same_borders(
        self, own: OwnSteps, inputs: Arrays, borders: Mapping[str, Border], n_rows: int
    ) -> dict[str, bool]:
        """Tell for each of the inputs that are compiled together whether turned rows have their borders turned."""
        turned = own({name: inputs[name][:n_rows][::-1] for name in own.specs})
        same = {}
        for name in own.specs:
            flat = [
                [self.framework.as_array(part) for each in it for part in each] for it in (turned[name], borders[name])
            ]
            same[name] = all(np.array_equal(new[::-1], old[:n_rows]) for new, old in zip(*flat, strict=True))
        return same

    def run(self, inputs: Arrays) -> tuple[dict[str, Border], dict[Key, Packed], np.ndarray]:
        """Return borders, what else is kept of all frontiers, and predictions of shape (n_rows, n_outputs)."""
        borders: dict[str, Border] = {}
        for name in self.every:
            if name not in borders:
                borders |= self.own[name](inputs)
        n_rows = len(inputs[self.every[0]])
        outputs, kept = self.joint[self.every](borders, [])
        tensors = [tensor for each in (*borders.values(), kept) for packed in each for tensor in packed]
        self.kept_bytes = sum(self.framework.n_bytes(tensor) for tensor in tensors) // max(1, n_rows)
        return borders, dict(zip(self._kept_keys, kept, strict=True)), self.framework.to_columns(outputs, n_rows)

    def look_up(self, keys: Iterable[Key], borders: dict[str, Border], kept: dict[Key, Packed]) -> list[Packed]:
        """Return some tensors of borders and frontiers."""
        known = dict(kept)
        for name, border_keys in self._border_keys.items():
            known.update(zip(border_keys, borders[name], strict=True))
        return [known[key] for key in keys]
