"""What a deviation table says of each perturbation: exact numbers that do not depend on the order of the rows.

Few deviations are sorted. Many are counted while they stream by: they are float32 and not negative, so that their bits,
read as integers, are in the same order as their values. A histogram of the upper 16 bits tells in which bin a quantile
lies, a second pass over the values of that bin gives it exactly. Sums are taken as integers per exponent, so that they
come out the same in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.perturbations import Perturbation

QUANTILES = {"median": 0.5, "q05": 0.05, "q25": 0.25, "q75": 0.75, "q95": 0.95}
SUMMARY_COLUMNS = (
    "perturbation", "feature", "way", "value", "rows", "median", "median_low", "median_high", "median_spread", "mean",
    "shift", "q05", "q25", "q75", "q95", "max", "changed_share", "changed_median",
)  # fmt: skip

Read = Callable[[int], Iterable[np.ndarray]]
"""Gives one perturbation's deviations, by its position: arrays of shape (n_rows,), float32."""

_BINS = 1 << 15  # upper 16 bits of a float32 without its sign
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
        Deviations seen of each perturbation.
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
    unmoved_largest : ndarray of shape (n_perturbations,), float32
        Largest deviation of a row whose value did not change: 0 unless rows mix or the model draws random numbers.
    signed : bool
        Whether deviations have a direction.
    """

    n_rows: int
    few: list[np.ndarray]
    bins: np.ndarray | None
    sums: np.ndarray
    fallen: np.ndarray
    largest: np.ndarray
    moved: np.ndarray
    unmoved_largest: np.ndarray
    signed: bool = True

    @classmethod
    def empty(cls, n_perturbations: int, signed: bool = True) -> Tally:
        """Return a tally that has seen nothing."""
        counts = np.zeros(n_perturbations, dtype=np.int64)
        largest = np.zeros(n_perturbations, dtype=np.float32)
        return cls(
            0,
            [],
            None,
            np.zeros((n_perturbations, _EXPONENTS), dtype=np.int64),
            np.zeros((n_perturbations, _EXPONENTS), dtype=np.int64),
            largest,
            counts,
            largest.copy(),
            signed,
        )

    def add(self, deviations: np.ndarray, moved: np.ndarray, fell: np.ndarray) -> None:
        """Count a block.

        Parameters
        ----------
        deviations : ndarray of shape (n_perturbations, n_rows), float32
            Finite and not negative.
        moved, fell : ndarray of shape (n_perturbations, n_rows), bool
            Whether the feature's value has changed, and whether the prediction has fallen.
        """
        self.n_rows += deviations.shape[1]
        for position, (values, changed) in enumerate(zip(deviations, moved, strict=True)):
            bits = values.view(np.uint32)
            self.sums[position] += _mantissa_sums(bits)
            self.fallen[position] += _mantissa_sums(bits[fell[position]])
            self.largest[position] = max(self.largest[position], values.max(initial=0))
            self.moved[position] += np.count_nonzero(changed)
            still = values[~changed].max(initial=0)
            self.unmoved_largest[position] = max(self.unmoved_largest[position], still)
        self.few.append(deviations)
        if self.bins is not None or sum(block.nbytes for block in self.few) > _FEW_BYTES:
            self._count_few()

    def order_statistics(self, number: int, ranks: Sequence[int], read: Read) -> dict[int, float]:
        """Return exact order statistics of one perturbation's deviations.

        Parameters
        ----------
        number : int
            Position of the perturbation.
        ranks : sequence of int
            From 0.
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

    def _count_few(self) -> None:
        if self.bins is None:
            self.bins = np.zeros((len(self.sums), _BINS), dtype=np.int64)
        for block in self.few:
            for counted, values in zip(self.bins, block, strict=True):
                bins, counts = np.unique((values.view(np.uint32) >> 16).astype(np.uint16), return_counts=True)
                counted[bins] += counts
        self.few.clear()

    def means(self) -> np.ndarray:
        """Return the mean of each perturbation's deviations, correctly rounded; shape (n_perturbations,)."""
        return self._rounded(_totals(self.sums))

    def shifts(self) -> np.ndarray:
        """Return by how much predictions have risen on average, correctly rounded; shape (n_perturbations,).

        NaN for distances, which have no direction.
        """
        if not self.signed:
            return np.full(len(self.sums), math.nan)
        pairs = zip(_totals(self.sums), _totals(self.fallen), strict=True)
        return self._rounded([total - 2 * fallen for total, fallen in pairs])

    def _rounded(self, totals: Iterable[int]) -> np.ndarray:
        return np.array([math.ldexp(total / self.n_rows, _SMALLEST) for total in totals])


def _order_statistics(bins: np.ndarray, ranks: Sequence[int], blocks: Iterable[np.ndarray]) -> dict[int, float]:
    """Return the values at some ranks, from how many share their upper 16 bits and another look at them."""
    ends = np.cumsum(bins)
    bin_of = {rank: int(np.searchsorted(ends, rank, side="right")) for rank in ranks}
    wanted = np.zeros(_BINS, dtype=bool)
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


@dataclass(frozen=True)
class Certain:
    """How sure a median is.

    Attributes
    ----------
    low, high : int
        Ranks, from 0 among all deviations of a perturbation, between which the median lies with 95 % confidence.
    spread : float
        Standard deviation of the medians of the repeats; NaN for a single one.
    """

    low: int
    high: int
    spread: float


Certainty = Callable[[int, float], Certain]
"""Tells for a perturbation, by its position, and its median how sure that is."""


def summarize(
    perturbations: Sequence[Perturbation], tally: Tally, read: Read, certainty: Certainty | None = None
) -> pd.DataFrame:
    """Describe each perturbation's deviations, all rows of all repeats pooled.

    Parameters
    ----------
    perturbations : sequence of Perturbation
    tally : Tally
        Of all deviations.
    read : callable
        Gives the deviations of one perturbation, by its position, once more: arrays of shape (n_rows,), float32.
    certainty : callable, optional
        Tells how sure a median is; without it the columns on that are NaN.

    Returns
    -------
    DataFrame
        A row for each perturbation with the columns `SUMMARY_COLUMNS`, ordered by median, ties by mean, largest first.
        Quantiles interpolate linearly between order statistics (Hyndman and Fan, 1996, definition 7).
        The median lies between `median_low` and `median_high` with 95 % confidence (see `analysis.intervals`), and
        `median_spread` is the standard deviation of the repeats' medians. `shift` is by how much predictions have risen
        on average, NaN for a distance. `changed_share` is the share of rows in
        which the feature's value changed, `changed_median` the median over these rows, NaN where there are none, or
        where rows moved whose value did not change.
    """
    rows, shifts = [], tally.shifts().tolist()
    for number, (perturbation, mean) in enumerate(zip(perturbations, tally.means().tolist(), strict=True)):
        moved = int(tally.moved[number])
        steady = tally.unmoved_largest[number] == 0
        positions = _positions(tally.n_rows, moved if steady else 0)
        ranks = sorted({rank for at in positions.values() for rank in (int(at), math.ceil(at))})
        found = tally.order_statistics(number, ranks, read)
        quantiles = {name: _interpolated(at, found) for name, at in positions.items()}
        limits = dict.fromkeys(("median_low", "median_high", "median_spread"), math.nan)
        if certainty is not None:
            sure = certainty(number, quantiles["median"])
            found = tally.order_statistics(number, sorted({sure.low, sure.high}), read)
            limits = {"median_low": found[sure.low], "median_high": found[sure.high], "median_spread": sure.spread}
        rows.append(
            {
                "perturbation": perturbation.name,
                "feature": perturbation.feature.name,
                "way": perturbation.way,
                "value": perturbation.value,
                "rows": tally.n_rows,
                "mean": mean,
                "shift": shifts[number],
                "max": float(tally.largest[number]),
                "changed_share": moved / tally.n_rows,
                "changed_median": math.nan,
                **quantiles,
                **limits,
            }
        )
    summary = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    summary["value"] = pd.Series([row["value"] for row in rows], dtype=object)
    order = sorted(range(len(rows)), key=lambda number: (-summary["median"][number], -summary["mean"][number], number))
    return summary.iloc[order].reset_index(drop=True)


def _totals(sums: np.ndarray) -> list[int]:
    """Return sums of mantissas as whole numbers of the smallest float32."""
    exponents = [max(exponent, 1) - 1 for exponent in range(_EXPONENTS)]
    return [sum(int(part) << exponent for part, exponent in zip(row, exponents, strict=True)) for row in sums]


def _mantissa_sums(bits: np.ndarray) -> np.ndarray:
    """Return exact sums of mantissas for each exponent; float64 adds integers up to 2**53 without rounding."""
    exponents = bits >> 23
    mantissas = (bits & _MANTISSA) | np.where(exponents > 0, np.uint32(_MANTISSA + 1), np.uint32(0))
    return np.bincount(exponents, weights=mantissas, minlength=_EXPONENTS).astype(np.int64)


def _positions(n_rows: int, n_moved: int) -> dict[str, float]:
    """Return where each quantile lies among the sorted deviations.

    Rows whose value did not change have deviation 0 and come first, so the changed rows are the last ones.
    """
    positions = {name: share * (n_rows - 1) for name, share in QUANTILES.items()}
    if n_moved:
        positions["changed_median"] = n_rows - n_moved + 0.5 * (n_moved - 1)
    return positions


def _interpolated(position: float, values: dict[int, float]) -> float:
    low, high = values[int(position)], values[math.ceil(position)]
    return low + (high - low) * (position - int(position))
