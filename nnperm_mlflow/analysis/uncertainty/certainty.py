"""Tells how sure the statistics of an audit are, reading each column of its table once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.table import TableReader
from nnperm_mlflow.analysis.statistics.summary import Certain
from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.analysis.uncertainty.audited_rows import dependence_of
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS, Sample, ends_of, ranks_of
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks

KnownValues = Callable[[int], tuple[np.ndarray, float]]
"""Gives for a perturbation, by its position, the deviations of the rows on which variances are found, of shape
(n_repeats, n_known), and the standard deviation of the medians of all rows' repeats."""

KnownMarks = Callable[[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Gives what became of these rows beside that, see `engine.row_marks.Marks.of`."""


class Certainties:
    """Tells how sure the statistics of an audit are.

    Parameters
    ----------
    job : Job
        With all repeats that were made.
    tally : Tally
        Of all deviations.
    known : KnownBlocks
        Shuffle blocks on which variances are found.
    values, marks : callable
        What is known of their rows.
    span : float
        How far the predictions of all rows as they are lie apart.
    """

    def __init__(
        self, job: Job, tally: Tally, known: KnownBlocks, *, values: KnownValues, marks: KnownMarks, span: float
    ) -> None:
        self._job = job
        self._tally = tally
        self._known = known
        self._values = values
        self._marks = marks
        self._span = span

    def __call__(self, number: int, found: Mapping[str, float]) -> Certain:
        """Return how sure the statistics of one perturbation are.

        Parameters
        ----------
        number : int
            Position of the perturbation.
        found : mapping of str to float
            Its statistics; NaN where there is none.

        Returns
        -------
        Certain
            Without ranks and ends where fewer than `FEWEST_ROWS` rows, or clusters, are left.
        """
        known = self._known.first(self._job.stopped.get(number))
        deviations, spread = self._values(number)
        if int(self._tally.n_kept[number]) < FEWEST_ROWS * self._job.repeats:
            return Certain({}, {}, spread)
        dependence, n_rows = dependence_of(self._job, known, number), self._job.rows_of(number)
        marks = self._marks(number, known.n_rows)
        sample = Sample(deviations[:, : known.n_rows], *marks, dependence, n_rows, self._span)
        if known.clusters is not None and sample.n_units < FEWEST_ROWS:
            return Certain({}, {}, spread)
        n_kept, n_moved = int(self._tally.n_kept[number]), int(self._tally.moved[number])
        return Certain(ranks_of(sample, found, n_kept, n_moved), ends_of(sample, found), spread)


class TableValues:
    """What a deviation table tells of the rows on which variances are found, see `KnownValues`.

    Parameters
    ----------
    table : TableReader
        Its first rows are these.
    columns : sequence of str
        The table's column for each perturbation.
    n_known, repeats : int
        Rows on which variances are found, and repeats.
    """

    def __init__(self, table: TableReader, columns: Sequence[str], n_known: int, repeats: int) -> None:
        self._table = table
        self._columns = columns
        self._n_known = n_known
        self._repeats = range(repeats)

    def __call__(self, number: int) -> tuple[np.ndarray, float]:
        """Return the deviations of one perturbation, and the spread of its repeats' medians."""
        n_known, repeats = self._n_known, self._repeats
        deviations = np.empty((len(repeats), n_known), dtype=np.float32)
        medians = []
        for repeat in repeats:
            kept, filled = [], 0
            for values in self._table.repeat(self._columns[number], repeat):
                part = values[: n_known - filled]
                deviations[repeat, filled : filled + len(part)] = part
                filled += len(part)
                if len(repeats) > 1:  # nothing is asked of a single repeat, and many rows take much memory
                    kept.append(values[~np.isnan(values)])
            if any(map(len, kept)):
                medians.append(_median(np.concatenate(kept)))
        return deviations, spread_of(medians)


def spread_of(medians: Sequence[float]) -> float:
    """Return the standard deviation of the repeats' medians; NaN for a single one."""
    return float(np.std(medians, ddof=1)) if len(medians) > 1 else math.nan


def _median(values: np.ndarray) -> float:
    """Return the median of float32 values, without a copy of them in float64."""
    middle = middle_ranks(len(values))
    return float(np.partition(values, middle)[middle].astype(np.float64).mean())


def middle_ranks(n_values: int) -> list[int]:
    """Return the ranks, from 0, whose mean is the median of so many values."""
    return sorted({(n_values - 1) // 2, n_values // 2})
