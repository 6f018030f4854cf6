"""What is told of a pair from its second differences: how large they are, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.interactions.pairs import Pair, SecondDifferences, shared_job
from nnperm_mlflow.analysis.uncertainty.audited_rows import known_blocks
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks
from nnperm_mlflow.analysis.uncertainty.skewness import reaches
from nnperm_mlflow.analysis.uncertainty.variance import KnownDependence


def tell_pairs(job: Job, pairs: Sequence[Pair], found: SecondDifferences) -> dict[tuple[str, str], dict[str, float]]:
    """Return what is told of each pair that the model was called for."""
    known = known_blocks(job)
    dependence = _dependence(shared_job(job, pairs), known)
    rows = np.concatenate([block.rows for block in known.blocks])
    f = found.baseline[np.isfinite(found.baseline)]
    variance = float(np.var(f)) if len(f) else math.nan
    told = {}
    for (first, second), values, rounding in zip(pairs, found.values, found.rounding, strict=True):
        sizes = np.abs(values.astype(np.float64))
        mean, low, high = _mean_with_ends(sizes, rows, dependence)
        squares = [
            each / variance if variance > 0 else math.nan for each in _mean_with_ends(sizes**2 / 4, rows, dependence)
        ]
        told[first.name, second.name] = {
            "mean": mean, "mean_low": low, "mean_high": high,
            "share": squares[0], "share_low": squares[1], "share_high": squares[2],
            "interacts": bool(low > rounding), "rows": len(values),
            "skipped": int(np.count_nonzero(~np.isfinite(values))),
        }  # fmt: skip
    return told


def _dependence(job: Job, known: KnownBlocks) -> KnownDependence:
    """Return which rows have to do with each other: as in a shuffle, and the same for all pairs."""
    shuffle = job.perturbations[0]
    return known.dependence(
        lambda block, repeat: job.donors(block, shuffle, repeat),
        range(1),
        lambda block: None if job.strata is None else job.strata.full[block.rows],
    )


def _mean_with_ends(values: np.ndarray, rows: np.ndarray, dependence: KnownDependence) -> tuple[float, float, float]:
    """Return the mean of values of all rows that are no less than 0, and between what it lies.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        NaN where one is not known.
    rows : ndarray of int
        Those of which it is known which have to do with each other.
    dependence : KnownDependence
        Of these.
    """
    all_known = values[np.isfinite(values)]
    if not len(all_known):
        return math.nan, math.nan, math.nan
    mean = math.fsum(all_known) / len(all_known)
    few, known = values[rows][None], np.isfinite(values[rows])[None]
    n_units = dependence.count_units(known)
    if n_units < FEWEST_ROWS:
        return mean, math.nan, math.nan
    moments = dependence.moments(np.where(known, few, 0.0), known).of_more_rows(len(values) / len(rows))
    below, above = reaches(moments, n_units)
    return mean, max(0.0, mean - below), mean + above
