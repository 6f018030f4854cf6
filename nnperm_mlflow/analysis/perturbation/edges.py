"""The intervals that accumulated local effects are told over, and where in them a row's value lies."""

from __future__ import annotations

import numpy as np

from nnperm_mlflow.inputs.slots import Feature


def levels_of(values: np.ndarray) -> np.ndarray:
    """Return the number that stands for what a feature holds in each row: its value, of several steps their mean.

    Parameters
    ----------
    values : ndarray of shape (n_rows, ...)
        Numbers, in the unit of the model's input.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        NaN where one of the steps is missing.
    """
    steps = np.ascontiguousarray(values.reshape(len(values), -1), dtype=np.float64)  # or bits would hang on strides
    return steps.mean(axis=1)


def interval_of(levels: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return in which interval each level lies: i for more than `edges[i]` and at most `edges[i + 1]`.

    The first one holds what does not exceed its upper edge, the last one what exceeds its lower.

    >>> interval_of(np.array([0.0, 1.0, 1.5, 3.0]), np.array([0.0, 1.0, 3.0]))
    array([0, 0, 1, 1])
    """
    return np.clip(np.searchsorted(edges, levels, side="left") - 1, 0, len(edges) - 2)


def at_edge(feature: Feature, before: np.ndarray, edges: np.ndarray, upper: bool) -> np.ndarray:
    """Return what a feature holds once each row is moved to an end of its interval.

    Parameters
    ----------
    feature : Feature
        A number, or a series or some steps of one, which keeps its shape: all steps move by as much.
    before : ndarray of shape (n_rows, ...)
        What it holds. Not modified.
    edges : ndarray of shape (n_edges,), float64
    upper : bool
        Whether to the upper end.

    Returns
    -------
    ndarray of the shape and dtype of `before`
        What is missing stays so.
    """
    levels = levels_of(before)
    wanted = edges[interval_of(levels, edges) + upper]
    if feature.kind == "number":
        moved = np.broadcast_to(wanted.reshape(-1, *[1] * (before.ndim - 1)), before.shape)
    else:
        moved = before + (wanted - levels).reshape(-1, *[1] * (before.ndim - 1))
    if before.dtype.kind in "iu":
        moved = np.rint(moved)
    return np.where(np.isnan(moved + before), before, moved).astype(before.dtype)
