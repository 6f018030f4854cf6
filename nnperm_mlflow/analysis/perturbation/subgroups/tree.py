"""A tree that tells rows apart: numbers, not the library that grew it, so that it can be kept, sent and applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nnperm_mlflow.analysis.perturbation.subgroups.columns import ColumnReader, Described

LEAF = -1
"""Stands for the column of a node that is not split."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Splits of rows, each by one column and a threshold.

    Attributes
    ----------
    columns : tuple of Column or WeightedSum
        Those by which anything is split.
    column : ndarray of shape (n_nodes,), int64
        For each node, the first being the root, which of them splits it; `LEAF` for none.
    threshold : ndarray of shape (n_nodes,), float64
        Rows at or below it go on at `below`, the others at `above`.
    below, above : ndarray of shape (n_nodes,), int64
        Positions of nodes, behind their own.
    """

    columns: tuple[Described, ...]
    column: np.ndarray
    threshold: np.ndarray
    below: np.ndarray
    above: np.ndarray

    @property
    def leaves(self) -> np.ndarray:
        """Positions of the nodes that are not split, of shape (n_leaves,), int64."""
        return np.flatnonzero(self.column == LEAF)

    def of(self, reader: ColumnReader) -> np.ndarray:
        """Return for each row the number of its leaf, from 0 in the order of `leaves`; shape (n_rows,), int64."""
        values = [reader.read(column) for column in self.columns]
        found, number = np.empty(len(reader.rows), dtype=np.int64), {leaf: n for n, leaf in enumerate(self.leaves)}
        waiting = [(0, np.arange(len(reader.rows)))]
        while waiting:
            node, here = waiting.pop()
            if self.column[node] == LEAF:
                found[here] = number[node]
                continue
            is_below = values[self.column[node]][here] <= self.threshold[node]
            waiting.append((int(self.below[node]), here[is_below]))
            waiting.append((int(self.above[node]), here[~is_below]))
        return found

    def words(self) -> list[str]:
        """Return for each leaf in words which rows it holds, as `BILL_AMT4 is at most 20,000`; "" for all rows."""
        paths = dict(self._paths())
        return [" and ".join(self._told(paths[int(leaf)])) for leaf in self.leaves]

    def as_dict(self) -> dict[str, object]:
        """Return the tree as JSON can hold it, thresholds to the last bit."""
        return {
            "columns": [column.key for column in self.columns],
            "column": self.column.tolist(),
            "threshold": [float(each).hex() for each in self.threshold],
            "below": self.below.tolist(),
            "above": self.above.tolist(),
        }

    def _paths(self) -> Iterator[tuple[int, list[tuple[int, bool]]]]:
        """Yield each node with the splits on the way to it: their node, and whether the rows lie below."""
        waiting: list[tuple[int, list[tuple[int, bool]]]] = [(0, [])]
        while waiting:
            node, path = waiting.pop()
            yield node, path
            if self.column[node] != LEAF:
                waiting.append((int(self.below[node]), [*path, (node, True)]))
                waiting.append((int(self.above[node]), [*path, (node, False)]))

    def _told(self, path: Sequence[tuple[int, bool]]) -> list[str]:
        """Return in words what splits on a way say, of several of one column the closest alone."""
        ends: dict[int, tuple[float | None, float | None]] = {}
        for node, below in path:
            column, threshold = int(self.column[node]), float(self.threshold[node])
            low, high = ends.get(column, (None, None))  # splits on the way down lie between those above them
            ends[column] = (low, threshold) if below else (threshold, high)
        return [self.columns[column].between(*of_column) for column, of_column in ends.items()]
