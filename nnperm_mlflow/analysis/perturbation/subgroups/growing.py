"""Growing a tree whose leaves hold rows in which a feature hardly varies with what it goes with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sklearn.tree import DecisionTreeRegressor

from nnperm_mlflow.analysis.perturbation.subgroups.binned_tree import grow_binned
from nnperm_mlflow.analysis.perturbation.subgroups.columns import Described
from nnperm_mlflow.analysis.perturbation.subgroups.grown import FEWEST_OF_A_LEAF, Grown
from nnperm_mlflow.analysis.perturbation.subgroups.small_units import as_measured, enlarged, scale_of
from nnperm_mlflow.analysis.perturbation.subgroups.tree import LEAF, Tree

_SURELY = 4  # times what a split of noise brings must the leaves by a column bring, for it to be one of few


def grow(
    columns: Sequence[Described], values: Sequence[np.ndarray], bins: Sequence[np.ndarray], targets: np.ndarray
) -> Tree:
    """Grow a tree and cut back what is no more than noise.

    Parameters
    ----------
    columns : sequence of Column or WeightedSum
        What rows may be told apart by.
    values : sequence of ndarray of shape (n_rows,), float32
        Those of the learning rows, for each column.
    bins : sequence of ndarray of shape (n_rows,), uint8
        The same in bins, see `binned_tree.bins_of`.
    targets : ndarray of shape (n_rows, n_targets)
        What shall vary as little as possible inside the leaves: the sum of the variances of these.

    Returns
    -------
    Tree
        The smallest tree with the least cost, by the columns alone that surely tell rows apart, where there are such:
        with fewer columns less noise is split, and what they tell is split finer. Which these are a tree of a few
        levels tells, over all columns in bins. A leaf costs about what the best split of noise among so many columns
        brings: twice the logarithm of their number, in the variance that is left per row.

    References
    ----------
    Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees", 1984: chapter 3.
    """
    if not len(columns) or len(targets) < 2 * FEWEST_OF_A_LEAF:
        return _only_root()
    sure = _cut_back(columns, grow_binned(bins, targets), _SURELY).columns
    used = [place for place, column in enumerate(columns) if column in sure] or range(len(columns))
    return _cut_back([columns[place] for place in used], _grown([values[place] for place in used], targets))


def _grown(values: Sequence[np.ndarray], targets: np.ndarray) -> Grown:
    """Return scikit-learn's tree, grown as far as it goes, with thresholds in the units of the columns."""
    scales = np.array([scale_of(each) for each in values])
    # each column lies in one piece, since it is read and sorted again at every node
    by_column = np.stack([enlarged(each, scale) for each, scale in zip(values, scales, strict=True)]).T
    tree = DecisionTreeRegressor(min_samples_leaf=FEWEST_OF_A_LEAF, random_state=0).fit(by_column, targets).tree_
    below, above, column, threshold, rows, variance = (
        np.array(getattr(tree, name))
        for name in (
            "children_left", "children_right", "feature", "threshold", "weighted_n_node_samples", "impurity"
        )
    )  # fmt: skip
    in_units = as_measured(threshold, scales[np.where(below == LEAF, 0, column)])
    return Grown(below, above, column, in_units, rows, variance)


def _cut_back(columns: Sequence[Described], grown: Grown, times: float = 1.0) -> Tree:
    """Return the nodes of a tree that are worth so many times their leaves, in their order."""
    below, above, cost = grown.below, grown.above, grown.rows * grown.variance
    is_leaf = below == LEAF
    least = cost + times * 2 * math.log(1 + len(columns)) * cost[is_leaf].sum() / grown.rows[0]
    for node in range(len(below) - 1, -1, -1):  # children come behind their parents
        if not is_leaf[node]:
            split = least[below[node]] + least[above[node]]
            is_leaf[node] = least[node] <= split
            least[node] = min(least[node], split)
    kept = _reached(below, above, is_leaf)
    place = np.cumsum(kept) - 1
    inner = kept & ~is_leaf
    used = np.unique(grown.column[inner])
    new = {
        "column": np.where(is_leaf, LEAF, np.searchsorted(used, grown.column))[kept],
        "threshold": np.where(is_leaf, 0.0, grown.threshold)[kept],
        "below": np.where(is_leaf, LEAF, place[below])[kept],
        "above": np.where(is_leaf, LEAF, place[above])[kept],
    }
    return Tree(tuple(columns[number] for number in used), **new)


def _reached(below: np.ndarray, above: np.ndarray, is_leaf: np.ndarray) -> np.ndarray:
    reached = np.zeros(len(below), dtype=bool)
    reached[0] = True
    for node in range(len(below)):
        if reached[node] and not is_leaf[node]:
            reached[[below[node], above[node]]] = True
    return reached


def _only_root() -> Tree:
    nothing = np.array([LEAF])
    return Tree((), nothing, np.zeros(1), nothing, nothing)
