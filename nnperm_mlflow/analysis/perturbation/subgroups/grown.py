"""A tree as it was grown, before it is cut back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST_OF_A_LEAF = 8
"""Learning rows that a leaf holds at least."""


@dataclass(frozen=True)
class Grown:
    """Nodes of a tree; children come behind their parents.

    Attributes
    ----------
    below, above : ndarray of shape (n_nodes,), int
        The child of rows at or below the threshold, and that of those above it; `tree.LEAF` where there is none.
    column : ndarray of shape (n_nodes,), int
        Which column tells the rows of a node apart; of a leaf, anything.
    threshold : ndarray of shape (n_nodes,), float64
        In the units of the column.
    rows, variance : ndarray of shape (n_nodes,), float64
        How many rows a node holds, and how far the targets vary in it, in one unit throughout the tree.
    """

    below: np.ndarray
    above: np.ndarray
    column: np.ndarray
    threshold: np.ndarray
    rows: np.ndarray
    variance: np.ndarray
