"""Whether a row's prediction is one of that row alone: a model that looks at the rows beside it says nothing of one."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.bound_inputs import BoundInputs, probe_rows
from nnperm_mlflow.inputs.specs import Arrays
from nnperm_mlflow.models.output_numbers import rounding_of, spread_of
from nnperm_mlflow.models.predictor import Predictor

logger = logging.getLogger(__name__)

_SIZES = {1: 16, 2: 1, 7: 1}
"""Rows of a call, and calls: rows alone, a pair, and a number that is no power of two."""

_MANY = 256
"""Rows of one more call, which is made twice."""

_LEAST_SHARE = 1e-3
"""Of the spread of predictions: by up to 2e-4 of it layers in half precision differ from one batch size to another."""

_CHANCE = 2
"""Times by which two predictions of the same rows may differ: chance is refused, or allowed, as what it is."""


def measure_mixing(predictor: Predictor, inputs: BoundInputs, block_rows: int) -> float:
    """Predict some rows alone and among few others, and compare that with what they are given in a block of the audit.

    Parameters
    ----------
    predictor : Predictor
    inputs : BoundInputs
    block_rows : int
        Rows of a call, as many as a block of the audit has.

    Returns
    -------
    float
        Largest difference, in the unit of the output in which it was seen; infinite where a prediction is defined in
        one of the calls only, and 0 where all differences are rounding, or as large as those from call to call.
    """
    rows = inputs.read(probe_rows(inputs.n_rows, block_rows))
    block = predictor.begin([rows])[0].baseline
    many = probe_rows(len(block), _MANY)
    found, again = (_predicted(predictor, rows, many) for _ in range(2))
    pairs = [(block[many], found)]
    for size, n_calls in _SIZES.items():
        pairs += _predicted_by(predictor, rows, block, size, n_calls)
    apart, chance = _largest(pairs), _largest([(found, again)])
    rounding = [rounding_of(column) for column in block.T]
    beyond = apart > np.maximum(_LEAST_SHARE * spread_of(block), rounding) + _CHANCE * chance
    return float(apart[beyond].max(initial=0))


def _predicted_by(
    predictor: Predictor, rows: Arrays, block: np.ndarray, size: int, n_calls: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return what rows are given in the block and in calls of a size; nothing where the model takes no such call."""
    some = probe_rows(len(block), size * n_calls)
    calls = np.split(some, range(size, len(some), size))
    try:
        return [(block[call], _predicted(predictor, rows, call)) for call in calls]
    except PredictionError as error:
        logger.debug("a call of %d rows failed: %s", size, type(error.__cause__).__name__)
        logger.warning(
            "the model fails where it is given %d rows and no others: what it predicts for so few was not looked at",
            size,
        )
        return []


def _predicted(predictor: Predictor, rows: Arrays, call: np.ndarray) -> np.ndarray:
    return predictor.begin([{name: array[call] for name, array in rows.items()}])[0].baseline


def _largest(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the largest difference of each output, of shape (n_outputs,)."""
    return np.max([_differences(one, other).max(axis=0) for one, other in pairs], axis=0)


def _differences(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return by how much predictions differ: not at all where neither is defined, without limit where one is."""
    if one.shape != other.shape:  # outputs made of the categories that are there, and the like
        return np.full(one.shape, np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(np.subtract(one, other, dtype=np.float64))
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return np.where(same, 0.0, np.nan_to_num(difference, nan=np.inf, posinf=np.inf))
