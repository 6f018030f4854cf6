"""What is counted of deviations while they stream by, so that their statistics need no more than another look.

Few deviations are sorted. Many are counted: they are float32 and not negative, so that their bits, read as integers,
are in the same order as their values. A histogram of the upper 16 bits tells in which bin a quantile lies, a second
pass over the values of that bin gives it exactly. Sums are taken as integers per exponent, so that they come out the
same in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

Read = Callable[[int], Iterable[np.ndarray]]
"""Gives one perturbation's deviations, by its position: arrays of shape (n_rows,), float32."""

BINS = 1 << 15
"""Upper 16 bits of a float32 without its sign: numbers that these can be."""

_FEW_BYTES = 1 << 26  # of deviations that are sorted all together rather than counted: 64 MiB
_MOST_NEW = 1 << 20  # values gathered before equal ones are counted together
_MANTISSA = 0x7FFFFF
_EXPONENTS = 256
_SMALLEST = -149  # exponent of the smallest float32


@dataclass
class Tally:
    """What is counted while deviations stream by, for each of the perturbations.

    Attributes
    ----------
    n_rows : int
        Rows seen of each perturbation, once for each repeat.
    skipped : ndarray of shape (n_perturbations,), int64
        Rows that were left out: their deviation is NaN.
    few : list of ndarray of shape (n_perturbations, ...), float32
        The deviations themselves, as long as there are few.
    bins : ndarray of shape (n_perturbations, 32768), int64, or None
        How many deviations share the upper 16 bits, once there are more.
    sums : ndarray of shape (n_perturbations, 256), int64
        Sums of the mantissas of deviations with the same exponent.
    fallen : ndarray of shape (n_perturbations, 256), int64
        The same for those where the prediction has fallen.
    largest : ndarray of shape (n_perturbations,), float32
    moved : ndarray of shape (n_perturbations,), int64
        Rows in which the perturbation changed the feature's value.
    flipped : ndarray of shape (n_perturbations,), int64
        Rows in which the decision has changed.
    unmoved_largest : ndarray of shape (n_perturbations,), float32
        Largest deviation of a row whose value did not change: 0 unless rows mix or the model draws random numbers.
    signed : bool
        Whether deviations have a direction.
    decided : set of int
        What the model decides of rows as they are.
    """

    n_rows: int
    skipped: np.ndarray
    few: list[np.ndarray]
    bins: np.ndarray | None
    sums: np.ndarray
    fallen: np.ndarray
    largest: np.ndarray
    moved: np.ndarray
    flipped: np.ndarray
    unmoved_largest: np.ndarray
    signed: bool = True
    decided: set[int] = field(default_factory=set)

    @classmethod
    def empty(cls, n_perturbations: int, signed: bool = True) -> Tally:
        """Return a tally that has seen nothing."""

        def counts(*width: int) -> np.ndarray:
            return np.zeros((n_perturbations, *width), dtype=np.int64)

        return cls(
            n_rows=0,
            skipped=counts(),
            few=[],
            bins=None,
            sums=counts(_EXPONENTS),
            fallen=counts(_EXPONENTS),
            largest=np.zeros(n_perturbations, dtype=np.float32),
            moved=counts(),
            flipped=counts(),
            unmoved_largest=np.zeros(n_perturbations, dtype=np.float32),
            signed=signed,
        )

    @property
    def n_kept(self) -> np.ndarray:
        """Deviations of each perturbation, of shape (n_perturbations,): those of rows that were not left out."""
        return self.n_rows - self.skipped

    def add(self, deviations: np.ndarray, moved: np.ndarray, fell: np.ndarray, flipped: np.ndarray) -> None:
        """Count a block.

        Parameters
        ----------
        deviations : ndarray of shape (n_perturbations, n_rows), float32
            Finite and not negative, or NaN for a row that is left out.
        moved, fell, flipped : ndarray of shape (n_perturbations, n_rows), bool
            Whether the feature's value has changed, the prediction has fallen, the decision is another one; False for
            a row that is left out.
        """
        self.n_rows += deviations.shape[1]
        left_out = np.isnan(deviations)
        for position, (every, changed) in enumerate(zip(deviations, moved, strict=True)):
            kept = slice(None) if not left_out[position].any() else ~left_out[position]
            values = every[kept]
            self.sums[position] += _mantissa_sums(values.view(np.uint32))
            self.fallen[position] += _mantissa_sums(every[fell[position]].view(np.uint32))
            self.largest[position] = max(self.largest[position], values.max(initial=0))
            still = values[~changed[kept]].max(initial=0)
            self.unmoved_largest[position] = max(self.unmoved_largest[position], still)
        self.skipped += left_out.sum(axis=1)
        self.moved += moved.sum(axis=1)
        self.flipped += flipped.sum(axis=1)
        self.few.append(deviations)
        if self.bins is not None or sum(block.nbytes for block in self.few) > _FEW_BYTES:
            self.count_all()

    def order_statistics(self, number: int, ranks: Sequence[int], read: Read) -> dict[int, float]:
        """Return exact order statistics of one perturbation's deviations.

        Parameters
        ----------
        number : int
            Position of the perturbation.
        ranks : sequence of int
            From 0, among the deviations of rows that were not left out.
        read : callable
            Gives the same deviations once more.

        Returns
        -------
        dict of int to float
            The value at each rank.
        """
        if self.bins is None:
            every = np.sort(np.concatenate([block[number] for block in self.few]))
            return {rank: float(every[rank]) for rank in ranks}
        return _order_statistics(self.bins[number], ranks, read(number))

    def take_in(self, other: Tally) -> None:
        """Add what another tally of the same perturbations has counted of other rows; both have counted all."""
        if self.bins is None or other.bins is None:
            raise RuntimeError("deviations are counted before tallies are added")
        self.n_rows += other.n_rows
        self.bins += other.bins
        self.skipped += other.skipped
        self.sums += other.sums
        self.fallen += other.fallen
        self.moved += other.moved
        self.flipped += other.flipped
        np.maximum(self.largest, other.largest, out=self.largest)
        np.maximum(self.unmoved_largest, other.unmoved_largest, out=self.unmoved_largest)
        self.decided |= other.decided

    def count_all(self) -> None:
        """Count the deviations that are held as they are."""
        if self.bins is None:
            self.bins = np.zeros((len(self.sums), BINS), dtype=np.int64)
        for block in self.few:
            for counted, values in zip(self.bins, block, strict=True):
                bins, counts = np.unique((values.view(np.uint32) >> 16).astype(np.uint16), return_counts=True)
                counted[bins] += counts
        self.few.clear()

    def mean_of(self, number: int) -> float:
        """Return the mean of one perturbation's deviations, correctly rounded; NaN where there are none."""
        return self._rounded(number, _total(self.sums[number]))

    def shift_of(self, number: int) -> float:
        """Return by how much predictions have risen on average under one perturbation, correctly rounded.

        NaN for distances, which have no direction.
        """
        if not self.signed:
            return math.nan
        return self._rounded(number, _total(self.sums[number]) - 2 * _total(self.fallen[number]))

    def means(self) -> np.ndarray:
        """Return `mean_of` each perturbation, of shape (n_perturbations,)."""
        return np.array([self.mean_of(number) for number in range(len(self.sums))])

    def shifts(self) -> np.ndarray:
        """Return `shift_of` each perturbation, of shape (n_perturbations,)."""
        return np.array([self.shift_of(number) for number in range(len(self.sums))])

    def _rounded(self, number: int, total: int) -> float:
        count = int(self.n_kept[number])
        return math.ldexp(total / count, _SMALLEST) if count else math.nan


def _order_statistics(bins: np.ndarray, ranks: Sequence[int], blocks: Iterable[np.ndarray]) -> dict[int, float]:
    """Return the values at some ranks, from how many share their upper 16 bits and another look at them."""
    ends = np.cumsum(bins)
    bin_of = {rank: int(np.searchsorted(ends, rank, side="right")) for rank in ranks}
    wanted = np.zeros(BINS, dtype=bool)
    wanted[list(bin_of.values())] = True
    found = _Counted()
    for values in blocks:
        bits = values.view(np.uint32)
        found.add(bits[wanted[bits >> 16]])
    kept, ends_kept = found.counts()
    before = np.cumsum(np.where(wanted, bins, 0)) - ends
    places = {rank: np.searchsorted(ends_kept, rank + before[number], side="right") for rank, number in bin_of.items()}
    return {rank: float(kept[place].view(np.float32)) for rank, place in places.items()}


class _Counted:
    """How often each of some integers has come, in memory for the different ones and a batch of new ones."""

    def __init__(self) -> None:
        self._values = np.empty(0, dtype=np.uint32)
        self._counts = np.empty(0, dtype=np.int64)
        self._new: list[np.ndarray] = []
        self._n_new = 0

    def add(self, values: np.ndarray) -> None:
        self._new.append(values)
        self._n_new += len(values)
        if self._n_new > _MOST_NEW:
            self._merge()

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the different values, ascending, and for each how many are not larger."""
        self._merge()
        return self._values, np.cumsum(self._counts)

    def _merge(self) -> None:
        values = np.concatenate([self._values, *self._new])
        counts = np.concatenate([self._counts, np.ones(self._n_new, dtype=np.int64)])
        self._values, place = np.unique(values, return_inverse=True)
        self._counts = np.bincount(place, weights=counts, minlength=len(self._values)).astype(np.int64)
        self._new, self._n_new = [], 0


def _total(sums: np.ndarray) -> int:
    """Return sums of mantissas as a whole number of the smallest float32."""
    return sum(part << max(exponent, 1) - 1 for exponent, part in enumerate(sums.tolist()) if part)


def _mantissa_sums(bits: np.ndarray) -> np.ndarray:
    """Return exact sums of mantissas for each exponent; float64 adds integers up to 2**53 without rounding."""
    exponents = bits >> 23
    mantissas = (bits & _MANTISSA) | np.where(exponents > 0, np.uint32(_MANTISSA + 1), np.uint32(0))
    return np.bincount(exponents, weights=mantissas, minlength=_EXPONENTS).astype(np.int64)
