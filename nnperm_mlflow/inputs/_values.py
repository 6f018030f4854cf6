"""Which values an input of the model can hold, and where some are missing."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import DataError
from nnperm_mlflow.inputs.bound_inputs import Gap
from nnperm_mlflow.inputs.dataset import row_chunks
from nnperm_mlflow.inputs.specs import InputSpec

_MEND = "Mend the data, or leave such rows out of the audit."
_WAY_OUT = (
    "So says its signature, as MLflow infers it of an example that holds nothing else (a single row, say): log the "
    "model again with the signature of real rows, or with float64 for this column; or mend the data."
)
_SHOWN_ROWS = 64  # of those in which something is missing, on which the model is tried out


def check_values(what: str, array: np.ndarray, spec: InputSpec) -> list[Gap]:
    """Refuse values that an input's type cannot hold, and return a gap where it can and some are missing.

    Parameters
    ----------
    what : str
        How messages call the data.
    array : ndarray of shape (n_rows, ...)
    spec : InputSpec

    Raises
    ------
    DataError
        If there are such values. Positions are told, values are not.
    """
    holds_gaps = spec.dtype.kind == "f" or (spec.dtype.kind == "O" and spec.is_column)
    unfit, missing = _Found(), _Found()
    for start, piece in row_chunks(array):
        absent = _missing(piece)
        reason, bad = _unfit(piece, spec.dtype)
        unfit.add(start, bad & ~absent, reason)
        (missing if holds_gaps else unfit).add(start, absent, "nothing" if piece.dtype.kind == "O" else "NaN")
    if array.ndim == 1 and missing.n_rows == len(array):
        unfit = missing
    if unfit.n_rows:
        raise DataError(
            f"{what} holds {unfit.reason} in {unfit.n_rows} of {len(array)} rows (first: row {unfit.first_rows[0]}), "
            f"but the model's input is {spec}. {_WAY_OUT if _is_inferred(spec) else _MEND}"
        )
    return [Gap(spec.name, what, missing.n_rows, np.array(missing.first_rows))] if missing.n_rows else []


def _is_inferred(spec: InputSpec) -> bool:
    """Tell whether an input is one of whole numbers because MLflow saw no others in an example."""
    return spec.is_column and spec.dtype.kind in "iu"


class _Found:
    """Rows in which something was found: how many, the first of them, and what was found there."""

    def __init__(self) -> None:
        self.n_rows = 0
        self.first_rows: list[int] = []
        self.reason = ""

    def add(self, start: int, cells: np.ndarray, reason: str) -> None:
        """Take in cells of shape (n_rows, ...), of which the first row has the number `start`."""
        rows = np.flatnonzero(cells.reshape(len(cells), -1).any(axis=1))
        if rows.size and not self.n_rows:
            self.reason = reason
        self.n_rows += rows.size
        self.first_rows += (start + rows[: _SHOWN_ROWS - len(self.first_rows)]).tolist()


def _missing(values: np.ndarray) -> np.ndarray:
    """Tell where nothing is."""
    if values.dtype.kind == "f":
        return np.isnan(values)
    return np.asarray(pd.isna(values)) if values.dtype.kind == "O" else np.zeros(values.shape, dtype=bool)


def _unfit(values: np.ndarray, dtype: np.dtype) -> tuple[str, np.ndarray]:
    """Return what is wrong with values for a dtype, and where; missing ones count as right or wrong."""
    if values.dtype.kind == "M":
        return "dates", np.ones(values.shape, dtype=bool)
    if values.dtype.kind == "O":
        held = next((value for value in values.ravel() if not pd.isna(value)), None)
        what = "dates" if isinstance(held, (datetime.date, datetime.time)) else "text"
        return what, np.full(values.shape, dtype.kind != "O")
    if values.dtype.kind == "f" and np.isinf(values).any():
        return "infinity", np.isinf(values)
    if dtype.kind == "O" or values.dtype.kind == "b":
        return "", np.zeros(values.shape, dtype=bool)
    return _unfit_numbers(values, dtype)


def _unfit_numbers(values: np.ndarray, dtype: np.dtype) -> tuple[str, np.ndarray]:
    if dtype.kind == "b":
        return "other than yes and no", (values != 0) & (values != 1)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        with np.errstate(over="ignore"):  # a half float cannot hold these limits
            above = values >= limits.max + 1 if values.dtype.kind == "f" else values > limits.max
            return f"no {dtype} codes", (values != np.trunc(values)) | (values < limits.min) | above
    with np.errstate(over="ignore"):
        return f"numbers beyond {dtype}", np.isinf(values.astype(dtype))
