"""Tells how sure the statistics of an audit are, reading each column of its table once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.row_marks import Marks
from nnperm_mlflow.analysis.engine.table import TableReader
from nnperm_mlflow.analysis.statistics.summary import Certain
from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.analysis.uncertainty.audited_rows import dependence_of, span_of
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS, Sample, ends_of, ranks_of
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks


class Certainties:
    """Tells how sure the statistics of an audit are, from its table.

    Parameters
    ----------
    job : Job
        With all repeats that the table holds.
    table : TableReader
    columns : sequence of str
        The table's column for each perturbation.
    tally : Tally
        Of all deviations.
    marks : Marks
        Of the rows of the shuffle blocks on which variances are found.
    known : KnownBlocks
        These blocks.
    """

    def __init__(
        self,
        job: Job,
        table: TableReader,
        columns: Sequence[str],
        tally: Tally,
        *,
        marks: Marks,
        known: KnownBlocks,
    ) -> None:
        self._job = job
        self._table = table
        self._columns = columns
        self._tally = tally
        self._marks = marks
        self._known = known
        self._span = span_of(job.measure, table)

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
        deviations, spread = self._read(number)
        if int(self._tally.n_kept[number]) < FEWEST_ROWS * self._job.repeats:
            return Certain({}, {}, spread)
        dependence = dependence_of(self._job, self._known, number)
        sample = Sample(
            deviations, *self._marks.of(number, self._known.n_rows), dependence, self._job.inputs.n_rows, self._span
        )
        if self._known.clusters is not None and sample.n_units < FEWEST_ROWS:
            return Certain({}, {}, spread)
        n_kept, n_moved = int(self._tally.n_kept[number]), int(self._tally.moved[number])
        return Certain(ranks_of(sample, found, n_kept, n_moved), ends_of(sample, found), spread)

    def _read(self, number: int) -> tuple[np.ndarray, float]:
        """Return a perturbation's deviations, of shape (n_repeats, n_known), and the spread of its repeats' medians."""
        n_known, repeats = self._known.n_rows, range(self._job.repeats)
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
        return deviations, float(np.std(medians, ddof=1)) if len(medians) > 1 else math.nan


def _median(values: np.ndarray) -> float:
    """Return the median of float32 values, without a copy of them in float64."""
    middle = sorted({(len(values) - 1) // 2, len(values) // 2})
    return float(np.partition(values, middle)[middle].astype(np.float64).mean())
