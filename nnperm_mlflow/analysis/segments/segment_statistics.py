"""The statistics of each segment, and how sure they are; the deviation table is read once more for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.row_marks import Marks
from nnperm_mlflow.analysis.engine.table import TableReader
from nnperm_mlflow.analysis.segments.segment_differences import differences_of
from nnperm_mlflow.analysis.segments.segment_tables import COLUMNS, DIFFERENCE_COLUMNS, SURE, SegmentTables
from nnperm_mlflow.analysis.segments.segmentation import Segmentation
from nnperm_mlflow.analysis.uncertainty.audited_rows import dependence_of, span_of
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS, Sample, ends_of
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks
from nnperm_mlflow.analysis.uncertainty.variance import KnownDependence


@dataclass(frozen=True)
class Column:
    """What came of all rows under one perturbation, in the order of the table.

    Attributes
    ----------
    deviations : ndarray of shape (n_repeats, n_rows), float32
        NaN where a row is left out.
    moved, fell, flipped : ndarray of shape (n_repeats, n_rows), bool
        Whether the feature's value changed, the prediction fell, the decision is another one.
    dependence : KnownDependence
        Which of the first rows have to do with each other, those on which variances are found.
    n_known : int
        How many these are.
    span : float
        How far the predictions of all rows as they are lie apart.
    has_shift, decides : bool
        Whether deviations have a direction, and decisions can flip.
    """

    deviations: np.ndarray
    moved: np.ndarray
    fell: np.ndarray
    flipped: np.ndarray
    dependence: KnownDependence
    n_known: int
    span: float
    has_shift: bool
    decides: bool


def describe_segments(
    job: Job,
    table: TableReader,
    columns: Sequence[str],
    segmentations: Sequence[Segmentation],
    *,
    marks: Marks,
    known: KnownBlocks,
) -> SegmentTables:
    """Tell of each segment under each perturbation what became of its rows.

    A mean over the rows of a segment errs by what these add as receivers and by what their donors add, which come from
    all rows (see `variance.KnownDependence.among`).

    Parameters
    ----------
    job : Job
        With all repeats that the table holds.
    table : TableReader
    columns : sequence of str
        The table's column for each perturbation.
    segmentations : sequence of Segmentation
    marks : Marks
        Of all rows.
    known : KnownBlocks
        The shuffle blocks on which variances are found.
    """
    order = np.concatenate([block.rows for block in job.deal.blocks()])
    parts = [_Parts.of(each, order) for each in segmentations]
    span = span_of(job.measure, table)
    segments: list[dict[str, object]] = []
    differences: list[tuple[object, ...]] = []
    for number, perturbation in enumerate(job.perturbations):
        deviations = np.stack([np.concatenate(list(table.repeat(columns[number], r))) for r in range(job.repeats)])
        column = Column(
            deviations,
            *marks.of(number, len(order)),
            dependence_of(job, known, number),
            known.n_rows,
            span,
            has_shift=job.measure.distance is None,
            decides=job.decision is not None,
        )
        for part in parts:
            told = [{"perturbation": perturbation.name, **row} for row in part.told(column)]
            segments += told
            differences += differences_of(column.deviations, column.dependence, known.n_rows, part.numbers, told)
    return SegmentTables(
        pd.DataFrame(segments, columns=list(COLUMNS)), pd.DataFrame(differences, columns=list(DIFFERENCE_COLUMNS))
    )


@dataclass(frozen=True)
class _Parts:
    """The segments of a column, in the order of the table.

    Attributes
    ----------
    column : str
    names : tuple of str
    numbers : ndarray of shape (n_rows,), int64
        For each row the number of its segment.
    positions : tuple of ndarray of int
        For each segment its rows, ascending.
    """

    column: str
    names: tuple[str, ...]
    numbers: np.ndarray
    positions: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, segmentation: Segmentation, order: np.ndarray) -> _Parts:
        """Put the rows of a segmentation into the order of the table."""
        numbers = segmentation.numbers[order]
        positions = tuple(np.flatnonzero(numbers == number) for number in range(len(segmentation.names)))
        return cls(segmentation.column, segmentation.names, numbers, positions)

    def told(self, column: Column) -> Iterator[dict[str, object]]:
        """Yield what is told of each segment."""
        for name, rows in zip(self.names, self.positions, strict=True):
            yield {"column": self.column, "segment": name, **_statistics(column, rows)}


def _statistics(column: Column, rows: np.ndarray) -> dict[str, float]:
    """Return the statistics of some rows, with intervals where there are enough of them."""
    deviations = column.deviations[:, rows]
    kept = ~np.isnan(deviations)
    values = deviations[kept]
    found: dict[str, float] = {
        "rows": len(rows),
        "units": 0,
        "skipped": kept.size - len(values),
        **dict.fromkeys(("changed_share", "median", *SURE), math.nan),
    }
    if not len(values):
        return found
    n_kept = len(values)
    found["changed_share"] = np.count_nonzero(column.moved[:, rows]) / n_kept
    found["median"] = float(np.median(values))
    found["mean"] = float(values.mean(dtype=np.float64))
    if column.has_shift:
        found["shift"] = float(np.where(column.fell[:, rows][kept], -values, values).mean(dtype=np.float64))
    if column.decides:
        found["flipped_share"] = np.count_nonzero(column.flipped[:, rows]) / n_kept
    sample = sample_of(column, rows)
    found["units"] = sample.n_units
    if sample.n_units < FEWEST_ROWS:
        return found
    ends = ends_of(sample, found)
    found |= {f"{name}_low": low for name, (low, _) in ends.items()}
    return found | {f"{name}_high": high for name, (_, high) in ends.items()}


def sample_of(column: Column, rows: np.ndarray) -> Sample:
    """Return what is known of some rows and their donors, of which no value is known that are not among these."""
    known = rows[: np.searchsorted(rows, column.n_known)]
    used, dependence = column.dependence.among(known)
    others = np.ones(len(used), dtype=bool)
    others[np.searchsorted(used, known)] = False
    deviations = column.deviations[:, used]
    deviations[:, others] = np.nan
    moved, fell, flipped = (mark[:, used] & ~others for mark in (column.moved, column.fell, column.flipped))
    n_rows = round(len(used) * column.deviations.shape[1] / column.n_known)
    return Sample(deviations, moved, fell, flipped, dependence, n_rows, column.span)
