"""What is told of a pair of features, and of a group beside its members, by the names that its table has."""

from __future__ import annotations

INTERACTION_COLUMNS = (
    "first", "second", "mean", "mean_low", "mean_high", "share", "share_low", "share_high", "interacts", "h", "scale",
    "ranked_by", "rows", "skipped",
)  # fmt: skip

GROUP_COLUMNS = (
    "group", "way", "members", "total", "total_low", "total_high", "apart", "apart_low", "apart_high", "beyond",
    "beyond_low", "beyond_high", "rows", "skipped",
)  # fmt: skip
