"""Missing values: taken where the model takes them, else refused, or rows that hold them are left out."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import DataError, name_list
from nnperm_mlflow.inputs.bound_inputs import BoundInputs, Gap
from nnperm_mlflow.inputs.slots import Change, in_all_rows
from nnperm_mlflow.models.predictor import Predictor

logger = logging.getLogger(__name__)


def find_void_inputs(predictor: Predictor, inputs: BoundInputs, model: str, skips: bool) -> frozenset[str]:
    """Return the inputs whose missing values the model does not take.

    Parameters
    ----------
    predictor : Predictor
    inputs : BoundInputs
    model : str
        For messages.
    skips : bool
        Whether rows that hold such values may be left out.

    Returns
    -------
    frozenset of str
        Names of inputs; empty where nothing is missing, or the model takes it.

    Raises
    ------
    DataError
        If the model does not take what is missing, and rows may not be left out.
    """
    void = [gap for gap in inputs.gaps if not predictor.takes(inputs.read(_rows_of(gap, inputs)))]
    for gap in void:
        if not skips:
            raise DataError(
                f"{gap.what} holds NaN in {gap.n_rows} of {inputs.n_rows} rows (first: row {gap.first_rows[0]}), for "
                f"which {model} gives no finite prediction. Mend the data, or set 'analysis: {{missing: skip}}' to "
                "leave such rows out."
            )
    if void:
        logger.warning(
            "%s gives no finite prediction where something is missing in %s: such rows are left out",
            model,
            name_list([gap.what for gap in void]),
        )
    return frozenset(gap.input for gap in void)


def _rows_of(gap: Gap, inputs: BoundInputs) -> np.ndarray:
    """Return rows in which something is missing there and, as far as known, nowhere else."""
    elsewhere = [other.first_rows for other in inputs.gaps if other is not gap]
    alone = np.setdiff1d(gap.first_rows, np.concatenate([gap.first_rows[:0], *elsewhere]))
    return alone if len(alone) else gap.first_rows


def count_missing(block: Mapping[str, np.ndarray], names: frozenset[str]) -> np.ndarray:
    """Return how many values of some inputs are missing in each row, of shape (n_rows,)."""
    n_rows = len(next(iter(block.values())))
    return sum((_missing_in(block[name]) for name in names), start=np.zeros(n_rows, dtype=np.int64))


def count_missing_once(
    before: np.ndarray, change: Change, block: Mapping[str, np.ndarray], names: frozenset[str]
) -> np.ndarray:
    """Return how many values of some inputs are missing in each row once it is changed, of shape (n_rows,).

    Parameters
    ----------
    before : ndarray of shape (n_rows,), int64
        As `count_missing` returns it.
    change : Change
    block : mapping of str to ndarray of shape (n_rows, ...)
        The rows as they are.
    names : frozenset of str
    """
    counts = before.copy()
    for slot, values in zip(change.slots, change.values, strict=True):
        if slot.input in names:
            counts += _missing_in(values) - _missing_in(block[slot.input][in_all_rows(slot.index)])
    return counts


def _missing_in(values: np.ndarray) -> np.ndarray:
    missing = np.isnan(values) if values.dtype.kind == "f" else np.asarray(pd.isna(values))
    return missing.reshape(len(values), -1).sum(axis=1)
