"""All rows disturbed and predicted, repeat after repeat, until the intervals that matter are sure enough."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.block_result import BlockResult
from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.job import Job, most_repeats
from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.analysis.engine.kept_predictions import Predictions
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.engine.progress import Progress, reporting
from nnperm_mlflow.analysis.engine.row_marks import Marks
from nnperm_mlflow.analysis.engine.table import TableReader, TableWriter, column_names, join_tables
from nnperm_mlflow.analysis.statistics.certainty import Certainties
from nnperm_mlflow.analysis.statistics.findings import TOP, Findings
from nnperm_mlflow.analysis.statistics.known_blocks import KnownBlocks
from nnperm_mlflow.analysis.statistics.stopping_rule import Precision
from nnperm_mlflow.analysis.statistics.summary import summarize
from nnperm_mlflow.analysis.statistics.tally import Tally

logger = logging.getLogger(__name__)

_FIRST_REPEATS = 2  # with fewer there is no spread of medians
_ENOUGH_REPEATS = 8
_MANY_DEVIATIONS = 10_000_000  # whose statistics take more than a second
_LEAST_GAIN = 0.02  # by which half as many repeats again must narrow the widest interval to be worth their time


def find(
    job: Job,
    block_rows: int,
    table: Path,
    progress: Progress,
    *,
    row_ids: np.ndarray | None = None,
    record: Mapping[str, object] | None = None,
    precision: Precision | None = None,
    journal: Journal | None = None,
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
    precision : Precision, optional
        Go on with further repeats until the intervals that matter are narrow enough, instead of the job's own number.
    journal : Journal, optional
        Where finished blocks are kept, and those that were finished before are found.

    Returns
    -------
    Findings

    Raises
    ------
    PredictionError
        If the model fails, or predicts NaN.
    """
    told = {**(record or {}), **({} if job.deal.is_plain else {"shuffle_blocks": job.deal.sizes})}
    tally = Tally.empty(len(job.perturbations), job.measure.distance is None)
    known = KnownBlocks.of(job.deal.blocks(), job.clusters)
    marks = Marks(table.parent, known.n_rows)
    predictions = Predictions(table.parent) if job.keeps_predictions else None
    now = job if precision is None else replace(job, repeats=min(_FIRST_REPEATS, precision.most))
    parts: list[Path] = []
    widest = float("inf")
    try:
        while True:
            parts.append(table.with_name(f"{table.name}.{len(parts)}"))
            names, repeats = job.measure.baseline_names, range(now.first_repeat, now.first_repeat + now.repeats)
            with TableWriter(
                parts[-1], job.perturbations, names, row_ids, told, repeats=repeats, clusters=job.clusters
            ) as writer:
                for result in reporting(run_blocks(now, block_rows, journal), job.inputs.n_rows, progress):
                    add_result(result, repeats, tally, writer)
                    if job.decision is not None:
                        tally.decided.update(_decisions(job.decision, result))
                    marks.add(result, repeats)
                    if predictions is not None:
                        predictions.add(result, job.inputs.n_rows, repeats)
            summary = _described(replace(job, repeats=repeats.stop), tally, marks, known, parts)
            found = Findings(summary, tally, repeats.stop, predictions, precision.watched if precision else frozenset())
            if precision is None or _is_enough(found, precision, widest):
                break
            widest = found.widest
            more = min(max(1, repeats.stop // 2), precision.most - repeats.stop, most_repeats(job, block_rows))
            now = now.continued(more)
        join_tables(parts, table)
    finally:
        marks.close()
        for part in parts:
            part.unlink(missing_ok=True)
    return found


def add_result(result: BlockResult, repeats: range, tally: Tally, table: TableWriter) -> None:
    """Count a finished block and write it into the table."""
    for number, repeat in enumerate(repeats):
        deviations = result.deviations[number]
        table.write(result.rows, repeat, result.baseline, deviations)
        tally.add(deviations, result.moved[number], result.fell[number], result.flipped[number])


def _decisions(decision: Decision, result: BlockResult) -> list[int]:
    """Return what is decided of the rows of a block as they are, each once; rows that are left out decide nothing."""
    known = result.all_outputs[np.isfinite(result.all_outputs).all(axis=1)]
    return [int(found) for found in np.unique(decision.decide(known))]


def _described(job: Job, tally: Tally, marks: Marks, known: KnownBlocks, parts: Sequence[Path]) -> pd.DataFrame:
    columns = column_names(job.perturbations, job.measure.baseline_names, has_clusters=job.clusters is not None)
    n_deviations = tally.n_rows * len(job.perturbations)
    if n_deviations >= _MANY_DEVIATIONS:
        logger.info("all rows are predicted: the statistics of %s deviations follow", f"{n_deviations:,}")
    with TableReader(*parts) as reader:
        return summarize(
            job.perturbations,
            tally,
            lambda number: reader.column(columns[number]),
            job.inputs.n_rows,
            certainty=Certainties(job, reader, columns, tally, marks=marks, known=known),
            decides=job.decision is not None,
        )


def _is_enough(found: Findings, precision: Precision, widest_before: float) -> bool:
    """Tell whether no more repeats are to be made, and say why."""
    n, widest = found.repeats, found.widest
    if math.isnan(widest):
        logger.warning("%d repeats: there is no median whose interval could be narrowed", n)
        return True
    if widest <= precision.width:
        logger.info("%d repeats: the intervals of the top %d are at most %.3g wide", n, TOP, widest)
        return True
    if n >= precision.most:
        logger.warning(
            "%d repeats, the most allowed: intervals are up to %.3g wide, not %.3g", n, widest, precision.width
        )
        return True
    if n >= _ENOUGH_REPEATS and widest > (1 - _LEAST_GAIN) * widest_before:
        logger.warning(
            "%d repeats: intervals are up to %.3g wide, not %.3g, and more repeats hardly narrow them; more rows would",
            n, widest, precision.width,
        )  # fmt: skip
        return True
    return False
