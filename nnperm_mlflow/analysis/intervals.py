"""How sure the median of a perturbation is, whatever the distribution of its deviations.

The rows are taken as a sample, and the median looked for is that of all rows there might be. Whether a deviation lies
below it depends on the row that receives a value and on the row that gives it, and each row does both, in each repeat.
So neither rows nor repeats are independent of each other: what counts for the variance is, of each row, all that it has
a part in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from nnperm_mlflow.analysis.job import Job
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
        With all repeats that the table holds.
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
        n_known, repeats = len(self._block.rows), range(self._job.repeats)
        deviations = np.empty((self._job.repeats, n_known), dtype=np.float32)
        medians, n_kept = [], 0
        for repeat in repeats:
            kept = []
            filled = 0
            for values in self._table.repeat(self._columns[number], repeat):
                part = values[: n_known - filled]
                deviations[repeat, filled : filled + len(part)] = part
                filled += len(part)
                kept.append(values[~np.isnan(values)])
                n_kept += len(kept[-1])
                if len(repeats) == 1:
                    kept.clear()  # nothing is asked of a single repeat, and many rows take much memory
            if any(map(len, kept)):
                medians.append(_median(np.concatenate(kept)))
        perturbation = self._job.perturbations[number]
        drawn = (self._job.donors(self._block, perturbation, repeat) for repeat in repeats)
        donors = [positions for positions in drawn if positions is not None]
        low, high = median_ranks(deviations, median, donors or None, self._job.inputs.n_rows, n_kept)
        return Certain(low, high, float(np.std(medians, ddof=1)) if len(medians) > 1 else math.nan)


def median_ranks(
    deviations: np.ndarray, median: float, donors: Sequence[np.ndarray] | None, n_rows: int, n_kept: int
) -> tuple[int, int]:
    """Return the ranks of the deviations between which the median lies with 95 % confidence.

    The share of deviations that do not exceed the median has a variance; the interval goes from the quantile at one
    half less 1.96 times its root to that at one half and as much (Woodruff, 1952).

    Parameters
    ----------
    deviations : ndarray of shape (n_repeats, n_known)
        For the rows of a shuffle block; NaN where a row is left out.
    median : float
        Of all deviations.
    donors : sequence of ndarray of shape (n_known,), or None
        For each repeat each row's donor among these rows; None where rows have none.
    n_rows : int
        Rows of the data.
    n_kept : int
        Deviations of all rows and repeats that are not left out.

    Returns
    -------
    low, high : int
        From 0, among all deviations that are not left out.
    """
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(_variance(deviations, median, donors) / n_rows)
    low = math.floor(n_kept * (0.5 - reach)) - 1
    high = math.ceil(n_kept * (0.5 + reach))
    return max(0, low), min(n_kept - 1, high)


def _variance(deviations: np.ndarray, median: float, donors: Sequence[np.ndarray] | None) -> float:
    """Return n_rows times the variance of the share of deviations that do not exceed the median.

    That of a mean over pairs is the variance of what a row adds as a receiver and as a donor (Hoeffding, 1948), and of
    what only the pair has, which fades with the repeats. The sum of a row's two means over the repeats holds each pair
    twice; one of the two is taken off. The share is that of the rows that are not left out, so that each adds by how
    much it lies off the share.
    """
    kept = ~np.isnan(deviations)
    weight = float(kept.mean())
    if weight == 0:
        return 0.0
    with np.errstate(invalid="ignore"):
        below = deviations <= np.float64(median)
    share = float(below.mean()) / weight
    n_repeats, n_known = deviations.shape
    received = np.zeros(n_known)
    for row, known in zip(below, kept, strict=True):
        received += row - share * known
    received /= n_repeats * weight
    if donors is None:
        return float(np.var(received))
    given = np.zeros(n_known)
    for row, known, positions in zip(below, kept, donors, strict=True):
        given[positions] += row - share * known
    given /= n_repeats * weight
    of_pairs = share * (1 - share) / n_repeats / weight
    return max(float(np.var(received + given)) - of_pairs, of_pairs)


def _median(values: np.ndarray) -> float:
    """Return the median of float32 values, without a copy of them in float64."""
    middle = sorted({(len(values) - 1) // 2, len(values) // 2})
    return float(np.partition(values, middle)[middle].astype(np.float64).mean())
