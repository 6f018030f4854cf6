"""What an audit tells of segments: the columns of its two tables."""

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
    """

    segments: pd.DataFrame
    differences: pd.DataFrame
