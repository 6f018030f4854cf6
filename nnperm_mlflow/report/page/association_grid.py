"""Which features go together, as a square of numbers in which those that do so stand beside each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from nnperm_mlflow.basics.text import cut_middle
from nnperm_mlflow.report.clustered_associations import cluster_associations
from nnperm_mlflow.report.page.numbers import number

MOST_FEATURES = 24
"""That are shown, those of the strongest pairs."""

_FEWEST = 3  # features; of two the table of pairs tells as much
_LONGEST = 30  # letters of a name above a column


@dataclass(frozen=True)
class AssociationGrid:
    """A square of features.

    Attributes
    ----------
    titles : list of str
        Names above the columns, shortened.
    rows : list of (str, list of (str, str))
        The name, and for each column how dark it is (from 0 to 1, empty where the pair was not pointed out) and its
        number.
    n_left_out : int
        How many features are not shown.
    """

    titles: list[str]
    rows: list[tuple[str, list[tuple[str, str]]]]
    n_left_out: int


def association_grid_of(pairs: pd.DataFrame) -> AssociationGrid | None:
    """Return the square; None where there are not three features to be put in order.

    Parameters
    ----------
    pairs : DataFrame
        `first`, `second` and `value`, strongest first. Not modified.
    """
    if pairs[["first", "second"]].stack().nunique() < _FEWEST:
        return None
    found = cluster_associations(pairs, MOST_FEATURES)
    names = [str(name) for name in found.cells]
    return AssociationGrid(
        titles=[cut_middle(name, _LONGEST) for name in names],
        rows=[
            (name, [_cell(float(value)) for value in row])
            for name, row in zip(names, found.cells.to_numpy(float), strict=True)
        ],
        n_left_out=found.n_features - len(names),
    )


def _cell(value: float) -> tuple[str, str]:
    return ("", "") if math.isnan(value) else (f"{abs(value):.2f}", number(value, 2))
