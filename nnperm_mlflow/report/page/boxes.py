"""The table of boxes: a row per perturbation, with its box on an axis that all share, and its numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.statistics.order import (
    DROP,
    FAR,
    FEW_HELD,
    FLIPS,
    MEAN,
    conditionals,
    in_words,
    places,
    plain,
    set_values,
)
from nnperm_mlflow.analysis.statistics.summary_columns import DONORS, OUT_OF_DATA
from nnperm_mlflow.analysis.uncertainty.interval_columns import interval_ends
from nnperm_mlflow.report.axis_end import axis_end, round_end
from nnperm_mlflow.report.page.numbers import count, interval, number, share

MOST_ROWS, MOST_APART = 1_200, 400
"""Perturbations that are shown, those that lead, of what is in the order and of each that stands apart; of others it is
said how many there are."""

WIDTH = 1_000
"""Units of a drawing from 0 to the axis's end."""

WAYS = {
    "shuffle": "shuffled",
    "order": "steps reordered",
    "conditional": "shuffled among alike rows",
    "set": "set for everybody",
}
"""What was done, in words; a way that is not among them is called by its own name."""

_FORMATS: dict[str, Callable[[float], str]] = {
    FLIPS: share, "changed_share": share, "skipped": count, "held": count, "rows": count, DONORS: count,
}  # fmt: skip
_TITLES = {
    MEAN: "mean",
    "median": "median",
    "q95": "95 % quantile",
    "max": "largest",
    FLIPS: "decisions flipped",
    "changed_share": "rows changed",
    "changed_median": "median where changed",
    "shift": "mean shift",
    "held": "rows that held it",
    DONORS: "rows that could give",
    OUT_OF_DATA: "told from the data",
    "skipped": "rows left out",
}
_FIRST = (MEAN, "median", "q95", FLIPS)  # what stands beside the boxes; the others come on demand
_CLOSER = 0.5  # share of the features whose upper quartiles the close-up has room for
_ENDS = 10  # scales that the close-up can be given


@dataclass(frozen=True)
class Column:
    """A column of numbers: the statistic, its title, and whether it is shown on demand only."""

    key: str
    title: str
    is_more: bool = False


@dataclass(frozen=True)
class Row:
    """A perturbation.

    Attributes
    ----------
    name, label, way, way_words, kind : str
    place : str
        Among the shuffles; empty for what has none.
    drawing : mapping of str to str
        For each part of the box its path, in units of `WIDTH`; empty where nothing was tested.
    cells : list of (str, str)
        For each column the number and its interval, as text.
    note : str
        Why there is no box, or what to beware of.
    is_pale : bool
        Whether few rows know what the value does.
    is_silent : bool
        Whether nothing was tested, or nothing moved beyond rounding.
    mean : float
        Of the deviations, in units of `WIDTH`.
    """

    name: str
    label: str
    way: str
    way_words: str
    kind: str
    place: str
    drawing: Mapping[str, str]
    cells: list[tuple[str, str]]
    note: str = ""
    is_pale: bool = False
    is_silent: bool = False
    mean: float = 0.0


@dataclass(frozen=True)
class Boxes:
    """All rows on one axis, those that answer another question than a shuffle apart.

    Attributes
    ----------
    end, close_end : float
        Where the axis ends, and that of the close-up.
    ends : list of float
        Where that of the close-up may end.
    columns : list of Column
    moved, conditional, set_values : list of Row
    n_moved, n_conditional, n_set : int
        How many there are, with those that are not shown.
    n_placed : mapping of str to int
        Of each way how many have a place in the order.
    ways, kinds : dict of str to str
        That occur, and how they are called.
    """

    end: float
    close_end: float
    ends: list[float]
    columns: list[Column]
    moved: list[Row]
    conditional: list[Row]
    set_values: list[Row]
    n_moved: int
    n_conditional: int
    n_set: int
    n_placed: Mapping[str, int]
    ways: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)


def boxes_of(summary: pd.DataFrame, unit: str, order_by: str, labels: Mapping[str, str] | None = None) -> Boxes:
    """Return what the table of boxes shows.

    Parameters
    ----------
    summary : DataFrame
        A row per perturbation, ordered; see `analysis.statistics.summary.summarize`. Not modified.
    unit, order_by : str
    labels : mapping of str to str, optional
        For perturbations what they are called in words.
    """
    parts = [plain(summary), conditionals(summary), set_values(summary)]
    tops = [part.head(most) for part, most in zip(parts, (MOST_ROWS, MOST_APART, MOST_APART), strict=True)]
    shown = pd.concat(tops)
    end = axis_end(float(shown["max"].max()), unit)
    close = close_end(parts[0], end)
    columns = columns_of(summary, order_by)
    order = places(summary, order_by)
    rows = _rows(shown, columns, end, order, labels or {})
    first, second = len(tops[0]), len(tops[0]) + len(tops[1])
    ways = dict.fromkeys(shown["way"].astype(str))
    kinds = dict.fromkeys(shown["kind"].astype(str)) if "kind" in shown else {}
    return Boxes(
        end=end,
        close_end=close,
        ends=scales(end, close),
        columns=columns,
        moved=rows[:first],
        conditional=rows[first:second],
        set_values=rows[second:],
        n_moved=len(parts[0]),
        n_conditional=len(parts[1]),
        n_set=len(parts[2]),
        n_placed=dict(Counter(summary.loc[order.notna(), "way"].astype(str))),
        ways={way: WAYS.get(way, way) for way in ways},
        kinds={kind: kind for kind in kinds},
    )


def columns_of(summary: pd.DataFrame, order_by: str) -> list[Column]:
    """Return the statistics to tell, what leads first; those that nothing is known of are left out."""
    drops = [str(name) for name in summary if str(name).endswith(DROP)]
    keys = dict.fromkeys([order_by, *_FIRST, *drops, *_TITLES])
    known = [key for key in keys if key in summary and summary[key].notna().any()]
    first = {order_by, *_FIRST, *drops[:1], OUT_OF_DATA}
    return [Column(key, _TITLES.get(key, in_words(key)), key not in first) for key in known]


def close_end(above: pd.DataFrame, end: float) -> float:
    """Return the end of an axis on which half of the features can be read."""
    quartile = above["q75"] if "q75" in above else above[MEAN]
    told = quartile[above["changed_share"] > 0].dropna()
    closer = round_end(float(told.quantile(_CLOSER))) if len(told) and told.quantile(_CLOSER) > 0 else end / 10
    return min(max(closer, end / 1_000), end / 10)


def scales(end: float, close: float) -> list[float]:
    """Return ends of axes, from the whole one to ever smaller ones."""
    found = [end]
    while len(found) < _ENDS:
        found.append(round_end(found[-1] / 2.6))  # the next of 1, 2 and 5
    return sorted({*found, round_end(close)}, reverse=True)


def _rows(
    shown: pd.DataFrame, columns: list[Column], end: float, place: pd.Series, labels: Mapping[str, str]
) -> list[Row]:
    of_mean = interval_ends(shown, MEAN)
    ends = {column.key: interval_ends(shown, column.key) for column in columns}
    rows = []
    for at, (row, own_place) in enumerate(zip(shown.to_dict("records"), place.reindex(shown.index), strict=True)):
        tells = float(row["changed_share"]) != 0
        name, way, kind = str(row["perturbation"]), str(row["way"]), str(row.get("kind", ""))
        numbers = [_cell(float(row[key]), ends[key][0][at], ends[key][1][at], key) for key in ends] if tells else []
        low, high = (float(side[at]) for side in of_mean)
        is_pale = float(row.get("held", math.nan)) < FEW_HELD
        rows.append(
            Row(
                name=name,
                label=labels.get(name, ""),
                way=way,
                way_words="window" if kind == "window" else WAYS.get(way, way),
                kind=kind,
                place="" if pd.isna(own_place) else str(own_place),
                drawing=drawing_of(row, low, high, end) if tells else {},
                cells=numbers or [("", "")] * len(columns),
                note=_note(row, tells, is_pale),
                is_pale=is_pale,
                is_silent=not tells or not bool(row["measurable"]),
                mean=place_at(float(row[MEAN]), end) if tells else 0.0,
            )
        )
    return rows


def _note(row: Mapping[Hashable, Any], tells: bool, is_pale: bool) -> str:
    if not tells:
        return "not tested: no row's value changed"
    if not bool(row["measurable"]):
        return "no measurable effect"
    few = f"held by fewer than {FEW_HELD} rows" if is_pale else ""
    far = "rows that cannot occur" if float(row.get(OUT_OF_DATA, math.nan)) > FAR else ""
    return ", ".join(filter(None, (few, far)))


def _cell(value: float, low: float, high: float, key: str) -> tuple[str, str]:
    told = _FORMATS.get(key, number)
    ends = "" if math.isnan(low) or math.isnan(high) or low == high else f"{told(low)} to {told(high)}"
    return told(float(value)), ends if key in _FORMATS else interval(float(low), float(high))


def place_at(value: float, end: float) -> float:
    """Return where a value lies on an axis that ends at `end`, in units of `WIDTH`."""
    return float(f"{value / end * WIDTH:.4g}")


def drawing_of(row: Mapping[Hashable, Any], low: float, high: float, end: float) -> dict[str, str]:
    """Return the paths of whiskers (5 to 95 %), quartiles, median, mean with its interval, and of the largest.

    A point is a line without length, whose round ends keep their shape on whatever axis.
    """
    x = {
        key: place_at(float(row.get(key, math.nan)), end) for key in ("q05", "q25", "median", "q75", "q95", MEAN, "max")
    }
    x |= {"low": place_at(max(0.0, low), end), "high": place_at(high, end)}
    parts = {
        "w": (("q05", "q95"), "M{q05:g} 12H{q95:g}"),
        "q": (("q25", "q75"), "M{q25:g} 5H{q75:g}V19H{q25:g}Z"),
        "m": (("median",), "M{median:g} 3V21"),
        "i": (("low", "high"), "M{low:g} 12H{high:g}"),
        "d": ((MEAN,), "M{mean:g} 12h0"),
        "x": (("max",), "M{max:g} 12h0"),
    }
    return {
        part: path.format(**x) for part, (needed, path) in parts.items() if np.isfinite([x[k] for k in needed]).all()
    }


def ticks(end: float) -> list[str]:
    """Return what stands below the six marks of an axis."""
    return ["0", *(f"{end * part / 5:.6g}" for part in range(1, 6))]
