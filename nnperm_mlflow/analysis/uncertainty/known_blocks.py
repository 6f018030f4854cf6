"""The rows on which variances are found: whole shuffle blocks, since these hold all donors of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock
from nnperm_mlflow.analysis.uncertainty._stratified_variance import StratifiedExchange
from nnperm_mlflow.analysis.uncertainty.variance import Exchange, KnownDependence

ENOUGH_CLUSTERS = 1_000
"""Clusters whose rows tell how much a mean varies."""

Draw = Callable[[ShuffleBlock, int], np.ndarray | None]
"""Gives each row's donor, as a position in a shuffle block, for a repeat; None where rows receive none's value."""

StrataOf = Callable[[ShuffleBlock], np.ndarray | None]
"""Gives the number of each row's stratum in a shuffle block; None where all of its rows may exchange values."""


@dataclass(frozen=True)
class KnownBlocks:
    """Shuffle blocks on which variances are found.

    Attributes
    ----------
    blocks : tuple of ShuffleBlock
        The first ones, in their order.
    clusters : ndarray of shape (n_rows,), int64, or None
        Number of each of their rows' cluster, from 0.
    """

    blocks: tuple[ShuffleBlock, ...]
    clusters: np.ndarray | None

    @classmethod
    def of(cls, dealt: Iterable[ShuffleBlock], clusters: np.ndarray | None, most_rows: int = 0) -> KnownBlocks:
        """Choose the first block, or with clusters as many as hold 1,000 of them, or all.

        Parameters
        ----------
        dealt : iterable of ShuffleBlock
            All shuffle blocks, in their order.
        clusters : ndarray of shape (n_rows,), int64, or None
            Number of each row's cluster.
        most_rows : int
            Of small blocks as many more are taken as have no more rows than that in all.
        """
        blocks: list[ShuffleBlock] = []
        seen, n_rows = np.empty(0, dtype=np.int64), 0
        for block in dealt:
            blocks.append(block)
            n_rows += len(block.rows)
            if clusters is not None:
                seen = np.union1d(seen, clusters[block.rows])
            is_enough = clusters is None or len(seen) >= ENOUGH_CLUSTERS
            if is_enough and n_rows + len(block.rows) > most_rows:
                break
        if clusters is None:
            return cls(tuple(blocks), None)
        rows = np.concatenate([block.rows for block in blocks])
        return cls(tuple(blocks), np.searchsorted(seen, clusters[rows]))

    def first(self, n_blocks: int | None) -> KnownBlocks:
        """Return as many of the first blocks; all where there are no more, or nothing is said."""
        if n_blocks is None or n_blocks >= len(self.blocks):
            return self
        found = replace(self, blocks=self.blocks[:n_blocks])
        if self.clusters is None:
            return found
        return replace(found, clusters=np.unique(self.clusters[: found.n_rows], return_inverse=True)[1])

    @property
    def n_rows(self) -> int:
        """How many rows they have."""
        return sum(len(block.rows) for block in self.blocks)

    def dependence(self, draw: Draw, repeats: Iterable[int], strata_of: StrataOf = lambda _: None) -> KnownDependence:
        """Return which of the rows have to do with each other, one block after the other.

        Where there are clusters and strata, clusters win, and what a stratum lies off counts more than once: too much
        rather than too little.

        Parameters
        ----------
        draw : callable
        repeats : iterable of int
            Numbers of the repeats.
        strata_of : callable
        """
        drawn = (self._joined([draw(block, repeat) for block in self.blocks]) for repeat in repeats)
        donors = [positions for positions in drawn if positions is not None]
        strata = [strata_of(block) for block in self.blocks] if donors and self.clusters is None else []
        numbers = [each for each in strata if each is not None]  # a feature has strata in all blocks, or in none
        if not numbers:
            return Exchange(donors or None, self.clusters)
        return StratifiedExchange(donors, np.concatenate(numbers))

    def _joined(self, donors: list[np.ndarray | None]) -> np.ndarray | None:
        """Return the positions of donors among the rows of all blocks, from those in each."""
        joined, first = [], 0
        for block, positions in zip(self.blocks, donors, strict=True):
            if positions is None:
                return None
            joined.append(first + positions.astype(np.int64))
            first += len(block.rows)
        return np.concatenate(joined)
