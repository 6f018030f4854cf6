"""A sample of the rows: the first blocks of a deal, audited without the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from nnperm_mlflow.analysis.perturbation._keyed_numbers import key_of
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows that are audited without the rest.

    Attributes
    ----------
    rows : ndarray of shape (n_rows,), int64
        Positions in the data, ascending.
    blocks : tuple of ShuffleBlock
        The first blocks of the deal, by their numbers there; their rows are positions among `rows`.
    """

    rows: np.ndarray
    blocks: tuple[ShuffleBlock, ...]

    @classmethod
    def of(cls, first: Iterable[ShuffleBlock]) -> Sample:
        """Return the rows of the first blocks of a deal in batches, see `deal.Deal.first`.

        They are a random sample, a part of each larger one, and have the donors that they have in the whole, since
        these depend on the block alone.
        """
        blocks = list(first)
        rows = np.sort(np.concatenate([block.rows for block in blocks]))
        return cls(rows, tuple(ShuffleBlock(each.number, np.searchsorted(rows, each.rows)) for each in blocks))


def drawn_rows(n_rows: int, most: int, seed: int, what: str) -> np.ndarray:
    """Return a few rows that are drawn by the seed alone, for what takes too long on all.

    Parameters
    ----------
    n_rows, most : int
        Rows that there are, and how many to draw; all where there are no more.
    seed : int
        Seed of the audit.
    what : str
        What they are for; each purpose has its own draw.

    Returns
    -------
    ndarray of shape (n_drawn,), int64
        Positions, ascending.
    """
    words = np.random.Philox(key=key_of(seed, what)).random_raw(n_rows)
    return np.sort(np.argsort(words, kind="stable")[:most])


def count_batches(sizes: Sequence[int], n_rows: int) -> int:
    """Return how many of the first batches of such sizes hold at least so many rows; all where these have fewer.

    >>> count_batches([2_000, 2_000, 2_000], 3_000)
    2
    """
    return min(len(sizes), int(np.searchsorted(np.cumsum(sizes), n_rows)) + 1)


def batches_within(sizes: Sequence[int], n_rows: int) -> int:
    """Return how many of the first batches of such sizes hold no more than so many rows.

    >>> batches_within([2_000, 2_000, 2_000], 4_500)
    2
    """
    return int(np.searchsorted(np.cumsum(sizes), n_rows, side="right"))
