"""What intervals need to know of the rows of an audit: which have to do with each other, and how far they lie apart."""

from __future__ import annotations

import numpy as np

import nnperm_mlflow.analysis.perturbation.donors as shuffling
from nnperm_mlflow.analysis.engine.deviation import Measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.table import TableReader
from nnperm_mlflow.analysis.uncertainty.known_blocks import KnownBlocks
from nnperm_mlflow.analysis.uncertainty.variance import KnownDependence


def dependence_of(job: Job, known: KnownBlocks, number: int) -> KnownDependence:
    """Return which rows of the known blocks have to do with each other under the perturbation of that position."""
    perturbation = job.perturbations[number]
    return known.dependence(
        lambda block, repeat: job.donors(block, perturbation, repeat),
        range(job.repeats),
        lambda block: job.strata_of(block, perturbation),
    )


def known_blocks(job: Job) -> KnownBlocks:
    """Return the blocks on which the variances of a job are found; of batches as many as one large block has rows."""
    return KnownBlocks.of(job.deal.blocks(), job.clusters, shuffling.SHUFFLE_BLOCK_ROWS if job.in_batches else 0)


def span_of(measure: Measure, table: TableReader) -> float:
    """Return how far the predictions of all rows as they are lie apart; 0 where none is known."""
    lowest, highest = [], []
    for name in measure.baseline_names:
        known = [values[np.isfinite(values)] for values in table.repeat(name, table.repeats[0])]
        lowest.append(min((each.min() for each in known if len(each)), default=np.inf))
        highest.append(max((each.max() for each in known if len(each)), default=-np.inf))
    return span_between(measure, np.array(lowest), np.array(highest))


def span_between(measure: Measure, lowest: np.ndarray, highest: np.ndarray) -> float:
    """Return how far the lowest and the highest predictions lie apart; 0 where none is known.

    Parameters
    ----------
    measure : Measure
    lowest, highest : ndarray of shape (n_followed,)
        Of each output that is followed; infinite where none is known.
    """
    if not np.isfinite(lowest).all():
        return 0.0
    return float(measure.deviations(lowest[None], highest[None])[0])
