"""What an audit tells of segments: its tables and their columns."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

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


def meant(table: pd.DataFrame, segment: str) -> pd.DataFrame:
    """Return the rows of one of these tables that are of a segment, of all segments of a column, or of `ANY`."""
    return table[(table["column"] == segment) | (table["segment"] == segment) | (segment == ANY)]
