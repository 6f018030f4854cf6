"""Whether rows stand for themselves, as all intervals take them to: what the data tell of it."""

from __future__ import annotations

import logging
import math

import numpy as np
import pandas as pd

from nnperm_mlflow.inputs.dataset import Dataset

logger = logging.getLogger(__name__)

_ROWS = 20_000  # that are looked at
_MANY = 0.1  # share of rows that are copies of others
_CHANCE = 100  # times as many different rows as there are must be possible for copies to mean something

_REMEDY = (
    "If rows belong together, as months of one client, intervals take them for more than they are: name the column "
    "that says which, data: {cluster: ...}"
)


def point_out_dependence(dataset: Dataset) -> None:
    """Warn where no clusters are named, but row ids repeat or many rows are copies of others.

    Parameters
    ----------
    dataset : Dataset
    """
    if dataset.cluster is not None:
        return
    if dataset.row_ids is not None and (repeated := int(pd.Series(dataset.row_ids).duplicated().sum())):
        logger.warning("'%s' repeats in %d of %d rows. %s", dataset.row_id, repeated, dataset.n_rows, _REMEDY)
        return
    share = share_of_copies(dataset)
    if share >= _MANY:
        logger.warning("%.0f %% of the rows are copies of others. %s", 100 * share, _REMEDY)


def share_of_copies(dataset: Dataset) -> float:
    """Return the share of rows that are the same as an earlier one, among the first 20,000.

    0 where the columns hold so few values that rows must repeat by chance. Row ids are not looked at.
    """
    n_rows = min(_ROWS, dataset.n_rows)
    columns = {name: values[:n_rows] for name, values in dataset.columns.items() if name != dataset.row_id}
    arrays = [series.array[:n_rows] for series in dataset.temporal.values() if series.array is not None]
    if not arrays:
        possible = sum(math.log(max(1, pd.Series(values).nunique(dropna=False))) for values in columns.values())
        if possible < math.log(_CHANCE * n_rows):
            return 0.0
    parts = [pd.util.hash_pandas_object(pd.DataFrame(columns), index=False).to_numpy()] if columns else []
    parts += [np.array([hash(row.tobytes()) for row in np.ascontiguousarray(array)]) for array in arrays]
    return float(pd.DataFrame(dict(enumerate(parts))).duplicated().mean())
