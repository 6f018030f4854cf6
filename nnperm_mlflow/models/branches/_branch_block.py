"""A block of rows of a network that is run by branches: which way a change takes, and the calls on it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.inputs.specs import Arrays
from nnperm_mlflow.models.branches._network_parts import Cluster, NetworkParts, Route
from nnperm_mlflow.models.branches.framework import Border, Framework, Packed
from nnperm_mlflow.models.graph import Key
from nnperm_mlflow.models.stacking import Exactness, StackingBlock, Stacks


@dataclass(frozen=True)
class ShortcutRoute:
    """A change of a single column is predicted by the shortcut of its input.

    Attributes
    ----------
    name : str
        Of the input.
    """

    name: str


@dataclass(eq=False)
class BranchBlock(StackingBlock[Route | ShortcutRoute]):
    """A block of rows with what a network has computed for it.

    Attributes
    ----------
    parts : NetworkParts
    inputs : mapping of str to ndarray of shape (n_rows, ...)
        The rows as they are.
    borders : dict of str to Border
    kept : dict of Key to Packed
        Other tensors on the frontiers.
    baseline : ndarray of shape (n_rows, n_outputs)
    together : Together
        All blocks that were begun with it.
    """

    parts: NetworkParts
    inputs: Arrays
    borders: dict[str, Border]
    kept: dict[Key, Packed]
    baseline: np.ndarray
    together: Together
    _exactness: Exactness = field(default_factory=Exactness)
    _repeated: dict[tuple[Cluster, int], tuple[dict[str, Border], list[Packed]]] = field(default_factory=dict)
    _prepared: dict[object, Any] = field(default_factory=dict)
    _states: dict[tuple[str, int, int], list[Packed]] = field(default_factory=dict)
    _stacks: Stacks = field(init=False)

    def __post_init__(self) -> None:
        self._stacks = Stacks(self.inputs)
        self.workers = self._framework.workers

    @property
    def _framework(self) -> Framework:
        return self.parts.framework

    def kind_of(self, change: Change) -> Route | ShortcutRoute:
        """Return the route of a change: own steps are run where the border is not to be had from the donors."""
        names = change.inputs
        if names[0] in self.parts.shortcuts and self._is_tried(change):
            return ShortcutRoute(names[0])
        run = [name for name in names if not self._has_donors(change, name)]
        return Route(self.parts.cluster_for(names), frozenset(run), self._first_step(change, run))

    def _first_step(self, change: Change, run: Sequence[str]) -> int:
        """Return the first step of a series that changes, where it alone is run and can be run from there."""
        if len(run) != 1 or run[0] not in self.parts.tails:
            return 0
        starts = [slot.index[:1] for slot in change.slots if slot.input == run[0]]
        return min((part.start or 0) if isinstance(part, slice) else part for (part,) in starts) if all(starts) else 0

    def most_rows(self, kind: Route | ShortcutRoute) -> int:
        """Return how many rows a call shall get, so that it pays and all that run together fit into memory."""
        if isinstance(kind, Route) and not self.parts.stacks:
            return 1
        cost = self.parts.cost(kind) if isinstance(kind, Route) else 0.0
        return self._framework.most_rows(self.parts.row_bytes, cost)

    def settled(self, kind: Route | ShortcutRoute, copies: int) -> Route | ShortcutRoute | None:
        """Return a route that gives so many copies of the rows their baseline to the last bit."""
        parts = self.parts
        if isinstance(kind, ShortcutRoute):
            self._prepare_shortcut(kind.name, copies)
        elif copies > 1 or kind.first or kind.cluster != parts.every:  # else the very calls that gave the baseline
            if kind.first:
                self._prepare_states(next(iter(kind.run)), kind.first, copies)
            same = Change.of({name: self.inputs[name] for name in kind.run})
            if not self._exactness.holds(kind, copies, self.baseline, lambda: self.call(kind, [same] * copies)):
                if kind.first:
                    return self.settled(replace(kind, first=0), copies)
                whole = Route(parts.every, frozenset(parts.every))
                return None if copies > 1 else self.settled(whole, 1)
        parts.calls += 1
        return kind

    def predict(self, changes: Iterable[Change]) -> Generator[np.ndarray, None, None]:
        """Yield predictions of shape (n_rows, n_outputs) for each change."""
        try:
            yield from super().predict(changes)
        finally:
            self._repeated.clear()
            self._prepared.clear()
            self._states.clear()
            self._stacks.clear()

    def call(self, kind: Route | ShortcutRoute, changes: Sequence[Change]) -> np.ndarray:
        """Return predictions for changes that take the same route, one below the other."""
        if isinstance(kind, ShortcutRoute):
            return self._by_shortcut(kind.name, changes)
        parts, copies = self.parts, len(changes)
        changed = {name for change in changes for name in change.inputs}
        borders, frontier = self._unchanged(kind.cluster, copies)
        with ExitStack() as lent:
            for name in changed:
                if name in kind.run:
                    stacked = lent.enter_context(self._stacks.lent(name, changes))
                    borders[name] = self._run_own(name, kind.first, stacked, copies)
                else:
                    borders[name] = self._from_donors(name, changes)
            outputs, _ = parts.joint[kind.cluster](borders, frontier)
            found = self._framework.to_columns(outputs, copies * len(self.baseline))
            return np.array(found)  # its own memory, where a network passes an input on as it is

    def _run_own(self, name: str, first: int, stacked: np.ndarray, copies: int) -> Border:
        """Return the border of copies of an input, of which nothing before a step has changed."""
        if first:
            return self.parts.tails[name](stacked[:, first:], self._states[name, first, copies])[0]
        return self.parts.run_own(name, self._framework.lend(stacked, self.parts.specs[name]), self.inputs)

    def _unchanged(self, cluster: Cluster, copies: int) -> tuple[dict[str, Border], list[Packed]]:
        """Return what the joint steps of a cluster take where nothing has changed, for copies of the rows."""
        key = (cluster, copies)
        if key not in self._repeated:
            repeated = partial(self._framework.repeated, copies=copies)
            borders = {name: [*map(repeated, self.borders[name])] for name in cluster}
            frontier = self.parts.look_up(self.parts.joint[cluster].frontier, self.borders, self.kept)
            self._repeated[key] = borders, [*map(repeated, frontier)]
        borders, frontier = self._repeated[key]
        return dict(borders), frontier

    def _prepare_states(self, name: str, first: int, copies: int) -> None:
        """Compute what the recurrent layers of a series hold before a step, for copies of the rows as they are."""
        if (name, first, copies) in self._states:
            return
        if (name, first, 1) not in self._states:
            tail, rows = self.parts.tails[name], self.inputs[name]
            edges = [edge for it, edge, _ in self._states if it == name and edge < first]
            known = max(edges, default=0)
            before = self._states[name, known, 1] if known else tail.begin(len(rows))
            self._states[name, first, 1] = tail(rows[:, known:first], before)[1]
        self._states[name, first, copies] = [
            self._framework.repeated(states, copies) for states in self._states[name, first, 1]
        ]

    def _prepare_shortcut(self, name: str, copies: int) -> None:
        """Compute what a shortcut takes of the block, and what it gives where nothing changes."""
        shortcut = self.parts.shortcuts[name]
        if name not in self._prepared:
            frontier = self.parts.look_up(shortcut.frontier, self.borders, self.kept)
            tensor = self._framework.to_tensor(self.inputs[name], self.parts.specs[name])
            self._prepared[name] = shortcut.prepare(tensor, frontier)
        if (name, copies) not in self._prepared:
            nothing = np.zeros((copies, len(self.baseline)), dtype=np.float32)
            same = shortcut.predict(self._prepared[name], np.zeros(copies, dtype=np.int32), nothing)
            self._prepared[name, copies] = self._framework.to_columns(same, nothing.size)

    def _by_shortcut(self, name: str, changes: Sequence[Change]) -> np.ndarray:
        """Return the baseline and what the shortcut adds to it, so that a column of no weight gives the baseline."""
        self._prepare_shortcut(name, len(changes))
        columns = np.array([change.slots[0].index[0] for change in changes], dtype=np.int32)
        differences = np.stack([change.values[0] for change in changes]) - self.inputs[name].T[columns]
        found = self.parts.shortcuts[name].predict(self._prepared[name], columns, differences)
        moved = self._framework.to_columns(found, differences.size) - self._prepared[name, len(changes)]
        return np.tile(self.baseline, (len(changes), 1)) + moved

    def _is_tried(self, change: Change) -> bool:
        """Tell whether a change is one of a single column, and not far larger than those that were tried out."""
        (slot, *others), values = change.slots, change.values[0]
        if others or len(slot.index) != 1 or not isinstance(slot.index[0], int):
            return False
        widest = np.abs(values - self.inputs[slot.input][:, slot.index[0]]).max(initial=0)
        return bool(widest <= self.parts.widest[slot.input][slot.index[0]])

    def _has_donors(self, change: Change, name: str) -> bool:
        """Tell whether each row of an input is another row's as a whole, and its border the same as there."""
        if change.donors is None or not change.replaces(name, self.inputs[name].shape[1:]):
            return False
        return self.together.keeps_border(name)

    def _from_donors(self, name: str, changes: Sequence[Change]) -> list[list[Any]]:
        """Return a border in which changed rows have their donors', for changes one below the other."""
        return [
            [
                np.concatenate([self._rows_of(name, place, part, change) for change in changes])
                for part in range(len(each))
            ]
            for place, each in enumerate(self.borders[name])
        ]

    def _rows_of(self, name: str, place: int, part: int, change: Change) -> np.ndarray:
        if name not in change.inputs or change.donors is None:
            return self._framework.as_array(self.borders[name][place][part])
        return self.together.border(name, place, part)[change.donors]


class Together:
    """What blocks share that were begun together, so that a row of one can have its donor in another.

    Parameters
    ----------
    parts : NetworkParts
    """

    def __init__(self, parts: NetworkParts) -> None:
        self._parts = parts
        self._blocks: list[tuple[Arrays, dict[str, Border]]] = []
        self._keeps_border: dict[str, bool] = {}
        self._joined: dict[tuple[str, int, int], np.ndarray] = {}
        self._joining = Lock()

    def add(self, inputs: Arrays, borders: dict[str, Border]) -> None:
        """Take a block's rows, and the borders that were found for them."""
        self._blocks.append((inputs, borders))

    def keeps_border(self, name: str) -> bool:
        """Tell whether rows have their border of an input in whichever block they stand, tried out on the largest."""
        if name not in self._keeps_border:
            sizes = [len(inputs[name]) for inputs, _ in self._blocks]
            largest, borders = self._blocks[sizes.index(max(sizes))]
            self._keeps_border |= self._parts.keep_border(name, largest, borders, set(sizes))
        return self._keeps_border[name]

    def border(self, name: str, place: int, part: int) -> np.ndarray:
        """Return a tensor of an input's border, or its mask, for the rows of all blocks."""
        key = (name, place, part)
        with self._joining:
            if key not in self._joined:
                self._joined[key] = np.concatenate(
                    [self._parts.framework.as_array(borders[name][place][part]) for _, borders in self._blocks]
                )
        return self._joined[key]
