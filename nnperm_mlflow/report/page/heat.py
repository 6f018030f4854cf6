"""When in a series a channel moves predictions: numbers on a ground that is the darker the larger they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.statistics.order import MEAN, in_words
from nnperm_mlflow.report.page.numbers import number

MOST_CHANNELS, MOST_WINDOWS = 60, 120
"""That are shown; of more it is said how many there are."""

_NUMBERED = 16  # windows beside each other up to which each cell has its number
_DARK = 0.83  # share of the largest from which light letters can be read better than dark ones


@dataclass(frozen=True)
class Heat:
    """A grid of channels by windows.

    Attributes
    ----------
    statistic : str
        That it tells, in words.
    windows : list of str
    channels : list of (str, list of (str, str, str))
        The name, and for each window how dark it is (from 0 to 1, empty where it was not measured), its number in full,
        and what stands in the cell; the channel with the largest number first.
    has_numbers : bool
        Whether there is room for numbers in the cells.
    largest : str
    left_out : list of str
        How many channels and windows are not shown, in words.
    """

    statistic: str
    windows: list[str]
    channels: list[tuple[str, list[tuple[str, str, str]]]]
    has_numbers: bool
    largest: str
    left_out: list[str]


def heat_of(windows: pd.DataFrame, order_by: str) -> Heat:
    """Return the grid.

    Parameters
    ----------
    windows : DataFrame
        One row per channel and window: `channel`, `window`, `first`, `last` (steps, from 1) and statistics; see
        `analysis.statistics.summary.window_table`. Not modified.
    order_by : str
        The statistic that leads; the mean where windows do not tell it.
    """
    statistic = order_by if order_by in windows else MEAN
    named = windows.assign(window=windows["window"].astype(str), channel=windows["channel"].astype(str))
    in_time = named.sort_values(["first", "last"], kind="stable")["window"].drop_duplicates()
    cells = named.pivot_table(index="channel", columns="window", values=statistic, aggfunc="first", sort=False)
    order = cells.max(axis=1).sort_values(ascending=False, kind="stable").index
    cells = cells.reindex(index=order[:MOST_CHANNELS], columns=in_time[:MOST_WINDOWS])
    largest = float(np.nanmax(cells.to_numpy(float), initial=0.0))
    has_numbers = len(cells.columns) <= _NUMBERED
    left_out = [
        f"{total - shown:,} more {what}"
        for total, shown, what in (
            (len(order), len(cells), "channels"),
            (len(in_time), len(cells.columns), "windows"),
        )
        if total > shown
    ]
    return Heat(
        statistic=in_words(statistic),
        windows=[str(name) for name in cells.columns],
        channels=[
            (str(name), [_cell(float(value), largest, has_numbers) for value in row])
            for name, row in zip(cells.index, cells.to_numpy(float), strict=True)
        ],
        has_numbers=has_numbers,
        largest=number(largest),
        left_out=left_out,
    )


def _cell(value: float, largest: float, has_numbers: bool) -> tuple[str, str, str]:
    if math.isnan(value):
        return "", "not measured", ""
    depth = max(0.0, value) / largest if largest > 0 else 0.0
    return f"{depth:.2f}", number(value), number(value, 2) if has_numbers else ""


def is_dark(depth: str) -> bool:
    """Tell whether letters on a cell of that depth are light."""
    return bool(depth) and float(depth) >= _DARK
