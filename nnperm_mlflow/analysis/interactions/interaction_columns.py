"""What is told of a pair of features, by the names that its table has."""

from __future__ import annotations

INTERACTION_COLUMNS = (
    "first", "second", "mean", "mean_low", "mean_high", "share", "share_low", "share_high", "interacts", "h", "scale",
    "ranked_by", "rows", "skipped",
)  # fmt: skip
