"""Whether a summary is what its deviation table says: medians, means and largest deviations computed once more."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from nnperm_mlflow.analysis.table import TableReader, columns_by_perturbation
from nnperm_mlflow.errors import EvidenceError, name_list

_CLOSE = 1e-6  # relative: far more than rounding, far less than anybody would forge


def confirm_summary(table: Path, summary: pd.DataFrame) -> None:
    """Refuse a summary whose numbers are not those of its table.

    Parameters
    ----------
    table : Path
        The deviation table.
    summary : DataFrame
        A row per perturbation, see `statistics.summarize`.

    Raises
    ------
    EvidenceError
        If the two name other perturbations, or a median, mean or largest deviation is another one.
    """
    columns = columns_by_perturbation(pq.read_schema(table))
    told = summary.set_index("perturbation")
    if set(columns) != set(told.index):
        apart = sorted(set(columns) ^ set(told.index))
        raise EvidenceError(f"table and summary are not of one audit: only one of them has {name_list(apart)}.")
    wrong = []
    with TableReader(table) as reader:
        for name, column in columns.items():
            deviations = np.concatenate([*reader.column(column), np.empty(0, np.float32)]).astype(np.float64)
            found = _statistics(deviations[~np.isnan(deviations)])
            if not all(_agree(value, float(told.loc[name, statistic])) for statistic, value in found.items()):
                wrong.append(name)
    if wrong:
        raise EvidenceError(
            f"the summary is not what the deviation table says of {name_list(wrong)}. Audit the version again."
        )


def _statistics(deviations: np.ndarray) -> dict[str, float]:
    if not len(deviations):
        return dict.fromkeys(("median", "mean", "max"), math.nan)
    return {
        "median": float(np.median(deviations)),
        "mean": float(deviations.mean()),
        "max": float(deviations.max()),
    }


def _agree(found: float, told: float) -> bool:
    return (math.isnan(found) and math.isnan(told)) or math.isclose(found, told, rel_tol=_CLOSE, abs_tol=1e-12)
