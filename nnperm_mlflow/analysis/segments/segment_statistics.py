"""The statistics of each segment, and how sure they are; the deviation table is read once more for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.row_marks import Marks
from nnperm_mlflow.analysis.engine.table import TableReader
from nnperm_mlflow.analysis.segments.segment_differences import differences_of
from nnperm_mlflow.analysis.segments.segment_tables import COLUMNS, DIFFERENCE_COLUMNS, SegmentTables
from nnperm_mlflow.analysis.segments.segmentation import Segmentation
from nnperm_mlflow.analysis.uncertainty.audited_rows import dependence_of, span_of
from nnperm_mlflow.analysis.uncertainty.error_moments import UNKNOWN
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS, Errors, ends_from
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks
from nnperm_mlflow.analysis.uncertainty.parts import PartSums, parted
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
    all rows (see `uncertainty.parts`).

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
    differences: list[dict[str, np.ndarray]] = []
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
            of_column, of_means = part.told(column)
            told = [{"perturbation": perturbation.name, **row} for row in of_column]
            segments += told
            differences.append(differences_of(of_means, told))
    pairs = {name: np.concatenate([each[name] for each in differences]) for name in DIFFERENCE_COLUMNS}
    return SegmentTables(pd.DataFrame(segments, columns=list(COLUMNS)), pd.DataFrame(pairs))


@dataclass(frozen=True)
class _Parts:
    """The segments of a column, in the order of the table.

    Attributes
    ----------
    column : str
    names : tuple of str
    numbers : ndarray of shape (n_rows,), int64
        For each row the number of its segment.
    sorted : ndarray of shape (n_rows,), int
        All rows, those of the first segment first.
    ends : ndarray of shape (n_segments + 1,), int
        Where among these the segments begin, and the last one ends.
    """

    column: str
    names: tuple[str, ...]
    numbers: np.ndarray
    sorted: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, segmentation: Segmentation, order: np.ndarray) -> _Parts:
        """Put the rows of a segmentation into the order of the table."""
        numbers = segmentation.numbers[order]
        by_segment = np.argsort(numbers, kind="stable")
        ends = np.searchsorted(numbers[by_segment], np.arange(len(segmentation.names) + 1))
        return cls(segmentation.column, segmentation.names, numbers, by_segment, ends)

    def told(self, column: Column) -> tuple[list[dict[str, Any]], PartSums]:
        """Return what is told of each segment, and what units add to the errors of the means."""
        kept = ~np.isnan(column.deviations)
        errors, of_means = self._errors(column, kept[:, : column.n_known])
        rows = zip(self.names, *self._statistics(column, kept), errors, strict=True)
        return [self._row(name, numbers, median, each) for name, numbers, median, each in rows], of_means

    def _row(self, name: str, numbers: Mapping[str, float], median: float, errors: Errors) -> dict[str, Any]:
        ends = ends_from(errors, numbers) if errors.n_units >= FEWEST_ROWS else {}
        return {
            "column": self.column,
            "segment": name,
            "units": errors.n_units,
            "median": median,
            **numbers,
            **{f"{of}_low": low for of, (low, _) in ends.items()},
            **{f"{of}_high": high for of, (_, high) in ends.items()},
        }

    def _statistics(self, column: Column, kept: np.ndarray) -> tuple[list[dict[str, float]], list[float]]:
        """Return the statistics of each segment, and the medians; NaN where there is none."""
        n_repeats, counts = len(kept), self._sums(kept)
        deviations = np.where(kept, column.deviations, 0)
        with np.errstate(invalid="ignore"):  # of a segment without a prediction nothing is told
            numbers = {
                "changed_share": self._sums(column.moved) / counts,
                "mean": self._sums(deviations) / counts,
                "shift": self._sums(np.where(column.fell, -deviations, deviations)) / counts,
                "flipped_share": self._sums(column.flipped) / counts,
            }
        if not column.has_shift:
            numbers["shift"][:] = np.nan
        if not column.decides:
            numbers["flipped_share"][:] = np.nan
        sizes = np.diff(self.ends)
        numbers = {"rows": sizes, "skipped": n_repeats * sizes - counts.astype(np.int64), **numbers}
        each = [
            dict(zip(numbers, row, strict=True)) for row in zip(*(of.tolist() for of in numbers.values()), strict=True)
        ]
        return each, self._medians(column.deviations, counts)

    def _medians(self, deviations: np.ndarray, counts: np.ndarray) -> list[float]:
        """Return the median of each segment, of which so many deviations are known; NaN where none is."""
        by_segment = deviations[:, self.sorted]
        middle = np.full((2, len(self.names)), np.nan, dtype=np.float32)
        for number, (first, last) in enumerate(pairwise(self.ends)):
            if count := int(counts[number]):
                values = np.sort(by_segment[:, first:last], axis=None)  # NaN comes last
                middle[:, number] = values[(count - 1) // 2], values[count // 2]
        return middle.mean(axis=0).tolist()

    def _errors(self, column: Column, known: np.ndarray) -> tuple[list[Errors], PartSums]:
        """Return how the numbers of each segment err, as its rows among the first and their donors tell."""
        of_rows = parted(column.dependence, self.numbers[: column.n_known], len(self.names), known)
        deviations, fell, flipped = (
            each[:, : column.n_known] for each in (column.deviations, column.fell, column.flipped)
        )
        counts, flips = (self._sums(each) for each in (known, flipped))
        of_means = of_rows.sums(deviations)
        unknown = [UNKNOWN] * len(self.names)
        of_shifts = of_rows.sums(np.where(fell, -deviations, deviations)) if column.has_shift else None
        of_flips = of_rows.sums(flipped) if column.decides else None
        each = zip(
            of_means.moments(),
            unknown if of_shifts is None else of_shifts.moments(),
            unknown if of_flips is None else of_flips.variances(),
            flips / np.maximum(1, counts),
            of_rows.count_units(),
            of_rows.n_used,
            counts,
            strict=True,
        )
        times = column.deviations.shape[1] / column.n_known
        return [
            Errors(
                mean=mean.of_more_rows(times),
                shift=shift.of_more_rows(times),
                flips=flip.of_more_rows(times),
                flipped=float(share),
                n_units=n_units,
                n_rows=n_used * times,
                worst=of_rows.values_of_unit(number) * len(known) * n_used / count if count else math.inf,
                span=column.span,
            )
            for number, (mean, shift, flip, share, n_units, n_used, count) in enumerate(each)
        ], of_means

    def _sums(self, values: np.ndarray) -> np.ndarray:
        """Return sums over the rows of each segment, of an array of shape (n_repeats, n_first_rows)."""
        totals = values.sum(axis=0, dtype=np.float64)
        return np.bincount(self.numbers[: len(totals)], weights=totals, minlength=len(self.names))
