"""When a temporal channel matters: the windows of an audit, cut out of its summary."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from nnperm_mlflow.analysis.perturbation.kinds import Perturbation

WINDOW_COLUMNS = ("channel", "window", "first", "last", "median", "mean")


def window_table(perturbations: Sequence[Perturbation], summary: pd.DataFrame) -> pd.DataFrame | None:
    """Return the windows of all channels, or None where there are none.

    Parameters
    ----------
    perturbations : sequence of Perturbation
    summary : DataFrame
        A row for each of them, in any order. Not modified.

    Returns
    -------
    DataFrame or None
        A row for each channel and window with the columns `WINDOW_COLUMNS`; `first` and `last` are steps, from 1.
    """
    found = summary.set_index("perturbation")[["median", "mean"]]
    rows = []
    for perturbation in perturbations:
        feature = perturbation.feature
        if feature.kind == "window" and feature.steps is not None:
            (channel,), (first, last) = feature.members, feature.steps
            label = feature.name.removeprefix(channel).strip()
            rows.append((channel, label, first, last, *found.loc[perturbation.name]))
    return pd.DataFrame(rows, columns=list(WINDOW_COLUMNS)) if rows else None
