"""What a model gave, as numbers, and whether two such are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from nnperm_mlflow.basics.errors import LabelsError, PredictionError
from nnperm_mlflow.inputs.specs import Arrays

_MOST_CLASSES = 20  # more whole numbers than these are rather a count or an amount


class Caller(Protocol):
    """What can be called with all inputs of a model."""

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs)."""


def rows_mix(model: Caller, probe: Arrays, predicted: np.ndarray | None = None) -> bool:
    """Tell whether a row's prediction depends on the rows beside it, or on chance, as some rows show.

    Parameters
    ----------
    model : Caller
    probe : mapping of str to ndarray of shape (n_rows, ...)
    predicted : ndarray of shape (n_rows, n_outputs), optional
        What the model gives for them, where it is known.

    Returns
    -------
    bool
    """
    n_rows = len(next(iter(probe.values())))
    some = slice(1, max(2, n_rows - 1), 2)  # neither the first nor the last, which a model may compare others with
    found = model.call(probe) if predicted is None else predicted
    return not same_numbers(found[some], model.call({name: array[some].copy() for name, array in probe.items()}))


_TRIED_ROWS = 128
_SIZES = range(57, 64)
"""Rows of the calls that are tried: of all lengths of an end, as kernels for 4, 6, 8 or more rows at once leave it."""


def ends_round_alike(model: Caller, probe: Arrays) -> bool:
    """Tell whether the last rows of a call get the bits that they get amid others, as far as some rows show.

    A matrix product goes through several rows at once. On many processors what is left over at the end is added up in
    another order, so that a row has other bits at the end of a call than in its middle.

    Parameters
    ----------
    model : Caller
        Whose rows do not mix.
    probe : mapping of str to ndarray of shape (n_rows, ...)

    Returns
    -------
    bool
    """
    n_rows = len(next(iter(probe.values())))
    rows = {name: array[np.arange(_TRIED_ROWS) % n_rows] for name, array in probe.items()}
    amid = model.call(rows)
    for place, size in enumerate(_SIZES):
        first = place * _SIZES.stop // len(_SIZES)  # so that each call ends with other rows
        some = slice(first, first + size)
        found = model.call({name: array[some].copy() for name, array in rows.items()})
        if not np.array_equal(found, amid[some], equal_nan=True):
            return False
    return True


def same_numbers(found: np.ndarray, expected: np.ndarray) -> bool:
    """Tell whether predictions of shape (n_rows, n_outputs) are the same up to rounding, whatever their unit.

    What counts is the spread of each output over the rows in which it is finite: 1e-4 of it lies beyond what another
    order of adding does, and far below what mixed rows or chance do. What is not finite has to be the very same.
    """
    wide = expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        near = np.abs(found - wide) <= np.maximum(1e-4 * spread_of(expected), rounding_of(expected))
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    return bool((near | same).all())


def spread_of(predictions: np.ndarray) -> np.ndarray:
    """Return how far the finite ones among predictions of shape (n_rows, n_outputs) lie apart: (n_outputs,), float64.

    Of an output that is nowhere finite it is below any number.
    """
    wide, finite = predictions.astype(np.float64), np.isfinite(predictions)  # more, maybe, than a float16 holds
    return wide.max(axis=0, where=finite, initial=-np.inf) - wide.min(axis=0, where=finite, initial=np.inf)


def are_probabilities(predictions: np.ndarray) -> bool:
    """Tell whether predictions of shape (n_rows, n_outputs) look like those of several classes of which one is right.

    None is negative, and in each row in which all are finite they add up to 1.
    """
    finite = predictions[np.isfinite(predictions).all(axis=1)]
    if not len(finite) or finite.shape[1] < 2:
        return False
    return bool(finite.min() >= 0 and np.allclose(finite.sum(axis=1, dtype=np.float64), 1, atol=1e-3))


def are_classes(predictions: np.ndarray) -> bool:
    """Tell whether predictions of shape (n_rows, n_outputs) look like classes by number: a few whole numbers."""
    finite = predictions[np.isfinite(predictions).all(axis=1)]
    if not len(finite) or finite.shape[1] > 1 or not np.array_equal(finite, np.rint(finite)):
        return False
    return 1 < len(np.unique(finite)) <= _MOST_CLASSES


def rounding_of(predictions: np.ndarray) -> float:
    """Return what rounding can make of predictions, as a share of the largest.

    It is 64 units in the last place of a float32, whose sums come in many orders; numbers of double precision may have
    been such sums. A coarser type has 4 of its own: it rounds what was added up in float32, once a layer.
    """
    largest = float(np.abs(predictions[np.isfinite(predictions)]).max(initial=0.0))
    return largest * max(64 * float(np.finfo(np.float32).eps), 4 * float(np.finfo(predictions.dtype).eps))


def as_columns(prediction: object, n_rows: int) -> np.ndarray:
    """Return what a model gave as numbers of shape (n_rows, n_outputs).

    Parameters
    ----------
    prediction : array-like
        One array of shape (n_rows, ...), or several by name or position.
    n_rows : int
        Rows that the model was given.

    Returns
    -------
    ndarray of shape (n_rows, n_outputs)
        Floating point as the model gave it; integers and booleans as float64.

    Raises
    ------
    PredictionError
        If there is not one prediction a row; a `LabelsError` if predictions are no numbers.
    """
    parts = list(prediction.values()) if isinstance(prediction, Mapping) else prediction
    arrays = [np.asarray(part) for part in (parts if isinstance(parts, (list, tuple)) else [parts])]
    for array in arrays:
        if array.ndim == 0 or len(array) != n_rows:
            raise PredictionError(f"the model was given {n_rows} rows and returned an array of shape {array.shape}.")
        if array.dtype.kind not in "fiub":
            raise LabelsError(
                f"the model's predictions (of type {array.dtype}) are no numbers but labels or the like, between which "
                "there is no distance."
            )
    columns = [array.reshape(n_rows, -1) for array in arrays]
    joined = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
    return joined if joined.dtype.kind == "f" else joined.astype(np.float64)
