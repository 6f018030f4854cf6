"""How much a mean varies over rows that receive values from each other.

Each row receives a value and gives one, in each repeat. So neither rows nor repeats are independent of each other: what
counts for the variance is, of each row, all that it has a part in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nnperm_mlflow.analysis.statistics.stratified_variance import StratifiedDonors, stratified_variance


def receivers_of(donors: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return, for each repeat, the position of the row that each row gives its value to.

    Parameters
    ----------
    donors : sequence of ndarray of shape (n_rows,), int
        For each repeat the position of each row's donor: permutations.

    Returns
    -------
    list of ndarray of shape (n_rows,), int64
        The inverse permutations.

    Examples
    --------
    >>> receivers_of([np.array([2, 0, 1])])
    [array([1, 2, 0])]
    """
    found = []
    for positions in donors:
        receivers = np.empty(len(positions), dtype=np.int64)
        receivers[positions] = np.arange(len(positions))
        found.append(receivers)
    return found


def variance(
    values: np.ndarray,
    known: np.ndarray,
    receivers: Sequence[np.ndarray] | StratifiedDonors | None,
    *,
    least: float = 1.0,
) -> float:
    """Return the number of rows times the variance of the mean of some values.

    That of a mean over pairs is the variance of what a row adds as a receiver and as a donor (Hoeffding, 1948), and of
    what only the pair has, which fades with the repeats. The sum of a row's two means over the repeats holds each pair
    twice; one of the two is taken off. Where rows are left out the mean is a ratio, so that each value adds by how much
    it lies off the mean, and a row that is left out adds nothing.

    Parameters
    ----------
    values : ndarray of shape (n_repeats, n_rows)
        Numbers or booleans, of rows with all of their donors. Not modified.
    known : ndarray of shape (n_repeats, n_rows), bool
        Which of them the mean is of.
    receivers : sequence of ndarray of shape (n_rows,), StratifiedDonors, or None
        As `receivers_of` returns them; who received whose value within strata; None where rows receive nothing from
        each other.
    least : float
        The smallest variance to believe where rows have donors, as a share of what it were if no two values had
        anything in common.

    Returns
    -------
    float
        Infinite where no value is known.
    """
    if isinstance(receivers, StratifiedDonors):
        return stratified_variance(values, known, receivers, least=least)
    n_repeats, n_rows = values.shape
    n_known = int(np.count_nonzero(known))
    if n_known == 0:
        return math.inf
    weight = n_known / values.size
    mean = _total(values, known, n_known) / values.size / weight
    received, given, squares = np.zeros(n_rows), np.zeros(n_rows), 0.0
    for repeat in range(n_repeats):
        off = np.subtract(values[repeat], mean, dtype=np.float64)
        if n_known < values.size:
            off[~known[repeat]] = 0
        received += off
        if receivers is not None:
            given += off[receivers[repeat]]
            squares += float(np.mean(np.square(off)))
    received /= n_repeats * weight
    if receivers is None:
        return float(np.var(received))
    given /= n_repeats * weight
    of_pairs = squares / n_repeats / n_repeats / weight**2
    return max(float(np.var(received + given)) - of_pairs, least * of_pairs)


def _total(values: np.ndarray, known: np.ndarray, n_known: int) -> float:
    return float((values if n_known == values.size else values[known]).sum(dtype=np.float64))
