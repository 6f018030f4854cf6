"""As many rows as the question needs: a sample of the data, taken at once or in growing looks."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import replace

from nnperm_mlflow.analysis.perturbation.sample import Sample, batches_within, count_batches
from nnperm_mlflow.analysis.perturbation.strata import Strata
from nnperm_mlflow.analysis.segments.segmentation import part_rows
from nnperm_mlflow.auditor.identification import counts_of
from nnperm_mlflow.auditor.plan import Plan
from nnperm_mlflow.config.segments_config import edges_of

logger = logging.getLogger(__name__)

FIRST_BATCHES = 4
"""Batches of the first look; below 8,000 rows a width is known too badly to stop by it."""

_GROWTH = 1.5  # times as many batches as in the look before


def drawn(plan: Plan) -> Plan:
    """Return the plan on the sample that is asked for; as it is where all rows are, or their number is to be found."""
    asked = plan.used.analysis.rows
    if asked is None or asked == "auto":
        return plan
    found = on_batches(plan, count_batches(plan.job.deal.sizes, asked))
    if found.dataset.n_rows < asked:
        logger.warning("%s rows are asked for, and there are %s: all are audited", f"{asked:,}", f"{plan.rows:,}")
    elif found.dataset.n_rows > asked:
        logger.info("a sample is whole batches: %s, not %s", found.dataset.in_words, f"{asked:,}")
    return found


def on_batches(plan: Plan, n_batches: int) -> Plan:
    """Return the plan on the first batches of its rows.

    Parameters
    ----------
    plan : Plan
        On all rows, in batches.
    n_batches : int

    Returns
    -------
    Plan
        What is disturbed, and how the model is called, is what was found out from all rows.
    """
    sample = Sample.of(plan.job.deal.first(n_batches))
    dataset = plan.dataset.take(sample.rows, plan.job.seed)
    within, segments = plan.used.analysis.within, plan.used.analysis.segments
    strata = Strata({name: dataset.columns[name] for name in within}) if within else None
    return replace(
        plan,
        dataset=dataset,
        job=plan.job.on_sample(sample, strata, dataset.clusters),
        record={**plan.record, **counts_of(dataset), "sampled_rows": dataset.n_rows},
        scores=None if plan.scores is None else plan.scores.take(sample.rows),
        segmentations=part_rows(edges_of(segments), dataset.columns),
    )


def looks(plan: Plan) -> Iterator[Plan]:
    """Yield the plan as it is, or where the number of rows is to be found out, on growing samples."""
    if plan.used.analysis.rows != "auto":
        yield plan
        return
    for n_batches in batches_of_looks(most_batches(plan)):
        yield on_batches(plan, n_batches)


def batches_of_looks(most: int) -> Iterator[int]:
    """Yield on how many batches each look is, if none is the last before all that may be audited are.

    >>> list(batches_of_looks(30))
    [4, 6, 9, 14, 21, 30]
    """
    n_batches = min(FIRST_BATCHES, most)
    while n_batches < most:
        yield n_batches
        n_batches = min(math.ceil(_GROWTH * n_batches), most)
    yield most


def most_batches(plan: Plan) -> int:
    """Return how many batches may be audited: all, or as many as `max_rows` allows, but one at least."""
    most, n_batches = plan.used.analysis.max_rows, len(plan.job.deal.sizes)
    return n_batches if most is None else max(1, batches_within(plan.job.deal.sizes, most))
