"""Features that go together, those that do so beside each other: what a clustered map of associations shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class ClusteredAssociations:
    """A square of associations in the order of a tree.

    Attributes
    ----------
    cells : DataFrame of shape (n_shown, n_shown)
        Associations by feature, from -1 to 1, features that go together beside each other; NaN where a pair was not
        pointed out, and on the diagonal.
    joints : list of (ndarray of shape (4,), ndarray of shape (4,))
        The tree, as lines of four points: how far apart two branches are (1 less their association), and where each
        point stands along the features, whose middles are at 0.5, 1.5, ...
    n_features : int
        Of how many features the pairs tell.
    """

    cells: pd.DataFrame
    joints: list[tuple[np.ndarray, np.ndarray]]
    n_features: int


def cluster_associations(pairs: pd.DataFrame, most: int) -> ClusteredAssociations:
    """Order features by which of them go together.

    Features are joined by average linkage of 1 less the size of their association, as `analysis: groups: auto` joins
    them; a pair that was not pointed out counts as 0 here. Of all orders that the tree allows, that is taken in which
    neighbours are nearest.

    Parameters
    ----------
    pairs : DataFrame
        `first`, `second` and `value` (from -1 to 1), strongest first; at least one. Not modified.
    most : int
        Features that are shown, those of the strongest pairs.

    References
    ----------
    Z. Bar-Joseph, D. K. Gifford, T. S. Jaakkola, "Fast optimal leaf ordering for hierarchical clustering",
    Bioinformatics 17 (suppl. 1), 2001.

    Examples
    --------
    >>> pairs = pd.DataFrame([("a", "c", 0.9), ("b", "d", -0.8)], columns=["first", "second", "value"])
    >>> [*cluster_associations(pairs, most=4).cells]
    ['a', 'c', 'd', 'b']
    """
    from scipy.cluster.hierarchy import dendrogram, linkage  # noqa: PLC0415 - only where there is something to order

    cells, n_features = _square(pairs, most)
    strengths = np.nan_to_num(np.abs(cells.to_numpy(float)))
    apart = 1 - strengths[np.triu_indices(len(cells), 1)]
    tree = dendrogram(linkage(apart, method="average", optimal_ordering=True), no_plot=True)
    order = [int(leaf) for leaf in tree["leaves"]]
    joints = [  # scipy has ten units from leaf to leaf, and the first at 5
        (np.asarray(heights, float), np.asarray(places, float) / 10)
        for heights, places in zip(tree["dcoord"], tree["icoord"], strict=True)
    ]
    return ClusteredAssociations(cells.iloc[order, order], joints, n_features)


def _square(pairs: pd.DataFrame, most: int) -> tuple[pd.DataFrame, int]:
    """Return the associations of the features of the strongest pairs, and of how many features all pairs tell."""
    firsts, seconds = (pairs[name].astype(str) for name in ("first", "second"))
    told = [*zip(firsts, seconds, pairs["value"].to_numpy(float), strict=True)]
    names = list(dict.fromkeys(name for first, second, _ in told for name in (first, second)))
    place = {name: at for at, name in enumerate(names[:most])}
    cells = np.full((len(place), len(place)), np.nan)
    for first, second, value in told:
        if first in place and second in place:
            cells[place[first], place[second]] = cells[place[second], place[first]] = value
    return pd.DataFrame(cells, [*place], [*place]), len(names)
