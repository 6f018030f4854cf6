"""Where a summary tells between which numbers a statistic lies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.uncertainty.intervals import REACH


def interval_ends(summary: pd.DataFrame, statistic: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the lower and upper ends of a statistic's intervals, each of shape (n_perturbations,).

    Parameters
    ----------
    summary : DataFrame
        See `analysis.statistics.summary.summarize`.
    statistic : str
        A column with `<statistic>_low` and `_high` or `_error` (a standard error) beside it; one without is its own
        interval.
    """
    if f"{statistic}_low" in summary:
        return summary[f"{statistic}_low"].to_numpy(float), summary[f"{statistic}_high"].to_numpy(float)
    values = summary[statistic].to_numpy(float)
    reach = REACH * summary[f"{statistic}_error"].to_numpy(float) if f"{statistic}_error" in summary else 0.0
    return values - reach, values + reach
