"""What a deviation table says of each perturbation: exact numbers that do not depend on the order of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from nnperm_mlflow.analysis.perturbation.kinds import Perturbation
from nnperm_mlflow.analysis.statistics.order import CONDITIONAL, DROP, FLIPS, MEAN, MEDIAN, ordered
from nnperm_mlflow.analysis.statistics.summary_columns import (
    QUANTILES,
    SUMMARY_COLUMNS,
    SURE,
)
from nnperm_mlflow.analysis.statistics.tally import Read, Tally

_NOT_SURE = dict.fromkeys(("median_spread", *(f"{name}{end}" for name in SURE for end in ("_low", "_high"))), math.nan)


@dataclass(frozen=True)
class Certain:
    """How sure the statistics of a perturbation are.

    Attributes
    ----------
    ranks : mapping of str to (int, int)
        For each quantile the ranks, from 0 among all deviations that are not left out, between which it lies with 95 %
        confidence.
    ends : mapping of str to (float, float)
        For each other statistic the numbers between which it lies.
    spread : float
        Standard deviation of the medians of the repeats; NaN for a single one.
    """

    ranks: Mapping[str, tuple[int, int]]
    ends: Mapping[str, tuple[float, float]]
    spread: float

    @property
    def wanted_ranks(self) -> list[int]:
        """The ranks whose values are ends of intervals."""
        return sorted({rank for pair in self.ranks.values() for rank in pair})


Certainty = Callable[[int, Mapping[str, float]], Certain]
"""Tells for a perturbation, by its position, and its statistics how sure these are."""


def summarize(
    perturbations: Sequence[Perturbation],
    tally: Tally,
    read: Read,
    n_observations: int,
    *,
    certainty: Certainty | None = None,
    decides: bool = False,
    order_by: str = MEAN,
    unaudited: Mapping[int, int] | None = None,
) -> pd.DataFrame:
    """Describe each perturbation's deviations, all rows of all repeats pooled.

    Parameters
    ----------
    perturbations : sequence of Perturbation
    tally : Tally
        Of all deviations.
    read : callable
        Gives the deviations of one perturbation, by its position, once more: arrays of shape (n_rows,), float32.
    n_observations : int
        Rows of the data.
    certainty : callable, optional
        Tells how sure statistics are; without it the columns on that are NaN.
    decides : bool
        Whether the model decides something, so that decisions can flip.
    order_by : str
        The statistic that leads.
    unaudited : mapping of int to int, optional
        For perturbations, by their positions, that were sure enough before the others, how many of the rows that the
        tally calls left out are such that they were not audited on, once for each repeat.

    Returns
    -------
    DataFrame
        A row for each perturbation with the columns `SUMMARY_COLUMNS`, ordered as `analysis.statistics.order.ordered`
        says: the largest first, and set values behind all else.
        `rows` counts deviations, and `skipped` those that are missing because the model predicted NaN or the row is
        alone in its stratum; all else is said of the others. `held` is how many of these observations held a set value
        already.
        Quantiles interpolate linearly between order statistics (Hyndman and Fan, 1996, definition 7).
        Each of `SURE` lies between `<statistic>_low` and `<statistic>_high` with 95 % confidence (see
        `analysis.uncertainty.intervals`), and `median_spread` is the standard deviation of the repeats' medians.
        `shift` is by how much predictions have risen on average, NaN for a distance. `changed_share` is the share of
        rows in which the feature's value changed, `changed_median` the median over these rows, NaN where there are
        none, or where rows moved whose value did not change. `flipped_share` is the share of rows in which the decision
        is another one.
    """
    found: list[dict[str, float]] = []
    ends: list[dict[str, float]] = []
    for number in range(len(perturbations)):
        wanted = ranks_wanted(number, tally)
        found.append(statistics_of(number, tally, tally.order_statistics(number, wanted, read), decides=decides))
        if certainty is None or not tally.n_kept[number]:
            ends.append({})
            continue
        sure = certainty(number, found[-1])
        ends.append(ends_of(sure, tally.order_statistics(number, sure.wanted_ranks, read)))
    return summary_of(perturbations, tally, found, ends, n_observations, order_by=order_by, unaudited=unaudited)


def summary_of(
    perturbations: Sequence[Perturbation],
    tally: Tally,
    found: Sequence[Mapping[str, float]],
    ends: Sequence[Mapping[str, float]],
    n_observations: int,
    *,
    order_by: str = MEAN,
    unaudited: Mapping[int, int] | None = None,
) -> pd.DataFrame:
    """Put statistics together that were found one after the other, see `summarize`.

    Parameters
    ----------
    perturbations, tally, n_observations, order_by, unaudited
        As for `summarize`.
    found : sequence of mapping of str to float
        For each perturbation its statistics, as `statistics_of` returns them.
    ends : sequence of mapping of str to float
        And the ends of their intervals, as `ends_of` returns them; empty where nothing is known of these.
    """
    rows = []
    for number, perturbation in enumerate(perturbations):
        beyond = (unaudited or {}).get(number, 0)
        n_rows = tally.n_rows - beyond
        kept, moved = int(tally.n_kept[number]), int(tally.moved[number])
        is_set = perturbation.way == "set" and kept > 0
        rows.append(
            {
                "perturbation": perturbation.name,
                "feature": perturbation.feature.name,
                "kind": perturbation.feature.kind,
                "way": perturbation.way,
                "value": perturbation.value,
                "rows": n_rows,
                "skipped": int(tally.skipped[number]) - beyond,
                "held": round((kept - moved) * n_observations / tally.n_rows) if is_set else math.nan,
                "max": float(tally.largest[number]) if kept else math.nan,
                "changed_share": moved / kept if kept else math.nan,
                "decisions_vary": len(tally.decided) > 1 or bool(tally.flipped[number]),
                **found[number],
                **_NOT_SURE,
                **ends[number],
            }
        )
    summary = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    summary["value"] = pd.Series([row["value"] for row in rows], dtype=object)
    return ordered(summary, order_by)


def ranks_wanted(number: int, tally: Tally) -> list[int]:
    """Return the ranks, from 0 among all deviations that are not left out, that a perturbation's quantiles rest on."""
    positions = _positions_in(tally, number)
    return sorted({rank for at in positions.values() for rank in (int(at), math.ceil(at))})


def statistics_of(number: int, tally: Tally, values: Mapping[int, float], *, decides: bool) -> dict[str, float]:
    """Return mean, shift, flips and quantiles of one perturbation.

    Parameters
    ----------
    number : int
        Its position.
    tally : Tally
    values : mapping of int to float
        The deviations at the ranks of `ranks_wanted`.
    decides : bool
        Whether the model decides something.

    Returns
    -------
    dict of str to float
        NaN where there is no number.
    """
    kept = int(tally.n_kept[number])
    found = {
        "mean": tally.mean_of(number),
        "shift": tally.shift_of(number),
        "flipped_share": int(tally.flipped[number]) / kept if decides and kept else math.nan,
    }
    found |= dict.fromkeys((*QUANTILES, "changed_median"), math.nan)
    return found | {name: _interpolated(at, values) for name, at in _positions_in(tally, number).items()}


def ends_of(sure: Certain, values: Mapping[int, float]) -> dict[str, float]:
    """Return between which numbers each statistic lies, from the deviations at the ranks that these want."""
    ends = {name: (values[low], values[high]) for name, (low, high) in sure.ranks.items()} | dict(sure.ends)
    lows = {f"{name}_low": low for name, (low, _) in ends.items()}
    return lows | {f"{name}_high": high for name, (_, high) in ends.items()} | {"median_spread": sure.spread}


def _positions_in(tally: Tally, number: int) -> dict[str, float]:
    """Return where the quantiles of one perturbation lie; nothing where all rows are left out."""
    kept = int(tally.n_kept[number])
    if kept == 0:
        return {}
    steady = tally.unmoved_largest[number] == 0
    return _positions(kept, int(tally.moved[number]) if steady else 0)


def _positions(n_rows: int, n_moved: int) -> dict[str, float]:
    """Return where each quantile lies among the sorted deviations.

    Rows whose value did not change have deviation 0 and come first, so the changed rows are the last ones.
    """
    positions = {name: share * (n_rows - 1) for name, share in QUANTILES.items()}
    if n_moved:
        positions["changed_median"] = n_rows - n_moved + 0.5 * (n_moved - 1)
    return positions


def _interpolated(position: float, values: Mapping[int, float]) -> float:
    low, high = values[int(position)], values[math.ceil(position)]
    return low + (high - low) * (position - int(position))


WINDOW_COLUMNS = ("channel", "window", "first", "last", "median", "mean")


def window_table(perturbations: Sequence[Perturbation], summary: pd.DataFrame) -> pd.DataFrame | None:
    """Return the windows of all channels, or None where there are none.

    Parameters
    ----------
    perturbations : sequence of Perturbation
    summary : DataFrame
        A row for each of them, in any order. Not modified.

    Returns
    -------
    DataFrame or None
        A row for each channel and window with the columns `WINDOW_COLUMNS`, and behind them flips and drops in score
        where there are such; `first` and `last` are steps, from 1.
    """
    others = [name for name in map(str, summary) if name == FLIPS or name.endswith(DROP)]
    told = [MEDIAN, MEAN, *(name for name in others if summary[name].notna().any())]
    found = summary.set_index("perturbation")[told]
    rows = []
    for perturbation in perturbations:
        feature = perturbation.feature
        if feature.kind == "window" and feature.steps is not None and perturbation.way != CONDITIONAL:
            (channel,), (first, last) = feature.members, feature.steps
            label = feature.name.removeprefix(channel).strip()
            rows.append((channel, label, first, last, *found.loc[perturbation.name]))
    return pd.DataFrame(rows, columns=[*WINDOW_COLUMNS[:4], *told]) if rows else None
