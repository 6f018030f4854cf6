"""What an audit finds out: every row disturbed and predicted, the table on disk, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine import BlockResult, Job, Progress, run_blocks
from nnperm_mlflow.analysis.intervals import MedianCertainty
from nnperm_mlflow.analysis.statistics import Tally, summarize
from nnperm_mlflow.analysis.table import TableReader, TableWriter, column_names


@dataclass(frozen=True)
class Findings:
    """What came of all rows.

    Attributes
    ----------
    summary : DataFrame
        As `summarize` returns it.
    tally : Tally
        Of all deviations.
    """

    summary: pd.DataFrame
    tally: Tally


def find(
    job: Job,
    block_rows: int,
    table: Path,
    progress: Progress,
    *,
    row_ids: np.ndarray | None = None,
    record: Mapping[str, object] | None = None,
) -> Findings:
    """Disturb, predict, write the deviation table, and describe what came out.

    Parameters
    ----------
    job : Job
    block_rows : int
        Most rows of a block.
    table : Path
        File to write.
    progress : callable
    row_ids : ndarray of shape (n_rows,), optional
        The rows' names, for the table.
    record : mapping, optional
        Of model, data and seed, for the table.

    Returns
    -------
    Findings

    Raises
    ------
    PredictionError
        If the model fails, or predicts NaN.
    """
    names = job.measure.baseline_names
    with TableWriter(table, job.perturbations, names, row_ids, record or {}, repeats=job.repeats) as writer:
        tally = tally_and_write(run_blocks(job, block_rows), writer.write, job, progress)
    columns = column_names(job.perturbations, names)
    with TableReader(table) as reader:
        certainty = MedianCertainty(job, reader, columns)
        summary = summarize(job.perturbations, tally, lambda number: reader.column(columns[number]), certainty)
    return Findings(summary, tally)


def tally_and_write(
    results: Iterator[BlockResult],
    write: Callable[[np.ndarray, int, np.ndarray, np.ndarray], None],
    job: Job,
    progress: Progress,
) -> Tally:
    """Pass finished blocks on to a table, count what the statistics need, and report progress.

    Parameters
    ----------
    results : iterator of BlockResult
    write : callable
        Takes rows, repeat, baseline (n_rows, n_outputs) and deviations (n_perturbations, n_rows).
    job : Job
    progress : callable

    Returns
    -------
    Tally
        Of all deviations.
    """
    tally = Tally.empty(len(job.perturbations), job.measure.distance is None)
    done = 0
    progress(done, job.inputs.n_rows)
    for result in results:
        for repeat in range(job.repeats):
            write(result.rows, repeat, result.baseline, result.deviations[repeat])
            tally.add(result.deviations[repeat], result.moved[repeat], result.fell[repeat])
        done += len(result.rows)
        progress(done, job.inputs.n_rows)
    return tally
