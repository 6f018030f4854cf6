"""Which deviations stand at some ranks, where no one machine holds them all.

A tally tells by the upper 16 bits of the float32 in which bin a rank lies. The deviations of these bins are looked at
once more, wherever they are, and come back as counts of what they are: of values themselves, or, where so many lie in
these bins that their counts might be too large, of their next bits first. Counts are added up, so that it does not
matter who counts which rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_BITS = 32
_OF_BINS = 16  # upper bits that a tally counts by
_BETWEEN = 24  # upper bits that are looked at first where there are many
_MOST_VALUES = 1 << 22  # in the bins of all wanted ranks, which are counted by value at once

Counts = tuple[np.ndarray, np.ndarray]
"""Upper bits of deviations, ascending and each once, and how many deviations have them."""


@dataclass(frozen=True)
class Wanted:
    """Deviations that are looked for.

    Attributes
    ----------
    number : int
        Position of the perturbation.
    repeat : int or None
        Of one repeat alone; None for all.
    prefixes : ndarray of shape (n,), uint32
        Their upper bits: which these may be.
    n_bits : int
        How many bits a prefix has.
    finer : int
        How many upper bits shall be told of them.
    """

    number: int
    repeat: int | None
    prefixes: np.ndarray
    n_bits: int
    finer: int

    def count(self, deviations: np.ndarray) -> Counts:
        """Count some of the deviations, of shape (n_rows,), float32; NaN is no deviation."""
        bits = np.ascontiguousarray(deviations).view(np.uint32)
        upper = bits >> np.uint32(_BITS - self.n_bits)
        place = np.minimum(np.searchsorted(self.prefixes, upper), len(self.prefixes) - 1)
        found = bits[self.prefixes[place] == upper] >> np.uint32(_BITS - self.finer)
        return np.unique(found, return_counts=True)


Look = Callable[[Sequence[Wanted]], Sequence[Counts]]
"""Counts, for each of what is wanted, the deviations of all rows."""


def added(counts: Iterable[Counts]) -> Counts:
    """Return the counts of all rows from those of some."""
    parts = list(counts)
    if not parts:
        return np.empty(0, np.uint32), np.empty(0, np.int64)
    bits, place = np.unique(np.concatenate([each for each, _ in parts]), return_inverse=True)
    sums = np.zeros(len(bits), dtype=np.int64)
    np.add.at(sums, place, np.concatenate([each for _, each in parts]))
    return bits.astype(np.uint32), sums


@dataclass(frozen=True)
class Ranks:
    """Ranks of one perturbation's deviations.

    Attributes
    ----------
    number : int
        Position of the perturbation.
    bins : ndarray of shape (32768,), int64
        How many deviations share their upper 16 bits.
    ranks : sequence of int
        From 0, among those that are not left out.
    repeat : int or None
        Of one repeat alone, which `bins` are then of; None for all.
    """

    number: int
    bins: np.ndarray
    ranks: Sequence[int]
    repeat: int | None = None


def values_at(asked: Sequence[Ranks], look: Look) -> list[dict[int, float]]:
    """Return, for each of what is asked, the deviation at each rank, exactly.

    Parameters
    ----------
    asked : sequence of Ranks
    look : callable
        Is called once, or twice where the bins of the wanted ranks hold more than four million deviations.
    """
    known = [_Known.of(each) for each in asked]
    n_values = sum(each.n_values for each in known)
    for finer in (_BETWEEN, _BITS) if n_values > _MOST_VALUES else (_BITS,):
        wanted = [each.wanted(finer) for each in known]
        some = [place for place, each in enumerate(wanted) if len(each.prefixes)]
        found = look([wanted[place] for place in some]) if some else []
        for place, counts in zip(some, found, strict=True):
            known[place] = known[place].narrowed(counts, finer)
    return [each.values for each in known]


@dataclass(frozen=True)
class _Known:
    """What is known of the deviations at some ranks: their upper bits, and their rank among those that share them."""

    asked: Ranks
    n_bits: int
    places: Mapping[int, tuple[int, int]]
    n_values: int = 0

    @classmethod
    def of(cls, asked: Ranks) -> _Known:
        bits = np.arange(len(asked.bins), dtype=np.uint32)
        every = {rank: (0, rank) for rank in asked.ranks}
        found = cls(asked, 0, every).narrowed((bits, asked.bins), _OF_BINS)
        prefixes = {prefix for prefix, _ in found.places.values()}
        return cls(asked, _OF_BINS, found.places, int(asked.bins[list(prefixes)].sum()))

    def wanted(self, finer: int) -> Wanted:
        prefixes = np.unique(np.array([prefix for prefix, _ in self.places.values()], dtype=np.uint32))
        return Wanted(self.asked.number, self.asked.repeat, prefixes, self.n_bits, finer)

    def narrowed(self, counts: Counts, finer: int) -> _Known:
        """Return what is known once those that share the bits have been counted by more of them."""
        bits, sums = counts
        ends = np.cumsum(sums)
        upper = bits >> np.uint32(finer - self.n_bits) if self.n_bits else np.zeros_like(bits)
        places = {}
        for rank, (prefix, within) in self.places.items():
            first = int(np.searchsorted(upper, prefix))
            before = int(ends[first - 1]) if first else 0
            place = int(np.searchsorted(ends, before + within, side="right"))
            places[rank] = int(bits[place]), before + within - (int(ends[place - 1]) if place else 0)
        return _Known(self.asked, finer, places)

    @property
    def values(self) -> dict[int, float]:
        return {rank: float(np.uint32(bits).view(np.float32)) for rank, (bits, _) in self.places.items()}
