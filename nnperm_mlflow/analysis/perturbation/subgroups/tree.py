"""A tree that tells rows apart: numbers, not the library that grew it, so that it can be kept, sent and applied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from nnperm_mlflow.analysis.perturbation.subgroups.columns import ColumnReader, Described

LEAF = -1
"""Stands for the column of a node that is not split."""

Ends = tuple[float | None, float | None]
"""Above which number rows lie, and at or below which; None where there is no such end."""


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

    def of(self, reader: ColumnReader, places: np.ndarray) -> np.ndarray:
        """Return for some rows the numbers of their leaves, from 0 in the order of `leaves`.

        Parameters
        ----------
        reader : ColumnReader
        places : ndarray of shape (n_rows,), int64
            Which of its rows.

        Returns
        -------
        ndarray of shape (n_rows,), int64
        """
        values = [reader.read(column)[places] for column in self.columns]
        found, number = np.empty(len(places), dtype=np.int64), {leaf: n for n, leaf in enumerate(self.leaves)}
        waiting = [(0, np.arange(len(places)))]
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
        ends = dict(self._paths())
        told = cache(lambda column, low, high: self.columns[column].between(low, high))
        return [" and ".join(told(column, *each) for column, each in ends[int(leaf)].items()) for leaf in self.leaves]

    def as_dict(self) -> dict[str, object]:
        """Return the tree as JSON can hold it, thresholds to the last bit."""
        return {
            "columns": [column.key for column in self.columns],
            "column": self.column.tolist(),
            "threshold": [float(each).hex() for each in self.threshold],
            "below": self.below.tolist(),
            "above": self.above.tolist(),
        }

    def _paths(self) -> Iterator[tuple[int, dict[int, Ends]]]:
        """Yield each leaf with where its rows lie: for each column that splits on the way the closest ends."""
        waiting: list[tuple[int, dict[int, Ends]]] = [(0, {})]
        while waiting:
            node, ends = waiting.pop()
            column, threshold = int(self.column[node]), float(self.threshold[node])
            if column == LEAF:
                yield node, ends
                continue
            low, high = ends.get(column, (None, None))  # splits on the way down lie between those above them
            waiting.append((int(self.below[node]), {**ends, column: (low, threshold)}))
            waiting.append((int(self.above[node]), {**ends, column: (threshold, high)}))
