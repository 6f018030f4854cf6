"""Which values an input of the model can hold, and where some are missing."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import DataError
from nnperm_mlflow.inputs._row_sources import row_chunks
from nnperm_mlflow.inputs.bound_inputs import Gap
from nnperm_mlflow.inputs.specs import InputSpec

_MEND = "Mend the data, or leave such rows out of the audit."
_WAY_OUT = (
    "So says its signature, as MLflow infers it of an example that holds nothing else (a single row, say): log the "
    "model again with the signature of real rows, or with float64 for this column; or mend the data."
)
_SHOWN_ROWS = 64  # of those in which something is missing, on which the model is tried out


@dataclass
class Found:
    """Rows in which something was found: how many, the first of them, and what was found in the very first."""

    n_rows: int = 0
    first_rows: list[int] = field(default_factory=list)
    reason: str = ""

    def add(self, positions: np.ndarray, cells: np.ndarray, reason: str) -> None:
        """Take in cells of shape (n_rows, ...), of rows that stand at some positions."""
        rows = positions[cells.reshape(len(cells), -1).any(axis=1)]
        self.take_in(Found(rows.size, np.sort(rows)[:_SHOWN_ROWS].tolist(), reason))

    def take_in(self, other: Found) -> None:
        """Add what was found in other rows."""
        if other.n_rows and (not self.n_rows or other.first_rows[0] < self.first_rows[0]):
            self.reason = other.reason
        self.n_rows += other.n_rows
        self.first_rows = sorted(self.first_rows + other.first_rows)[:_SHOWN_ROWS]


@dataclass
class Looked:
    """What was found in the values of a column or of temporal data, as an input would hold them.

    Attributes
    ----------
    unfit, missing : Found
        Rows with values that the input's type cannot hold, and rows in which something is missing that it can lack.
    n_rows : int
        Rows that were looked at.
    is_column : bool
        Whether there is one value a row.
    """

    unfit: Found = field(default_factory=Found)
    missing: Found = field(default_factory=Found)
    n_rows: int = 0
    is_column: bool = True

    def add(self, array: np.ndarray, spec: InputSpec, positions: np.ndarray | None = None) -> None:
        """Look at some rows.

        Parameters
        ----------
        array : ndarray of shape (n_rows, ...)
        spec : InputSpec
        positions : ndarray of shape (n_rows,), int64, optional
            Where the rows stand in the data; by default they follow those that were looked at before.
        """
        holds_gaps = spec.dtype.kind == "f" or (spec.dtype.kind == "O" and spec.is_column)
        at = np.arange(self.n_rows, self.n_rows + len(array)) if positions is None else positions
        for start, piece in row_chunks(array):
            if _is_sound(piece, spec.dtype):
                continue
            rows = at[start : start + len(piece)]
            absent = _missing(piece)
            reason, bad = _unfit(piece, spec.dtype)
            self.unfit.add(rows, bad & ~absent, reason)
            nothing = "nothing" if piece.dtype.kind == "O" else "NaN"
            (self.missing if holds_gaps else self.unfit).add(rows, absent, nothing)
        self.n_rows += len(array)
        self.is_column = array.ndim == 1

    def take_in(self, other: Looked) -> None:
        """Add what was found in other rows."""
        self.unfit.take_in(other.unfit)
        self.missing.take_in(other.missing)
        self.n_rows += other.n_rows
        self.is_column = other.is_column

    def gaps(self, what: str, spec: InputSpec) -> list[Gap]:
        """Refuse values that an input's type cannot hold, and return a gap where it can and some are missing.

        Parameters
        ----------
        what : str
            How messages call the data.
        spec : InputSpec

        Raises
        ------
        DataError
            If there are such values. Positions are told, values are not.
        """
        missing = self.missing
        unfit = missing if self.is_column and missing.n_rows == self.n_rows else self.unfit
        if unfit.n_rows:
            raise DataError(
                f"{what} holds {unfit.reason} in {unfit.n_rows} of {self.n_rows} rows (first: row "
                f"{unfit.first_rows[0]}), but the model's input is {spec}. "
                f"{_WAY_OUT if _is_inferred(spec) else _MEND}"
            )
        return [Gap(spec.name, what, missing.n_rows, np.array(missing.first_rows))] if missing.n_rows else []


def look_at(array: np.ndarray, spec: InputSpec) -> Looked:
    """Return what is found in all rows of an array, of shape (n_rows, ...), for an input."""
    looked = Looked()
    looked.add(array, spec)
    return looked


def _is_inferred(spec: InputSpec) -> bool:
    """Tell whether an input is one of whole numbers because MLflow saw no others in an example."""
    return spec.is_column and spec.dtype.kind in "iu"


def _is_sound(values: np.ndarray, dtype: np.dtype) -> bool:
    """Tell at a glance, by the least and the largest, that a dtype holds all of some numbers and none is missing."""
    if values.size == 0 or values.dtype.kind not in "iuf" or dtype.kind not in "iuf":
        return False
    if values.dtype.kind == "f" and dtype.kind != "f":
        return False
    ends = np.array([values.min(), values.max()])  # NaN where there is one
    return bool(np.isfinite(ends).all()) and not _unfit(ends, dtype)[1].any()


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
