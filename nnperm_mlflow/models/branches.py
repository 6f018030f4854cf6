"""Only what a changed input can reach is computed again.

Each input has steps of its own, up to its border, where it meets others. The borders of a block of rows are computed
once, together with the baseline. A change of one input then costs its own steps and the joint steps that depend on it;
and where a row receives the whole input of another row, its border is that row's, so that nothing of its own is run.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nnperm_mlflow.errors import PredictionError
from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.affine import find_exits
from nnperm_mlflow.models.branch_block import BranchBlock, Cluster, Route, ShortcutRoute, Together
from nnperm_mlflow.models.graph import Graph, Key, cluster_inputs
from nnperm_mlflow.models.numbers import rounding_of
from nnperm_mlflow.models.pieces import Border, JointSteps, OwnSteps, Packed
from nnperm_mlflow.models.predictor import OutputSpec
from nnperm_mlflow.models.shortcut import Shortcut
from nnperm_mlflow.models.stacking import Arrays, Exactness
from nnperm_mlflow.models.tensors import to_columns

logger = logging.getLogger(__name__)

_MOST_EXTRA = 0.25
"""How much dearer a change may be with a suffix that inputs share, since each takes a while to compile."""

_WIDER = 8.0  # than any difference that was tried, how large one may be that takes the shortcut
_LEAST_MOVE = 1e-4  # of the spread of what a column moves, by how much a shortcut may be off beyond rounding


class BranchPredictor:
    """A functional Keras network that is run by branches.

    Parameters
    ----------
    inputs : sequence of InputSpec
        In the order of the graph's inputs.
    outputs : OutputSpec
    graph : Graph
    exact : bool
        Give the network's numbers to the last bit; otherwise changes of single columns may take a shortcut.
    """

    def __init__(self, inputs: Sequence[InputSpec], outputs: OutputSpec, graph: Graph, exact: bool = True) -> None:
        self.inputs = tuple(inputs)
        self.outputs = outputs
        self.specs = {spec.name: spec for spec in inputs}
        self.every: Cluster = tuple(self.specs)
        self.row_bytes = graph.row_bytes
        self.kept_bytes = 0
        self.calls = 0
        self.exactness = Exactness()
        self._keeps_border: dict[tuple[str, frozenset[int]], bool] = {}
        keys = dict(zip(self.every, graph.inputs, strict=True))
        names = {key: name for name, key in keys.items()}
        clusters = [tuple(names[key] for key in cluster) for cluster in cluster_inputs(graph, _MOST_EXTRA)]
        self.own = {
            name: own
            for group in _compiled_together(self.specs)
            for own in [OwnSteps(graph, {name: keys[name] for name in group}, self.specs)]
            for name in group
        }
        self._own_costs = {name: graph.own_cost(key) for name, key in keys.items()}
        self.joint = {cluster: JointSteps(graph, {name: keys[name] for name in cluster}) for cluster in clusters[1:]}
        self._border_keys = {name: graph.border(key) for name, key in keys.items()}
        borders = {key for border in self._border_keys.values() for key in border}
        self.shortcuts = {} if exact else self._find_shortcuts(graph, keys)
        self.largest_difference = 0.0
        self.widest: dict[str, np.ndarray] = {}
        frontiers = [joint.frontier for joint in self.joint.values()]
        frontiers += [shortcut.frontier for shortcut in self.shortcuts.values()]
        self._kept_keys = tuple(dict.fromkeys(key for it in frontiers for key in it if key not in borders))
        self.joint[self.every] = JointSteps(graph, keys, self._kept_keys)
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

    def begin(self, parts: Sequence[Arrays]) -> list[BranchBlock]:
        """Predict parts of rows as they are, and keep their borders and what lies on the frontiers of all suffixes."""
        together, blocks = Together(), []
        for part in parts:
            borders, kept, baseline = self._run(part)
            self.calls += 1
            together.borders.append(borders)
            blocks.append(BranchBlock(self, part, borders, kept, baseline, together))
        return blocks

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of the whole network, of shape (n_rows, n_outputs)."""
        return self._run(inputs)[2]

    def takes(self, rows: Arrays) -> bool:
        """Tell whether the pieces predict rows in which something is missing by finite numbers."""
        try:
            return bool(np.isfinite(self.call(rows)).all())
        except PredictionError:
            return False

    def fitted(self, probe: Arrays, exact: bool = True) -> BranchPredictor:
        """Leave alone, from now on, suffixes that do not give the whole network's numbers bit for bit on some rows.

        Shortcuts are left alone where all is to be exact, and where they differ by more than rounding.
        """
        if exact:
            self.shortcuts = {}
        if len(self.joint) == 1 and not self.shortcuts:
            return self
        block = self.begin([probe])[0]
        for cluster in [cluster for cluster in self.joint if cluster != self.every]:
            turned = {name: probe[name][::-1] for name in cluster}
            found = block.call(Route(cluster, frozenset(cluster)), [Change.of(turned)])
            if not np.array_equal(found, self.call({**probe, **turned}), equal_nan=True):
                self._cluster_of |= dict.fromkeys(cluster, self.every)
        for name in list(self.shortcuts):
            self._try_shortcut(name, block)
        return self

    @staticmethod
    def _find_shortcuts(graph: Graph, keys: Mapping[str, Key]) -> dict[str, Shortcut]:
        exits = {name: find_exits(graph, key) for name, key in keys.items()}
        return {name: Shortcut(graph, keys[name], found) for name, found in exits.items() if found}

    def _try_shortcut(self, name: str, block: BranchBlock) -> None:
        """Find out by how much a shortcut is off for each column, and give it up where that is more than rounding."""
        rows = block.inputs[name]
        exactly, quickly = Route(self.cluster_for([name]), frozenset([name])), ShortcutRoute(name)
        at_once = max(1, block.most_rows(quickly) // len(rows))
        for start in range(0, rows.shape[1], at_once):
            columns = range(start, min(start + at_once, rows.shape[1]))
            some = [Change((Slot(name, (column,)),), (rows[::-1, column].copy(),)) for column in columns]
            try:
                found, expected = block.call(quickly, some), block.call(exactly, some)
            except PredictionError as error:
                logger.debug("the shortcut of '%s' failed: %s", name, type(error).__name__)  # its cause may hold values
                found = expected = np.full(1, np.nan)
            shape = (len(some), *block.baseline.shape)
            if not _nearly_the_same(found, expected, block.baseline, shape):
                logger.warning("'%s': the shortcut gives other numbers than the network and is not taken", name)
                del self.shortcuts[name]
                return
            self.largest_difference = max(self.largest_difference, float(np.abs(found - expected).max()))
        self.widest[name] = _WIDER * np.ptp(rows, axis=0)

    def cluster_for(self, names: Sequence[str]) -> Cluster:
        """Return the inputs whose joint steps are run when the named ones change."""
        clusters = {self._cluster_of[name] for name in names}
        return clusters.pop() if len(clusters) == 1 else self.every

    def cost(self, route: Route) -> float:
        """Return the multiplications a row of a call, about."""
        return self._joint_costs[route.cluster] + sum(self._own_costs[name] for name in route.run)

    def run_own(self, name: str, array: Any, others: Arrays) -> Border:  # noqa: ANN401 - an array or a tensor
        """Return the border of an input of shape (n_rows, ...); `others` hold any rows of inputs compiled with it."""
        own = self.own[name]
        return own({other: array if other == name else others[other][:1] for other in own.specs})[name]

    def keeps_border(self, name: str, inputs: Arrays, borders: Mapping[str, Border], sizes: frozenset[int]) -> bool:
        """Tell whether rows have their border wherever they stand among how many others, tried out once.

        Parameters
        ----------
        name : str
            Of the input.
        inputs : mapping of str to ndarray of shape (n_rows, ...)
            A block of rows, one of the largest.
        borders : mapping of str to Border
            That were found for it.
        sizes : frozenset of int
            Rows of all blocks among which borders are exchanged.

        Returns
        -------
        bool
        """
        if (name, sizes) not in self._keeps_border:
            own = self.own[name]
            found = [self._same_borders(own, inputs, borders, size) for size in sizes]
            for other in own.specs:
                self._keeps_border[other, sizes] = all(same[other] for same in found)
        return self._keeps_border[name, sizes]

    @staticmethod
    def _same_borders(own: OwnSteps, inputs: Arrays, borders: Mapping[str, Border], n_rows: int) -> dict[str, bool]:
        """Tell for each of the inputs that are compiled together whether turned rows have their borders turned."""
        turned = own({name: inputs[name][:n_rows][::-1] for name in own.specs})
        same = {}
        for name in own.specs:
            flat = [[np.asarray(part) for each in it for part in each] for it in (turned[name], borders[name])]
            same[name] = all(np.array_equal(new[::-1], old[:n_rows]) for new, old in zip(*flat, strict=True))
        return same

    def _run(self, inputs: Arrays) -> tuple[dict[str, Border], dict[Key, Packed], np.ndarray]:
        borders: dict[str, Border] = {}
        for name in self.every:
            if name not in borders:
                borders |= self.own[name](inputs)
        n_rows = len(inputs[self.every[0]])
        outputs, kept = self.joint[self.every](borders, [])
        tensors = [tensor for each in (*borders.values(), kept) for packed in each for tensor in packed]
        self.kept_bytes = sum(tensor.shape.num_elements() * tensor.dtype.size for tensor in tensors) // max(1, n_rows)
        return borders, dict(zip(self._kept_keys, kept, strict=True)), to_columns(outputs, n_rows)

    def look_up(self, keys: Iterable[Key], borders: dict[str, Border], kept: dict[Key, Packed]) -> list[Packed]:
        """Return some tensors of borders and frontiers."""
        known = dict(kept)
        for name, border_keys in self._border_keys.items():
            known.update(zip(border_keys, borders[name], strict=True))
        return [known[key] for key in keys]


def _compiled_together(specs: Mapping[str, InputSpec]) -> list[list[str]]:
    """Put inputs of a single cell together: their own steps are few, and each compilation takes a while.

    Other inputs stay alone, as running one of them is to run nothing else.
    """
    cells = [name for name, spec in specs.items() if math.prod(length or 2 for length in spec.shape) == 1]
    return [*([cells] if cells else []), *([name] for name in specs if name not in cells)]


def _nearly_the_same(found: np.ndarray, expected: np.ndarray, baseline: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Tell whether each of several changes moves predictions as much as it should, up to rounding."""
    if found.size != math.prod(shape):
        return False
    moved, wanted = found.reshape(shape) - baseline, expected.reshape(shape) - baseline
    allowed = rounding_of(expected) + _LEAST_MOVE * np.ptp(wanted, axis=1)
    return bool((np.abs(moved - wanted).max(axis=1) <= allowed).all())
