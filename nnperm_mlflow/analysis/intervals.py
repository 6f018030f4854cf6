"""How sure the median of a perturbation is, whatever the distribution of its deviations.

The rows are taken as a sample, and the median looked for is that of all rows there might be. Whether a deviation lies
below it depends on the row that receives a value and on the row that gives it, and each row does both, in each repeat.
So neither rows nor repeats are independent of each other: what counts for the variance is, of each row, all that it has
a part in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist

import numpy as np

from nnperm_mlflow.analysis.engine import Job
from nnperm_mlflow.analysis.perturbations import Shuffle
from nnperm_mlflow.analysis.shuffling import shuffle_blocks
from nnperm_mlflow.analysis.statistics import Certain
from nnperm_mlflow.analysis.table import TableReader

LEVEL = 0.95
"""How often an interval shall hold the median."""


class MedianCertainty:
    """Tells how sure the medians of an audit are, from its table.

    The variance is found on the first shuffle block, which holds up to 65,536 rows with all of their donors.

    Parameters
    ----------
    job : Job
    table : TableReader
    columns : sequence of str
        The table's column for each perturbation.
    """

    def __init__(self, job: Job, table: TableReader, columns: Sequence[str]) -> None:
        self._job = job
        self._table = table
        self._columns = columns
        self._block = next(shuffle_blocks(job.inputs.n_rows, job.seed))

    def __call__(self, number: int, median: float) -> Certain:
        """Return how sure the median of one perturbation is.

        Parameters
        ----------
        number : int
            Position of the perturbation.
        median : float
            Of all its deviations.

        Returns
        -------
        Certain
        """
        n_known, repeats, medians = len(self._block.rows), range(self._job.repeats), []
        below = np.empty((self._job.repeats, n_known), dtype=bool)
        for repeat in repeats:
            values = np.concatenate([*self._table.repeat(self._columns[number], repeat)])
            below[repeat] = values[:n_known] <= median
            if len(repeats) > 1:
                medians.append(np.median(values.astype(np.float64)))
        perturbation, donors = self._job.perturbations[number], None
        if isinstance(perturbation, Shuffle):
            name = perturbation.feature.name
            donors = (self._job.donors(self._block, name, repeat) for repeat in repeats)
        low, high = median_ranks(below, donors, self._job.inputs.n_rows)
        return Certain(low, high, float(np.std(medians, ddof=1)) if medians else math.nan)


def median_ranks(below: np.ndarray, donors: Iterable[np.ndarray] | None, n_rows: int) -> tuple[int, int]:
    """Return the ranks of the deviations between which the median lies with 95 % confidence.

    The share of deviations that do not exceed the median has a variance; the interval goes from the quantile at one
    half less 1.96 times its root to that at one half and as much (Woodruff, 1952).

    Parameters
    ----------
    below : ndarray of shape (n_repeats, n_known), bool
        Which deviations do not exceed the median, for the rows of a shuffle block.
    donors : iterable of ndarray of shape (n_known,), or None
        For each repeat each row's donor among these rows; None where rows have none and all repeats are the same.
    n_rows : int
        Rows of the data.

    Returns
    -------
    low, high : int
        From 0, among the deviations of all rows and repeats.
    """
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(_variance(below, donors) / n_rows)
    n_deviations = n_rows * len(below)
    low = math.floor(n_deviations * (0.5 - reach)) - 1
    high = math.ceil(n_deviations * (0.5 + reach))
    return max(0, low), min(n_deviations - 1, high)


def _variance(below: np.ndarray, donors: Iterable[np.ndarray] | None) -> float:
    """Return n_rows times the variance of the share of deviations that do not exceed the median.

    That of a mean over pairs is the variance of what a row adds as a receiver and as a donor (Hoeffding, 1948), and of
    what only the pair has, which fades with the repeats. The sum of a row's two means over the repeats holds each pair
    twice; one of the two is taken off.
    """
    n_repeats, n_known = below.shape
    share = float(below.mean())
    if donors is None:
        return share * (1 - share)
    given = np.zeros(n_known)
    for row, positions in zip(below, donors, strict=True):
        given[positions] += row / n_repeats
    of_pairs = share * (1 - share) / n_repeats
    return max(float(np.var(below.mean(axis=0) + given)) - of_pairs, of_pairs)
