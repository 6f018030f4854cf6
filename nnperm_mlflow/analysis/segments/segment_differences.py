"""By how much the means of two segments differ, and how sure that is: they share donors, so that errors go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nnperm_mlflow.analysis.segments._two_numbers import ends_of_difference
from nnperm_mlflow.analysis.segments.segment_tables import DIFFERENCE_COLUMNS
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.analysis.uncertainty.parts import PartSums


def differences_of(of_means: PartSums, told: Sequence[Mapping[str, object]]) -> dict[str, np.ndarray]:
    """Return the differences between the means of each two segments of a column under one perturbation.

    Parameters
    ----------
    of_means : PartSums
        What units add to the errors of the means.
    told : sequence of mapping
        What is told of each segment, by number; see `segment_tables.COLUMNS`.

    Returns
    -------
    dict of str to ndarray of shape (n_pairs,)
        By the names in `segment_tables.DIFFERENCE_COLUMNS`; no pair has a segment below the floor.
    """
    units = np.array([each["units"] for each in told])
    mean, low, high = (
        np.array([each.get(name, np.nan) for each in told]) for name in ("mean", "mean_low", "mean_high")
    )
    judged = np.flatnonzero((units >= FEWEST_ROWS) & ~np.isnan(mean))
    first, second = (judged[each] for each in np.triu_indices(len(judged), 1))
    one, other = ((mean[each], low[each], high[each]) for each in (first, second))
    down, up = ends_of_difference(one, other, of_means.correlations()[first, second])
    names = np.array([each["segment"] for each in told], dtype=object)
    column, perturbation = (np.full(len(first), told[0][key], dtype=object) for key in ("column", "perturbation"))
    fewer, difference = np.minimum(units[first], units[second]), mean[first] - mean[second]
    found = (column, names[first], names[second], perturbation, fewer, difference, down, up)
    return dict(zip(DIFFERENCE_COLUMNS, found, strict=True))
