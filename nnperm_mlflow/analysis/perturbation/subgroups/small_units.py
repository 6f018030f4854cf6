"""Columns in small units, made as large as scikit-learn's trees need them."""

from __future__ import annotations

import math

import numpy as np

from nnperm_mlflow.analysis.perturbation.subgroups.columns import MISSING

_SMALL = 1e-2  # range of a column in which neighbours of some thousand rows may lie within 1e-7 of each other
_MOST = 100  # power of two, so that the largest number of a column stays one


def scale_of(values: np.ndarray) -> float:
    """Return by what power of two a column is multiplied for a tree that may split it.

    scikit-learn's trees do not split between numbers within 1e-7 of each other, so that a column in small units (2e-9
    mol) is constant to them, and so is one of 2,000 rows that all lie between 0 and 1e-5. A power of two changes no
    digit; what lies farther apart stays as it is.

    Parameters
    ----------
    values : ndarray of shape (n_rows,), float32

    Returns
    -------
    float
        1 but where the numbers, other than `MISSING`, lie within 0.01 of each other and are not all the same.

    Examples
    --------
    >>> scale_of(np.float32([1e-9, 3e-9, 2e-9])), scale_of(np.float32([0, 2])), scale_of(np.float32([5, 5]))
    (268435456.0, 1.0, 1.0)
    """
    known = values[values != np.float32(MISSING)]
    spread = float(known.max()) - float(known.min()) if len(known) else 0.0
    return 2.0 ** min(_MOST, -math.frexp(spread)[1]) if 0 < spread < _SMALL else 1.0


def enlarged(values: np.ndarray, scale: float) -> np.ndarray:
    """Return a column as a tree gets it, see `scale_of`; what is missing stays so."""
    there = values != np.float32(MISSING)
    return values if scale == 1 else np.multiply(values, np.float32(scale), out=values.copy(), where=there)


def as_measured(thresholds: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Return thresholds between enlarged numbers in their columns' own units; those below all that is there stay.

    Parameters
    ----------
    thresholds, scales : ndarray of shape (n_splits,), float64
    """
    return np.where(thresholds < MISSING / 4, thresholds, thresholds / scales)
