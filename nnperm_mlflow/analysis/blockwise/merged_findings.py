"""The findings of an audit whose shuffle blocks were audited one by one: the same numbers as of all rows at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nnperm_mlflow.analysis.blockwise.block_outcome import BlockOutcome
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.repeats.findings import Findings
from nnperm_mlflow.analysis.repeats.stopping_rule import Watched
from nnperm_mlflow.analysis.statistics.order import MEAN
from nnperm_mlflow.analysis.statistics.rank_search import Look, Ranks, values_at
from nnperm_mlflow.analysis.statistics.summary import Certain, ends_of, ranks_wanted, statistics_of, summary_of
from nnperm_mlflow.analysis.statistics.tally import Tally
from nnperm_mlflow.analysis.uncertainty.audited_rows import known_blocks, span_between
from nnperm_mlflow.analysis.uncertainty.certainty import Certainties, middle_ranks, spread_of

FirstBlock = Callable[[int], np.ndarray]
"""Gives the deviations of the first shuffle block's rows under a perturbation, by its position: an array of shape
(n_repeats, n_rows), float32, in the order of the rows."""


def find_merged(
    job: Job,
    outcome: BlockOutcome,
    first: FirstBlock,
    look: Look,
    *,
    order_by: str = MEAN,
    watched: Watched = frozenset(),
) -> Findings:
    """Describe what came out.

    Parameters
    ----------
    job : Job
        Of all rows; its inputs are not read.
    outcome : BlockOutcome
        Of all shuffle blocks.
    first : callable
    look : callable
        Counts deviations of all rows; it is called for the quantiles, and once more for the ends of their intervals.
    order_by : str
        The statistic that leads.
    watched : frozenset of Number
        What checks rest on.

    Returns
    -------
    Findings
        As `analysis.repeats.repeat_loop.find` gives them, in every number.
    """
    tally, decides = outcome.total, job.decision is not None
    numbers = range(len(job.perturbations))
    quantiles = [_ranks(tally, number, ranks_wanted(number, tally)) for number in numbers]
    medians = _medians_wanted(outcome)
    values = values_at([*quantiles, *medians], look)
    found = [statistics_of(number, tally, values[number], decides=decides) for number in numbers]
    spreads = _spreads(medians, values[len(quantiles) :], len(numbers))
    sure = Certainties(
        job,
        tally,
        known_blocks(job),
        values=lambda number: (first(number), spreads[number]),
        marks=outcome.marks_of,
        span=span_between(job.measure, outcome.lowest, outcome.highest),
    )
    certain: list[Certain | None] = [
        sure(number, found[number]) if tally.n_kept[number] else None for number in numbers
    ]
    intervals = [_ranks(tally, number, each.wanted_ranks if each else []) for number, each in enumerate(certain)]
    at_ends = values_at(intervals, look)
    ends = [ends_of(each, held) if each else {} for each, held in zip(certain, at_ends, strict=True)]
    summary = summary_of(job.perturbations, tally, found, ends, job.inputs.n_rows, order_by=order_by)
    return Findings(summary, tally, job.repeats, None, order_by, watched)


def _ranks(tally: Tally, number: int, ranks: list[int], repeat: int | None = None) -> Ranks:
    tally.count_all()
    if tally.bins is None:
        raise RuntimeError("a tally that counts has bins")
    return Ranks(number, tally.bins[number], ranks, repeat)


def _medians_wanted(outcome: BlockOutcome) -> list[Ranks]:
    """Return the ranks in the middle of each repeat, where there are several."""
    if len(outcome.tallies) == 1:
        return []
    return [
        _ranks(tally, number, middle_ranks(int(n_kept)), repeat)
        for repeat, tally in enumerate(outcome.tallies)
        for number, n_kept in enumerate(tally.n_kept)
        if n_kept
    ]


def _spreads(medians: list[Ranks], values: list[dict[int, float]], n_perturbations: int) -> list[float]:
    """Return for each perturbation the spread of its repeats' medians."""
    found: list[list[float]] = [[] for _ in range(n_perturbations)]
    for asked, held in zip(medians, values, strict=True):
        found[asked.number].append(float(np.mean([held[rank] for rank in asked.ranks])))
    return [spread_of(each) for each in found]
