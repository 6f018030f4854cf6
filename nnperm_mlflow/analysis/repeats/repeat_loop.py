"""All rows disturbed and predicted, repeat after repeat, until the intervals that matter are sure enough."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.block_result import BlockResult
from nnperm_mlflow.analysis.engine.job import Job, most_repeats
from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.analysis.engine.kept_predictions import Predictions
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.engine.progress import Progress, reporting
from nnperm_mlflow.analysis.engine.row_marks import Marks
from nnperm_mlflow.analysis.engine.table import TableReader, TableWriter, column_names, join_tables
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.repeats.stopping_rule import Precision, named
from nnperm_mlflow.analysis.segments.segment_statistics import describe_segments
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.segments.segmentation import Segmentation
from nnperm_mlflow.analysis.statistics.order import MEAN, TOP, in_words
from nnperm_mlflow.analysis.statistics.summary import summarize
from nnperm_mlflow.analysis.statistics.summary_columns import SUMMARY_COLUMNS
from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.analysis.uncertainty.audited_rows import known_blocks, span_of
from nnperm_mlflow.analysis.uncertainty.certainty import Certainties, TableValues
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks
from nnperm_mlflow.basics.errors import name_list

logger = logging.getLogger(__name__)

_FIRST_REPEATS = 2  # with fewer there is no spread of medians
_ENOUGH_REPEATS = 8
_MANY_DEVIATIONS = 10_000_000  # whose statistics take more than a second
_LEAST_GAIN = 0.02  # by which half as many repeats again must narrow an interval to be worth their time


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
    order_by: str = MEAN,
    segmentations: Sequence[Segmentation] = (),
    scored: Callable[[Findings], Findings] | None = None,
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
    order_by : str
        The statistic that leads.
    segmentations : sequence of Segmentation
        What parts the rows into segments, of each of which all is told by itself.
    scored : callable, optional
        Adds drops in score, where these tell when there are enough repeats.

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
    known = known_blocks(job)
    marks = Marks(table.parent, job.inputs.n_rows if segmentations else known.n_rows)
    predictions = Predictions(table.parent) if job.keeps_predictions else None
    now = job if precision is None else replace(job, repeats=min(_FIRST_REPEATS, precision.most))
    parts: list[Path] = []
    before: pd.DataFrame | None = None
    try:
        while True:
            parts.append(table.with_name(f"{table.name}.{len(parts)}"))
            names, repeats = job.measure.baseline_names, range(now.first_repeat, now.first_repeat + now.repeats)
            with TableWriter(
                parts[-1],
                job.perturbations,
                names,
                row_ids,
                told,
                repeats=repeats,
                clusters=job.clusters,
                positions=None if job.sample is None else job.sample.rows,
                audited={each: job.rows_of(each) for each in job.stopped},
            ) as writer:
                for result in reporting(run_blocks(now, block_rows, journal), job.inputs.n_rows, progress):
                    add_result(result, repeats, tally, writer)
                    if job.decision is not None:
                        tally.decided.update(result.decided_by(job.decision))
                    marks.add(result, repeats)
                    if predictions is not None:
                        predictions.add(result, job.inputs.n_rows, repeats)
            done = replace(job, repeats=repeats.stop)
            summary = _described(done, tally, marks, known, parts, order_by=order_by)
            watched = precision.watched if precision else frozenset()
            found = Findings(summary, tally, repeats.stop, predictions, order_by, watched)
            if precision is not None and precision.rests_on_segments:
                found = replace(found, segments=_segments(done, marks, known, parts, segmentations))
            if scored is not None:
                found = scored(found)
            if precision is None or _is_enough(found, precision, before):
                break
            before = found.widths
            more = min(max(1, repeats.stop // 2), precision.most - repeats.stop, most_repeats(job, block_rows))
            now = now.continued(more)
        if segmentations and found.segments is None:
            found = replace(found, segments=_segments(done, marks, known, parts, segmentations))
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


def _described(
    job: Job, tally: Tally, marks: Marks, known: KnownBlocks, parts: Sequence[Path], *, order_by: str
) -> pd.DataFrame:
    columns = _columns(job)
    n_deviations = tally.n_rows * len(job.perturbations)
    if n_deviations >= _MANY_DEVIATIONS:
        logger.info("all rows are predicted: the statistics of %s deviations follow", f"{n_deviations:,}")
    with TableReader(*parts) as reader:
        return summarize(
            job.perturbations,
            tally,
            lambda number: reader.column(columns[number]),
            job.inputs.n_rows,
            certainty=Certainties(
                job,
                tally,
                known,
                values=TableValues(reader, columns, known.n_rows, job.repeats),
                marks=marks.of,
                span=span_of(job.measure, reader),
            ),
            decides=job.decision is not None,
            order_by=order_by if order_by in SUMMARY_COLUMNS else MEAN,  # drops in score come later
            unaudited={each: job.repeats * (job.inputs.n_rows - job.rows_of(each)) for each in job.stopped},
        )


def _segments(
    job: Job, marks: Marks, known: KnownBlocks, parts: Sequence[Path], segmentations: Sequence[Segmentation]
) -> SegmentTables:
    with TableReader(*parts) as reader:
        return describe_segments(job, reader, _columns(job), segmentations, marks=marks, known=known)


def _columns(job: Job) -> list[str]:
    """Return the table's column for each perturbation."""
    return column_names(job.perturbations, job.measure.baseline_names, has_clusters=job.clusters is not None)


def _is_enough(found: Findings, precision: Precision, before: pd.DataFrame | None) -> bool:
    """Tell whether no more repeats are to be made, and say why; `before` are the widths after the last pass."""
    n, widths = found.repeats, found.widths
    wide = widths[widths["width"] > precision.width]
    if widths.empty:
        logger.warning("%d repeats: there is no interval that could be narrowed", n)
    elif wide.empty:
        more = " and of what checks rest on" if precision.watched else ""
        leads, widest = in_words(found.order_by), found.widest
        logger.info("%d repeats: the intervals of the top %d (%s)%s are at most %.3g wide", n, TOP, leads, more, widest)
    elif n >= precision.most:
        _tell_wide(f"{n} repeats, the most allowed", wide, precision, "")
    elif not _still_narrows(wide, before, n):
        _tell_wide(f"{n} repeats", wide, precision, ", and more repeats hardly narrow them; more rows would")
    else:
        return False
    return True


def _still_narrows(wide: pd.DataFrame, before: pd.DataFrame | None, n_repeats: int) -> bool:
    """Tell whether another pass may bring any of these intervals nearer to what was asked for."""
    at_random = wide[wide["at_random"]]
    if at_random.empty or before is None or n_repeats < _ENOUGH_REPEATS:
        return not at_random.empty
    both = at_random.merge(before, on=["perturbation", "statistic"], how="left", suffixes=("", "_before"))
    gained = both["width"] <= (1 - _LEAST_GAIN) * both["width_before"]
    return bool((gained | both["width_before"].isna()).any())


def _tell_wide(when: str, wide: pd.DataFrame, precision: Precision, why: str) -> None:
    """Warn of intervals that stay wider than asked, with what they are of."""
    widest, names = float(wide["width"].max()), name_list(named(wide))
    logger.warning("%s: intervals are up to %.3g wide, not %.3g%s: %s", when, widest, precision.width, why, names)
