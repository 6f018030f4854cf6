"""By how much the means of two segments differ, and how sure that is: they share donors, so that errors go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nnperm_mlflow.analysis.segments._two_numbers import ends_of_difference
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.analysis.uncertainty.variance import Dependence, Exchange


def differences_of(
    deviations: np.ndarray,
    dependence: Dependence,
    n_known: int,
    numbers: np.ndarray,
    told: Sequence[Mapping[str, object]],
) -> list[tuple[object, ...]]:
    """Return the differences between the means of each two segments of a column under one perturbation.

    Parameters
    ----------
    deviations : ndarray of shape (n_repeats, n_rows)
        NaN where a row is left out.
    dependence : Dependence
        Of the first rows, those on which variances are found.
    n_known : int
        How many these are.
    numbers : ndarray of shape (n_rows,), int
        For each row the number of its segment.
    told : sequence of mapping
        What is told of each segment, by number; see `segment_tables.COLUMNS`.

    Returns
    -------
    list of tuple
        With the values of `segment_tables.DIFFERENCE_COLUMNS`; none for a segment below the floor.
    """
    units = np.array([each["units"] for each in told])
    mean, low, high = (
        np.array([each.get(name, np.nan) for each in told]) for name in ("mean", "mean_low", "mean_high")
    )
    judged = np.flatnonzero((units >= FEWEST_ROWS) & ~np.isnan(mean))
    first, second = (judged[each] for each in np.triu_indices(len(judged), 1))
    if not len(first):
        return []
    together = _correlations(deviations[:, :n_known], dependence, numbers[:n_known], len(told))[first, second]
    one, other = ((mean[each], low[each], high[each]) for each in (first, second))
    down, up = ends_of_difference(one, other, together)
    fewer, difference = np.minimum(units[first], units[second]), mean[first] - mean[second]
    column, perturbation = (told[0][key] for key in ("column", "perturbation"))
    names = [each["segment"] for each in told]
    pairs = zip(first, second, *(each.tolist() for each in (fewer, difference, down, up)), strict=True)
    return [(column, names[a], names[b], perturbation, *numbers_of) for a, b, *numbers_of in pairs]


def _correlations(deviations: np.ndarray, dependence: Dependence, numbers: np.ndarray, n_segments: int) -> np.ndarray:
    """Return the correlations of the errors of segments' means, of shape (n_segments, n_segments).

    Each row, or cluster, adds to the mean of its own segment and, as a donor, to those of others. How much of that two
    strata have in common is not told; there, two means are taken to err against each other, the worst that can be.
    """
    if not isinstance(dependence, Exchange):
        return np.full((n_segments, n_segments), -1.0)
    kept = ~np.isnan(deviations)
    of_values = np.broadcast_to(numbers, deviations.shape)[kept]
    counts = np.bincount(of_values, minlength=n_segments)
    totals = np.bincount(of_values, weights=deviations[kept], minlength=n_segments)
    means = np.divide(totals, counts, out=np.zeros(n_segments), where=counts > 0)
    off = np.where(kept, deviations - means[numbers], 0.0) / np.maximum(1, counts)[numbers]
    units, alone = dependence.sums_of_parts(off, numbers, n_segments)
    products = units @ units.T
    variances = np.maximum(np.diag(products) - alone, alone)
    scale = np.sqrt(np.outer(variances, variances))
    return np.clip(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0), -1, 1)
