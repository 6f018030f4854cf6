"""Only what a changed input can reach is computed again.

Each input has steps of its own, up to its border, where it meets others. The borders of a block of rows are computed
once, together with the baseline. A change of one input then costs its own steps and the joint steps that depend on it;
and where a row receives the whole input of another row, its border is that row's, so that nothing of its own is run.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models.branches._branch_block import BranchBlock, ShortcutRoute, Together
from nnperm_mlflow.models.branches._chunks import joined
from nnperm_mlflow.models.branches._network_parts import NetworkParts, Route
from nnperm_mlflow.models.branches.framework import Framework
from nnperm_mlflow.models.output_numbers import ends_round_alike, rounding_of, rows_mix, same_numbers
from nnperm_mlflow.models.predictor import Block

logger = logging.getLogger(__name__)

_WIDER = 8.0  # than any difference that was tried, how large one may be that takes the shortcut
_LEAST_MOVE = 1e-4  # of the spread of what a column moves, by how much a shortcut may be off beyond rounding


class BranchPredictor(NetworkParts):
    """A network that is run by branches.

    Parameters
    ----------
    inputs : sequence of InputSpec
        In the order of the graph's inputs.
    outputs : OutputSpec
    framework : Framework
        With the network's graph.
    exact : bool
        Give the network's numbers to the last bit; otherwise changes of single columns may take a shortcut.
    """

    def begin(self, parts: Sequence[Arrays]) -> list[Block]:
        """Predict parts of rows as they are, and keep their borders and what lies on the frontiers of all suffixes."""
        together = Together(self)
        return [joined([self._begin(chunk, together) for chunk in self._chunks(part)]) for part in parts]

    def _begin(self, rows: Arrays, together: Together) -> BranchBlock:
        borders, kept, baseline = self.run(rows)
        self.calls += 1
        together.add(rows, borders)
        return BranchBlock(self, rows, borders, kept, baseline, together)

    def _chunks(self, rows: Arrays) -> Iterator[Arrays]:
        """Yield rows in as few chunks as the framework likes, equal but for one row."""
        n_rows = len(next(iter(rows.values())))
        n_chunks = -(-n_rows // (self.framework.chunk_rows or n_rows or 1)) or 1
        ends = np.linspace(0, n_rows, n_chunks + 1).round().astype(int).tolist()
        for start, stop in pairwise(ends):
            yield {name: array[start:stop] for name, array in rows.items()}

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of the whole network, of shape (n_rows, n_outputs)."""
        found = [self.run(chunk)[2] for chunk in self._chunks(inputs)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def takes(self, rows: Arrays) -> bool:
        """Tell whether the pieces predict rows in which something is missing by finite numbers."""
        try:
            return bool(np.isfinite(self.call(rows)).all())
        except PredictionError:
            return False

    def fitted(self, probe: Arrays, exact: bool = True) -> BranchPredictor:
        """Leave alone, from now on, suffixes that do not give the whole network's numbers bit for bit on some rows.

        Shortcuts are left alone where all is to be exact, and where they differ by more than rounding. Where the last
        rows of a call are rounded otherwise, each change gets a call of its own, of which the ends are those of the
        baseline's.
        """
        self.stacks = ends_round_alike(self, probe)
        if exact:
            self.shortcuts = {}
        if len(self.joint) == 1 and not self.shortcuts and not self.tails:
            return self
        block = self._begin(probe, Together(self))
        for cluster in [cluster for cluster in self.joint if cluster != self.every]:
            turned = {name: probe[name][::-1] for name in cluster}
            found = block.call(Route(cluster, frozenset(cluster)), [Change.of(turned)])
            if not np.array_equal(found, self.call({**probe, **turned}), equal_nan=True):
                self._cluster_of |= dict.fromkeys(cluster, self.every)
        for name in list(self.tails):
            self._try_tail(name, block)
        for name in list(self.shortcuts):
            self._try_shortcut(name, block)
        return self

    def _try_tail(self, name: str, block: BranchBlock) -> None:
        """Give up running a series from a step in its middle on where that does not give the network's numbers."""
        rows = block.inputs[name]
        turned, middle = rows.copy(), rows.shape[1] // 2
        turned[:, middle:] = rows[::-1, middle:]
        route = Route(self.cluster_for([name]), frozenset([name]), middle)
        change = Change((Slot(name, (slice(middle, None),)),), (turned[:, middle:],))
        try:
            is_exact = middle > 0 and block.settled(route, 1) == route
            if is_exact:
                expected = self.call({**block.inputs, name: turned})
                is_exact = np.array_equal(block.call(route, [change]), expected, equal_nan=True)
        except PredictionError as error:
            logger.debug("the tail of '%s' failed: %s", name, type(error).__name__)  # its cause may hold values
            is_exact = False
        if not is_exact:
            del self.tails[name]

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


def _nearly_the_same(found: np.ndarray, expected: np.ndarray, baseline: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Tell whether each of several changes moves predictions as much as it should, up to rounding."""
    if found.size != math.prod(shape):
        return False
    moved, wanted = found.reshape(shape) - baseline, expected.reshape(shape) - baseline
    allowed = rounding_of(expected) + _LEAST_MOVE * np.ptp(wanted, axis=1)
    return bool((np.abs(moved - wanted).max(axis=1) <= allowed).all())


def fit_branches(
    framework: Framework,
    inputs: Sequence[InputSpec],
    outputs: OutputSpec,
    *,
    probe: Arrays,
    original: Callable[[Arrays], np.ndarray],
    exact: bool = True,
) -> BranchPredictor | None:
    """Return a network that is run by branches, where that gives its own numbers.

    Parameters
    ----------
    framework : Framework
        With the network's graph.
    inputs : sequence of InputSpec
        In the order of the graph's inputs.
    outputs : OutputSpec
    probe : mapping of str to ndarray of shape (n_rows, ...)
        Rows to try.
    original : callable
        Predicts as the network itself does: arrays by name to an array of shape (n_rows, n_outputs).
    exact : bool
        Give the network's numbers to the last bit; otherwise changes of single columns may take a shortcut.

    Returns
    -------
    BranchPredictor or None
        None where parts give other numbers than the network, or a row's prediction depends on the rows beside it.

    Raises
    ------
    PredictionError
        If a part, or the network itself, fails.
    """
    branches = BranchPredictor(inputs, outputs, framework, exact)
    found = branches.call(probe)
    if not same_numbers(found, original(probe)) or rows_mix(branches, probe, found):
        return None
    return branches.fitted(probe, exact)
