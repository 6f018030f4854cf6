"""Which rows exchange values with which, settled before any row is read.

Rows are dealt into shuffle blocks by a keyed order, and donors are drawn block by block, keyed by the block's number.
Nothing hangs on workers, on the features, or on how many of the blocks are audited: the first blocks of a deal are a
random sample of the rows, and have the same donors in it as in the whole.

Three rules say what is dealt. Plain rows are dealt one by one, as they come in the keyed order. With clusters a whole
cluster is dealt, so that its rows lie in one block. With strata each large one is cut into as many parts as there are
blocks, but none of fewer than `FEWEST_PART_ROWS` rows, and smaller ones are dealt whole, so that a stratum of twenty
rows is not scattered over blocks. Clusters and parts of strata are packed by their sizes alone: the largest first, each
into the block that holds the fewest rows. Where a cluster has rows in several strata, it stays whole and goes with the
stratum that most of its rows are in.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

import nnperm_mlflow.analysis.perturbation.donors as shuffling
from nnperm_mlflow.analysis.perturbation._keyed_numbers import dealt, key_of
from nnperm_mlflow.analysis.perturbation.donors import (
    ShuffleBlock,
    cycle_positions,
    deal_key,
    donor_positions,
    other_positions,
    shuffle_block_sizes,
    shuffle_blocks,
)
from nnperm_mlflow.analysis.perturbation.strata import Strata
from nnperm_mlflow.inputs.slots import Feature

logger = logging.getLogger(__name__)

BATCH_ROWS = 2_048
"""Rows of a shuffle block where the first few are to be audited alone: batches that are samples of all rows."""

FEWEST_PART_ROWS = 100
"""Rows of a part of a stratum that is cut."""

_NUMBERS = "the numbers of shuffle blocks"


@dataclass(frozen=True, eq=False)
class Deal:
    """Which rows lie in which shuffle block, in which order, and who gives its value to whom.

    Attributes
    ----------
    n_rows : int
        Rows of the data.
    seed : int
        Seed of the audit.
    strata : Strata or None
        Which rows may exchange values; None where all may.
    clusters : ndarray of shape (n_rows,), int64, or None
        Number of each row's cluster, from 0; None where each row stands for itself.
    tests : bool
        Whether the shuffles are also those of a permutation test.
    block_rows : int or None
        About how many rows a block has at most; None for the largest blocks. With `BATCH_ROWS` the first blocks are
        batches, to be audited before or without the rest.
    chosen : tuple of ShuffleBlock or None
        Blocks of a larger deal that are audited alone, as `sample.Sample` chooses them; strata and clusters are
        those of their rows. None for all blocks.
    """

    n_rows: int
    seed: int
    strata: Strata | None = None
    clusters: np.ndarray | None = None
    tests: bool = False
    block_rows: int | None = None
    chosen: tuple[ShuffleBlock, ...] | None = None

    @cached_property
    def sizes(self) -> list[int]:
        """Rows of each shuffle block, in the order of their numbers."""
        if self.chosen is not None:
            return [len(block.rows) for block in self.chosen]
        if self.is_plain:
            return shuffle_block_sizes(self.n_rows, self.block_rows)
        return np.bincount(self._numbers).tolist()

    def blocks(self) -> Iterator[ShuffleBlock]:
        """Yield the shuffle blocks: each row in exactly one, in ascending order; a single block holds all rows."""
        if self.chosen is not None:
            yield from self.chosen
            return
        if self.is_plain:
            yield from shuffle_blocks(self.n_rows, self.seed, self.block_rows)
            return
        rows = np.argsort(self._numbers, kind="stable")
        for number, each in enumerate(np.split(rows, np.cumsum(self.sizes)[:-1])):
            yield ShuffleBlock(number, each)

    def first(self, n_blocks: int) -> Iterator[ShuffleBlock]:
        """Yield so many of the first blocks: a random sample of the rows, with the same donors as in the whole."""
        return islice(self.blocks(), n_blocks)

    def donors(
        self, block: ShuffleBlock, feature: Feature, repeat: int, subgroups: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the position in a shuffle block of each row's donor.

        Parameters
        ----------
        block : ShuffleBlock
        feature : Feature
        repeat : int
            Number of the repeat, from 0.
        subgroups : ndarray of shape (n_rows,), int64, optional
            For each row of the block the number of its subgroup, where donors come from these: a draw with a key of its
            own.

        Returns
        -------
        ndarray of shape (n_rows,), uint16
            Without strata a uniform permutation. Within strata, in batches and in subgroups, no row is its own donor
            but one that is alone there.
        """
        strata = self.strata_of(block, feature, subgroups)
        key = (block, self.seed, _name_of(feature, subgroups), repeat)
        if strata is None:
            return donor_positions(*key)
        return other_positions(*key, strata) if self.tests else cycle_positions(*key, strata)

    def permutation(
        self, block: ShuffleBlock, feature: Feature, repeat: int, subgroups: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the donors of a permutation test: a uniform permutation, by which a row may keep its value.

        Where shuffles are tested, they are those of `donors` but for rows that keep their value here and receive
        another there.
        """
        if not self.tests:
            return self.donors(block, feature, repeat, subgroups)
        strata = self.strata_of(block, feature, subgroups)
        return donor_positions(block, self.seed, _name_of(feature, subgroups), repeat, strata)

    def strata_of(
        self, block: ShuffleBlock, feature: Feature, subgroups: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return for each row of a shuffle block the number of its stratum; None where all may exchange values.

        A batch is a stratum where there are no others: in so few rows it tells when some are their own donors.
        """
        strata = None if self.strata is None else self.strata.of(feature, block.rows)
        strata = joined(strata, subgroups)
        return np.zeros(len(block.rows), dtype=np.int64) if strata is None and self.block_rows is not None else strata

    def draws_others(self, *, in_subgroups: bool) -> bool:
        """Tell whether a row that keeps its value in a tested permutation receives another one beside it."""
        return self.tests and (self.strata is not None or self.block_rows is not None or in_subgroups)

    @property
    def is_plain(self) -> bool:
        """Whether rows are dealt one by one or all lie in one block, as number and seed then tell."""
        if self.chosen is not None:
            return False
        return (self.strata is None and self.clusters is None) or self._least_blocks == 1

    @property
    def _least_blocks(self) -> int:
        return len(shuffle_block_sizes(self.n_rows, self.block_rows))

    @cached_property
    def _numbers(self) -> np.ndarray:
        """The shuffle block of each row, of shape (n_rows,)."""
        items = np.arange(self.n_rows) if self.clusters is None else _bounded(self.clusters)
        weights = np.bincount(items)
        order = dealt(np.arange(len(weights)), len(weights), deal_key(self.seed))
        homes = np.arange(len(weights)) if self.strata is None else _homes(items, self.strata.full)
        n_blocks = self._least_blocks
        while True:
            units = _parts(homes, weights, order, n_blocks)
            numbers, most = _pack(units, homes, weights, order, n_blocks=n_blocks)
            if most <= shuffling.SHUFFLE_BLOCK_ROWS:
                break
            n_blocks += max(1, n_blocks // 50)
        filled, numbers = np.unique(numbers, return_inverse=True)  # of few large clusters, not all blocks hold one
        # which block is packed first says what lies in it, and must not say when it is audited
        named = dealt(np.arange(len(filled)), len(filled), key_of(self.seed, _NUMBERS))
        return named[numbers[items]]


def _name_of(feature: Feature, subgroups: np.ndarray | None) -> str:
    """Return what a draw of donors is called: as what it is for."""
    return feature.name if subgroups is None else f"{feature.name} conditional"


def joined(strata: np.ndarray | None, subgroups: np.ndarray | None) -> np.ndarray | None:
    """Return the numbers of what rows have in common that lie in one stratum and in one subgroup; None of neither.

    >>> joined(np.array([0, 0, 1]), np.array([0, 1, 0]))
    array([0, 1, 2])
    """
    if strata is None or subgroups is None:
        return subgroups if strata is None else strata
    return np.unique(strata * (subgroups.max(initial=0) + 1) + subgroups, return_inverse=True)[1]


def point_out_contradictions(deal: Deal) -> None:
    """Log where clusters are larger than a block, and where they and strata contradict each other."""
    if deal.clusters is None or len(deal.sizes) == 1:
        return
    sizes = np.bincount(deal.clusters)
    if n_large := np.count_nonzero(sizes > shuffling.SHUFFLE_BLOCK_ROWS):
        logger.warning(
            "%d of %d clusters have more than %d rows and are cut: their rows lie in several blocks",
            n_large, len(sizes), shuffling.SHUFFLE_BLOCK_ROWS,
        )  # fmt: skip
    if deal.strata is None:
        return
    pairs = np.unique(deal.clusters * (deal.strata.full.max() + 1) + deal.strata.full)
    if n_apart := len(sizes) - np.count_nonzero(np.bincount(pairs // (deal.strata.full.max() + 1)) == 1):
        logger.warning(
            "%d of %d clusters have rows in several strata: clusters stay whole, so that some rows of such a stratum "
            "lie in other blocks and exchange no values with the rest",
            n_apart, len(sizes),
        )  # fmt: skip


def _bounded(clusters: np.ndarray) -> np.ndarray:
    """Return clusters of which those with more rows than a block are cut, in the order of the rows."""
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters)
    place = np.empty(len(clusters), dtype=np.int64)
    place[order] = np.arange(len(clusters)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    pieces = place // shuffling.SHUFFLE_BLOCK_ROWS
    return np.unique(clusters * (pieces.max() + 1) + pieces, return_inverse=True)[1]


def _homes(items: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Return for each item, a row or a cluster, the stratum of most of its rows; of equally many the first."""
    width = int(strata.max()) + 1
    pairs, counts = np.unique(items * width + strata, return_counts=True)
    best = np.lexsort((-counts, pairs // width))
    return (pairs % width)[best[np.flatnonzero(np.diff(pairs // width, prepend=-1))]]


def _parts(homes: np.ndarray, weights: np.ndarray, order: np.ndarray, n_blocks: int) -> np.ndarray:
    """Return for each item the unit that it is dealt with: its stratum, or a part of it along the deal's order."""
    items = order[np.argsort(homes[order], kind="stable")]
    rows, strata = weights[items], np.unique(homes[items], return_inverse=True)[1]
    totals = np.bincount(strata, weights=rows).astype(np.int64)
    fewest = min(FEWEST_PART_ROWS, shuffling.SHUFFLE_BLOCK_ROWS // 4)
    n_parts = np.clip(totals // fewest, 1, n_blocks)
    before = np.cumsum(rows) - rows - (np.cumsum(totals) - totals)[strata]
    parts = before * n_parts[strata] // totals[strata]
    large = rows > shuffling.SHUFFLE_BLOCK_ROWS // 2  # clusters that would not fit into a block beside such a part
    parts[large] = n_blocks + np.flatnonzero(large)
    found = np.empty(len(items), dtype=np.int64)
    found[items] = np.unique(strata * (parts.max() + 1) + parts, return_inverse=True)[1]
    return found


def _pack(
    units: np.ndarray, homes: np.ndarray, weights: np.ndarray, order: np.ndarray, *, n_blocks: int
) -> tuple[np.ndarray, int]:
    """Return for each item the block of its unit, and how many rows the fullest block has.

    The largest comes first and goes where the fewest rows are (Graham, "Bounds on Multiprocessing Timing Anomalies",
    1969), the parts of a stratum one after the other and into different blocks; of equal ones, that which the deal's
    order names first.
    """
    sizes = np.bincount(units, weights=weights).astype(np.int64)
    first = np.unique(units[order], return_index=True)[1]
    home = homes[order][first]
    totals, first_of_home = np.bincount(home, weights=sizes), np.full(home.max() + 1, len(order))
    np.minimum.at(first_of_home, home, first)
    queue = np.lexsort((first, -sizes, first_of_home[home], -totals[home]))
    found = np.empty(len(sizes), dtype=np.int64)
    free, taken, last = [(0, number) for number in range(n_blocks)], list[tuple[int, int]](), -1
    for unit, size, stratum in zip(queue.tolist(), sizes[queue].tolist(), home[queue].tolist(), strict=True):
        if stratum != last or not free:
            for block in taken:
                heapq.heappush(free, block)
            taken, last = [], stratum
        load, number = heapq.heappop(free)
        found[unit] = number
        taken.append((load + size, number))
    return found[units], max(load for load, _ in (*free, *taken))
