"""What a deviation table says of each perturbation: exact numbers that do not depend on the order of the rows.

Deviations are float32 and not negative, so that their bits, read as integers, are in the same order as their values. A
histogram of the upper 16 bits tells in which bin a quantile lies, a second pass over the lower 16 bits of that bin
gives it exactly. Sums are taken as integers per exponent. Both add up over blocks, in any order, to the same result.
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
    "perturbation", "feature", "way", "value", "rows", "median", "mean", "q05", "q25", "q75", "q95", "max",
    "changed_share", "changed_median",
)  # fmt: skip

_BINS = 1 << 15  # upper 16 bits of a float32 without its sign
_LOW = 1 << 16
_MANTISSA = 0x7FFFFF
_EXPONENTS = 256
_SMALLEST = -149  # exponent of the smallest float32


@dataclass
class Tally:
    """What is counted while deviations stream by, for each of the perturbations; tallies of two blocks add up.

    Attributes
    ----------
    n_rows : int
        Deviations seen of each perturbation.
    bins : ndarray of shape (n_perturbations, 32768), int64
        How many deviations share the upper 16 bits.
    sums : ndarray of shape (n_perturbations, 256), int64
        Sums of the mantissas of deviations with the same exponent.
    largest : ndarray of shape (n_perturbations,), float32
    moved : ndarray of shape (n_perturbations,), int64
        Rows in which the perturbation changed the feature's value.
    unmoved_largest : ndarray of shape (n_perturbations,), float32
        Largest deviation of a row whose value did not change: 0 unless rows mix or the model draws random numbers.
    """

    n_rows: int
    bins: np.ndarray
    sums: np.ndarray
    largest: np.ndarray
    moved: np.ndarray
    unmoved_largest: np.ndarray

    @classmethod
    def empty(cls, n_perturbations: int) -> Tally:
        """Return a tally that has seen nothing."""
        counts = np.zeros(n_perturbations, dtype=np.int64)
        largest = np.zeros(n_perturbations, dtype=np.float32)
        return cls(
            0,
            np.zeros((n_perturbations, _BINS), dtype=np.int64),
            np.zeros((n_perturbations, _EXPONENTS), dtype=np.int64),
            largest,
            counts,
            largest.copy(),
        )

    def add(self, deviations: np.ndarray, moved: np.ndarray) -> None:
        """Count a block.

        Parameters
        ----------
        deviations : ndarray of shape (n_perturbations, n_rows), float32
            Finite and not negative.
        moved : ndarray of shape (n_perturbations, n_rows), bool
        """
        self.n_rows += deviations.shape[1]
        for position, (values, changed) in enumerate(zip(deviations, moved, strict=True)):
            bits = values.view(np.uint32)
            self.bins[position] += np.bincount(bits >> 16, minlength=_BINS)
            self.sums[position] += _mantissa_sums(bits)
            self.largest[position] = max(self.largest[position], values.max(initial=0))
            self.moved[position] += np.count_nonzero(changed)
            still = values[~changed].max(initial=0)
            self.unmoved_largest[position] = max(self.unmoved_largest[position], still)

    def means(self) -> np.ndarray:
        """Return the mean of each perturbation's deviations, correctly rounded; shape (n_perturbations,)."""
        exponents = [max(exponent, 1) - 1 for exponent in range(_EXPONENTS)]
        totals = [
            sum(int(part) << exponent for part, exponent in zip(row, exponents, strict=True)) for row in self.sums
        ]
        return np.array([math.ldexp(total / self.n_rows, _SMALLEST) for total in totals])


def order_statistics(bins: np.ndarray, ranks: Sequence[int], blocks: Iterable[np.ndarray]) -> dict[int, float]:
    """Return exact order statistics of one perturbation's deviations.

    Parameters
    ----------
    bins : ndarray of shape (32768,), int64
        How many deviations share the upper 16 bits.
    ranks : sequence of int
        From 0.
    blocks : iterable of ndarray of shape (n_rows,), float32
        The same deviations once more.

    Returns
    -------
    dict of int to float
        The value at each rank.
    """
    ends = np.cumsum(bins)
    bin_of = {rank: int(np.searchsorted(ends, rank, side="right")) for rank in ranks}
    low_counts = {number: np.zeros(_LOW, dtype=np.int64) for number in bin_of.values()}
    for values in blocks:
        bits = values.view(np.uint32)
        for number in low_counts:
            low_counts[number] += np.bincount(bits[(bits >> 16) == number] & (_LOW - 1), minlength=_LOW)
    found = {}
    for rank, number in bin_of.items():
        before = ends[number] - bins[number]
        low = np.searchsorted(np.cumsum(low_counts[number]), rank - before, side="right")
        found[rank] = float(np.uint32((number << 16) | int(low)).view(np.float32))
    return found


def summarize(
    perturbations: Sequence[Perturbation], tally: Tally, read: Callable[[int], Iterable[np.ndarray]]
) -> pd.DataFrame:
    """Describe each perturbation's deviations, all rows of all repeats pooled.

    Parameters
    ----------
    perturbations : sequence of Perturbation
    tally : Tally
        Of all deviations.
    read : callable
        Gives the deviations of one perturbation, by its position, once more: arrays of shape (n_rows,), float32.

    Returns
    -------
    DataFrame
        A row for each perturbation with the columns `SUMMARY_COLUMNS`, ordered by median, ties by mean, largest first.
        Quantiles interpolate linearly between order statistics (Hyndman and Fan, 1996, definition 7).
        `changed_share` is the share of rows in which the feature's value changed, `changed_median` the median over
        these rows, NaN where there are none, or where rows moved whose value did not change.
    """
    rows = []
    for number, (perturbation, mean) in enumerate(zip(perturbations, tally.means().tolist(), strict=True)):
        moved = int(tally.moved[number])
        steady = tally.unmoved_largest[number] == 0
        positions = _positions(tally.n_rows, moved if steady else 0)
        ranks = sorted({rank for at in positions.values() for rank in (int(at), math.ceil(at))})
        found = order_statistics(tally.bins[number], ranks, read(number))
        quantiles = {name: _interpolated(at, found) for name, at in positions.items()}
        rows.append(
            {
                "perturbation": perturbation.name,
                "feature": perturbation.feature.name,
                "way": perturbation.way,
                "value": perturbation.value,
                "rows": tally.n_rows,
                "mean": mean,
                "max": float(tally.largest[number]),
                "changed_share": moved / tally.n_rows,
                "changed_median": math.nan,
                **quantiles,
            }
        )
    summary = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    summary["value"] = pd.Series([row["value"] for row in rows], dtype=object)
    order = sorted(range(len(rows)), key=lambda number: (-summary["median"][number], -summary["mean"][number], number))
    return summary.iloc[order].reset_index(drop=True)


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
