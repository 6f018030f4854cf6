"""The rows that one observation is compared with: few that stand for all, and the same whatever the seed."""

from __future__ import annotations

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job, choose_block_rows

MOST_DONORS = 2_000
"""Rows up to which all of a reference group are donors; of more so many stand for all."""


def spaced(rows: np.ndarray, predictions: np.ndarray, most: int = MOST_DONORS) -> np.ndarray:
    """Return rows that stand for all: in the middle of as many stretches of equal length, ordered by prediction.

    Nothing is drawn, so that they are the same for every feature and every seed.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,), int64
        Positions in the data, ascending.
    predictions : ndarray of shape (n_rows,)
        Of these rows as they are; those without a finite one stand for nothing.
    most : int

    Returns
    -------
    ndarray of shape (n_donors,), int64
        Some of `rows`, ascending; all that have a prediction where these are at most so many.

    Examples
    --------
    >>> spaced(np.arange(6), np.array([0.1, 0.9, 0.5, 0.2, 0.7, 0.3]), 3).tolist()
    [1, 2, 3]
    """
    known = np.isfinite(predictions)
    rows, predictions = rows[known], predictions[known]
    if len(rows) <= most:
        return rows
    middles = (2 * np.arange(most) + 1) * len(rows) // (2 * most)
    return np.sort(rows[np.argsort(predictions, kind="stable")[middles]])


def predict_rows(job: Job, rows: np.ndarray) -> np.ndarray:
    """Return the followed prediction of some rows as they are, of shape (n_rows,), float64."""
    step = choose_block_rows(job, "auto")
    chunks = [rows[start : start + step] for start in range(0, len(rows), step)]
    found = [job.predictor.begin([job.inputs.read(chunk)])[0].baseline for chunk in chunks]
    return np.concatenate([job.measure.pick(each)[:, 0].astype(np.float64) for each in found])
