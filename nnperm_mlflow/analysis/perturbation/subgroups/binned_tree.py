"""A tree over columns in bins, grown a level at a time: which columns tell rows apart, without sorting any again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnperm_mlflow.analysis.perturbation.subgroups.grown import FEWEST_OF_A_LEAF, Grown
from nnperm_mlflow.analysis.perturbation.subgroups.tree import LEAF

N_BINS = 64
"""Bins of a column, that hold about as many rows each."""

_LEVELS = 6
_FEWEST_TO_SPLIT = 5 * FEWEST_OF_A_LEAF
_ROUNDING = 1e-9  # of the sum of squares of a node, which no split brings less than


def bins_of(values: np.ndarray) -> np.ndarray:
    """Return the bin of each value, of shape (n_rows,), uint8; equal values share one.

    Examples
    --------
    >>> bins_of(np.array([3.0, 1.0, 3.0, 2.0]))
    array([2, 0, 2, 1], dtype=uint8)
    """
    in_order = np.sort(values)
    ends = np.unique(in_order[np.arange(1, N_BINS) * len(values) // N_BINS])
    return np.searchsorted(ends, values).astype(np.uint8)


def grow_binned(bins: Sequence[np.ndarray], targets: np.ndarray) -> Grown:
    """Grow a tree of a few levels, each of which splits every node where that leaves the least variance.

    Parameters
    ----------
    bins : sequence of ndarray of shape (n_rows,), uint8
        For each column, see `bins_of`.
    targets : ndarray of shape (n_rows, n_targets)

    Returns
    -------
    Grown
        Without thresholds.
    """
    tree = _Nodes(targets)
    level = _Level(np.stack(bins, axis=1), targets)
    for _ in range(_LEVELS):
        if level.is_empty:
            break
        level = level.children(*level.best_splits(), tree)
    return tree.grown()


class _Nodes:
    """Nodes, as they are found."""

    def __init__(self, targets: np.ndarray) -> None:
        self._parts = [(np.array([float(len(targets))]), np.array([float(targets.var(axis=0).sum())]))]
        self._splits: list[tuple[np.ndarray, np.ndarray]] = []
        self.n = 1

    def split(self, nodes: np.ndarray, columns: np.ndarray, rows: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """Split some nodes, each into the next two of which rows and variances are given; return their numbers."""
        self._splits.append((nodes, columns))
        self._parts.append((rows, variance))
        numbers = np.arange(self.n, self.n + len(rows))
        self.n += len(rows)
        return numbers

    def grown(self) -> Grown:
        """Return them as a tree."""
        below, above, column = np.full(self.n, LEAF), np.full(self.n, LEAF), np.zeros(self.n, dtype=np.int64)
        first = 1
        for nodes, columns in self._splits:
            below[nodes] = first + 2 * np.arange(len(nodes))
            above[nodes] = below[nodes] + 1
            column[nodes] = columns
            first += 2 * len(nodes)
        rows, variance = (np.concatenate(each) for each in zip(*self._parts, strict=True))
        return Grown(below, above, column, np.zeros(self.n), rows, variance)


class _Level:
    """The nodes of one level that may be split.

    Parameters
    ----------
    bins : ndarray of shape (n_rows, n_columns), uint8
        Of the rows of these nodes.
    targets : ndarray of shape (n_rows, n_targets)
    place : ndarray of shape (n_rows,), int, optional
        Which of the nodes each row is in; by default all are in one.
    numbers : ndarray of shape (n_nodes,), int, optional
        Of the nodes in the tree; by default it is the root.
    """

    def __init__(
        self,
        bins: np.ndarray,
        targets: np.ndarray,
        place: np.ndarray | None = None,
        numbers: np.ndarray | None = None,
    ) -> None:
        self._bins, self._targets = bins, targets
        self._place = np.zeros(len(bins), dtype=np.int64) if place is None else place
        self._numbers = np.zeros(1, dtype=np.int64) if numbers is None else numbers

    @property
    def is_empty(self) -> bool:
        """Whether there is no node."""
        return not len(self._numbers)

    def best_splits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return which nodes to split, and for each of all nodes the column and the last bin below."""
        n_nodes, n_columns = len(self._numbers), self._bins.shape[1]
        shape = (n_nodes, n_columns, N_BINS)
        cells = self._place[:, None] * n_columns + np.arange(n_columns)
        cells = (cells * N_BINS + self._bins).ravel()
        rows = np.bincount(self._place, minlength=n_nodes)[:, None, None]
        below = np.bincount(cells, minlength=n_nodes * n_columns * N_BINS).reshape(shape).cumsum(axis=2)[:, :, :-1]
        above = rows - below
        explained, before = np.zeros(below.shape), np.zeros(n_nodes)
        with np.errstate(divide="ignore", invalid="ignore"):  # where a side is empty, which is no split
            for target in self._targets.T:
                weights = np.repeat(target, n_columns)
                sums = np.bincount(cells, weights=weights, minlength=n_nodes * n_columns * N_BINS).reshape(shape)
                sums = sums.cumsum(axis=2)
                of_all, sums = sums[:, :1, -1:], sums[:, :, :-1]
                explained += sums**2 / below + (of_all - sums) ** 2 / above
                before += (of_all**2 / rows).ravel()
        is_split = (below >= FEWEST_OF_A_LEAF) & (above >= FEWEST_OF_A_LEAF)
        allowed = np.where(is_split, explained, -np.inf).reshape(n_nodes, -1)
        best = allowed.argmax(axis=1)
        squares = np.bincount(self._place, weights=np.square(self._targets).sum(axis=1), minlength=n_nodes)
        split = allowed[np.arange(n_nodes), best] - before > _ROUNDING * squares
        column, cut = np.divmod(best, N_BINS - 1)
        return split, column, cut

    def children(self, split: np.ndarray, column: np.ndarray, cut: np.ndarray, tree: _Nodes) -> _Level:
        """Split nodes, add their children to a tree, and return those that hold enough rows to be split again."""
        inside = split[self._place]
        bins, targets, place = self._bins[inside], self._targets[inside], self._place[inside]
        is_above = bins[np.arange(len(bins)), column[place]] > cut[place]
        child = 2 * (np.cumsum(split) - 1)[place] + is_above
        n_children = 2 * int(np.count_nonzero(split))
        rows = np.bincount(child, minlength=n_children)
        variance = np.zeros(n_children)
        for target in targets.T:
            mean = np.bincount(child, weights=target, minlength=n_children) / rows
            variance += np.bincount(child, weights=np.square(target - mean[child]), minlength=n_children) / rows
        numbers = tree.split(self._numbers[split], column[split], rows.astype(np.float64), variance)
        goes_on = rows >= _FEWEST_TO_SPLIT
        kept = goes_on[child]
        return _Level(bins[kept], targets[kept], (np.cumsum(goes_on) - 1)[child[kept]], numbers[goes_on])
