"""The columns of a summary: which statistics there are, and of which is told how sure they are."""

from __future__ import annotations

QUANTILES = {"median": 0.5, "q05": 0.05, "q25": 0.25, "q75": 0.75, "q95": 0.95}

COMPOSED = ("group", "window")
"""Kinds of features that are made of others, or a part of one."""

SURE_QUANTILES = ("median", "q95")
"""Quantiles of which is told how sure they are."""

SURE = (*SURE_QUANTILES, "changed_median", "mean", "shift", "flipped_share")
"""Statistics of which is told how sure they are, in the columns `<statistic>_low` and `<statistic>_high`."""

DONORS = "donors"
"""How many other rows could give a row their value, in a summary with conditional shuffles; of the others NaN."""

OUT_OF_DATA = "out_of_data"
"""How well disturbed rows are told from the data, with `_low` and `_high`, in a summary where that is asked for."""

SUMMARY_COLUMNS = (
    "perturbation", "feature", "kind", "way", "value", "rows", "skipped", "held", "median", "median_low", "median_high",
    "median_spread", "mean", "mean_low", "mean_high", "shift", "shift_low", "shift_high", "q05", "q25", "q75", "q95",
    "q95_low", "q95_high", "max", "changed_share", "changed_median", "changed_median_low", "changed_median_high",
    "flipped_share", "flipped_share_low", "flipped_share_high", "decisions_vary",
)  # fmt: skip

NUMBERS = tuple(
    column
    for column in SUMMARY_COLUMNS
    if column not in ("perturbation", "feature", "kind", "way", "value", "decisions_vary")
)
"""Those of them that are numbers."""
