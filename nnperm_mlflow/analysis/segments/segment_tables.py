"""What an audit tells of segments: its tables and their columns."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.uncertainty.families import family_ends, family_width
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS

SURE = ("mean", "shift", "flipped_share")
"""Statistics of a segment that have an interval, `<statistic>_low` to `_high`, where it is not below the floor."""

COLUMNS = (
    "column", "segment", "perturbation", "rows", "units", "skipped", "changed_share", "median",
    *(f"{name}{end}" for name in SURE for end in ("", "_low", "_high")),
)  # fmt: skip
"""Of the table of segments. `units` are rows, or clusters, that intervals are found from."""

DIFFERENCE_COLUMNS = (
    "column", "segment", "other", "perturbation", "units", "difference", "difference_low", "difference_high",
)  # fmt: skip
"""Of the table of differences: the mean of a segment less that of another one of its column."""

SCORE_COLUMNS = ("column", "segment", "score", "rows", "units", "value", "low", "high", "not_judged")
"""Of the table of scores. `units` are those that the interval is found from: of the class that has fewest where each
class counts alike; `not_judged` says in words why there is no interval."""

SCORE_DIFFERENCE_COLUMNS = (
    "column", "segment", "other", "score", "units", "difference", "difference_low", "difference_high",
)  # fmt: skip
"""Of the table of differences: the score of a segment less that of another one of its column."""

ANY = "any"
"""Means every segment of every column."""


@dataclass(frozen=True)
class SegmentScores:
    """What scorers say of the model on each segment.

    Attributes
    ----------
    scores : DataFrame
        A row for each segment of each column and each score, with `SCORE_COLUMNS`.
    differences : DataFrame
        A row for each two segments of a column that have an interval, and each score, with `SCORE_DIFFERENCE_COLUMNS`.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame


@dataclass(frozen=True)
class LargestDifference:
    """Two segments that differ most in something.

    Attributes
    ----------
    column : str
    what : str
        The perturbation whose means differ, or the score.
    of_score : bool
        Whether it is a score.
    more, less : str
        The segments, first the one in which it is larger.
    value, low, high : float
        By how much, with the interval that is right of all differences of the column at once.
    among : int
        How many these are.
    """

    column: str
    what: str
    of_score: bool
    more: str
    less: str
    value: float
    low: float
    high: float
    among: int

    @property
    def is_sure(self) -> bool:
        """Whether they surely differ."""
        return self.low > 0

    @property
    def number(self) -> str:
        """By how much, with its interval."""
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True)
class SegmentTables:
    """What an audit tells of segments.

    Attributes
    ----------
    segments : DataFrame
        A row for each segment of each column under each perturbation, with `COLUMNS`.
    differences : DataFrame
        A row for each two segments of a column, none below the floor, under each perturbation, with
        `DIFFERENCE_COLUMNS`.
    scores : SegmentScores or None
        Of the model as it is, where scores are told.
    """

    segments: pd.DataFrame
    differences: pd.DataFrame
    scores: SegmentScores | None = None

    @cached_property
    def largest_differences(self) -> list[LargestDifference]:
        """For each column, and for each score in it, the two segments that differ most.

        Those that surely lie farthest apart: the largest difference itself is mostly one of two small segments.
        """
        found = list(_of_columns(self.differences, "perturbation"))
        if self.scores is not None:
            for _, part in self.scores.differences.groupby("score", sort=False):
                found += _of_columns(part, "score")
        columns = list(self.segments["column"].unique())
        return sorted(found, key=lambda each: columns.index(each.column))

    @property
    def too_small(self) -> list[str]:
        """The segments that are below the floor: counted, and not judged."""
        rows = self.segments.drop_duplicates("segment")
        return [str(name) for name in rows.loc[rows["units"] < FEWEST_ROWS, "segment"]]

    def renamed(self, names: Mapping[str, str]) -> SegmentTables:
        """Return the tables with other names for some perturbations."""
        tables = {
            key: table.assign(perturbation=table["perturbation"].replace(dict(names)))
            for key, table in (("segments", self.segments), ("differences", self.differences))
        }
        return replace(self, **tables)


def meant(table: pd.DataFrame, segment: str) -> pd.DataFrame:
    """Return the rows of one of these tables that are of a segment, of all segments of a column, or of `ANY`."""
    return table[(table["column"] == segment) | (table["segment"] == segment) | (segment == ANY)]


def _of_columns(differences: pd.DataFrame, what: str) -> Iterator[LargestDifference]:
    for column, rows in differences.groupby("column", sort=False):
        farthest = rows.iloc[int(_least(rows).argmax())].to_dict()
        yield _turned(farthest, str(column), what, len(rows))


def _least(rows: pd.DataFrame) -> np.ndarray:
    """Return how far each two segments of a column lie apart at least, as `_turned` tells it, of shape (n_rows,)."""
    difference = rows["difference"].to_numpy()
    low = np.where(difference < 0, -rows["difference_high"], rows["difference_low"])
    units, place = np.unique(rows["units"].to_numpy(), return_inverse=True)
    wider = np.array([family_width(len(rows), int(each)) for each in units])[place]
    least = np.abs(difference) - wider * (np.abs(difference) - low)
    return np.where(np.isnan(least), -np.inf, least)


def _turned(row: Mapping[Hashable, Any], column: str, what: str, among: int) -> LargestDifference:
    """Return a difference with the larger number first."""
    difference = row["difference"]
    low, high = family_ends(difference, row["difference_low"], row["difference_high"], among, n_units=row["units"])
    segments = (row["segment"], row["other"])
    if difference < 0:
        difference, low, high, segments = -difference, -high, -low, segments[::-1]
    return LargestDifference(column, row[what], what == "score", *segments, difference, low, high, among)
