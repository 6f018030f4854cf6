"""On how many rows the looks of an audit are that finds out how many it needs: known before a row is seen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from nnperm_mlflow.analysis.perturbation.sample import batches_within

FIRST_BATCHES = 4
"""Batches of the first look; below 8,000 rows a width is known too badly to stop by it."""

_GROWTH = 1.5  # times as many batches as in the look before


def looks_of(sizes: Sequence[int], max_rows: int | None) -> list[int]:
    """Return on how many of the first batches of such sizes each look is, if none before the last is enough.

    Parameters
    ----------
    sizes : sequence of int
        Rows of all batches.
    max_rows : int or None
        Most rows, but one batch at least; None for all.

    Returns
    -------
    list of int
        Half as many again at each look.
    """
    return [*batches_of_looks(len(sizes) if max_rows is None else max(1, batches_within(sizes, max_rows)))]


def batches_of_looks(most: int) -> Iterator[int]:
    """Yield on how many batches each look is, if there may be so many.

    >>> list(batches_of_looks(30))
    [4, 6, 9, 14, 21, 30]
    """
    n_batches = min(FIRST_BATCHES, most)
    while n_batches < most:
        yield n_batches
        n_batches = min(math.ceil(_GROWTH * n_batches), most)
    yield most
