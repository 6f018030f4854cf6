"""Profiles as small drawings: what the model predicts on average once every row holds the same value of a feature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nnperm_mlflow.report.page.numbers import number, share
from nnperm_mlflow.report.page.segment_names import letter

MOST_CURVES, MOST_CATEGORIES = 60, 40
"""Features that are shown, and values of one; of more it is said how many there are."""

WIDTH, HEIGHT = 300.0, 120.0
"""Of a drawing, in its own units."""

_QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Curve:
    """The profile of one feature.

    Attributes
    ----------
    name : str
    is_category : bool
    line, band : str
        Paths of the mean and of its interval; empty for categories.
    bars : list of (str, str, str, str)
        For categories: what a value is called, path of the interval, path of the point, and the numbers in words.
    marks : list of (float, str)
        Places on the axis of values, and what stands there.
    baseline : float
        Height of the mean prediction as it is.
    words : str
        The profile in a sentence.
    """

    name: str
    is_category: bool
    line: str
    band: str
    bars: list[tuple[str, str, str, str]]
    marks: list[tuple[float, str]]
    baseline: float
    words: str


@dataclass(frozen=True)
class Curves:
    """All profiles, on one scale of the prediction.

    Attributes
    ----------
    curves : list of Curve
    n_left_out : int
    low, high, baseline : str
        Ends of the scale, and the mean prediction as it is.
    """

    curves: list[Curve]
    n_left_out: int
    low: str
    high: str
    baseline: str


def curves_of(profiles: pd.DataFrame, *, shows_values: bool) -> Curves:
    """Return the drawings.

    Parameters
    ----------
    profiles : DataFrame
        See `analysis.profiles.profiles.find_profiles`. Not modified.
    shows_values : bool
        Whether values are named. If not, numbers are laid out by the share of rows that hold no larger one, and
        categories are called by letters.
    """
    panels = [(str(name), panel) for name, panel in profiles.groupby("feature", sort=False)]
    ends = profiles[["mean", "low", "high", "baseline"]].to_numpy(float)
    low, high = float(np.nanmin(ends, initial=math.inf)), float(np.nanmax(ends, initial=-math.inf))
    if not low < high:
        low, high = (low - 0.5, low + 0.5) if math.isfinite(low) else (0.0, 1.0)
    margin = 0.05 * (high - low)
    scale = (low - margin, high + margin)
    return Curves(
        curves=[_curve(name, panel, scale, shows_values) for name, panel in panels[:MOST_CURVES]],
        n_left_out=max(0, len(panels) - MOST_CURVES),
        low=number(low),
        high=number(high),
        baseline=number(float(profiles["baseline"].iloc[0])),
    )


def effects_of(effects: pd.DataFrame, *, shows_values: bool) -> Curves:
    """Return the drawings of accumulated local effects, whose 0 is the mean over the rows.

    Parameters
    ----------
    effects : DataFrame
        See `analysis.profiles.accumulated.find_effects`. Not modified.
    shows_values : bool
        As for `curves_of`.
    """
    as_profiles = effects.rename(columns={"effect": "mean"}).assign(baseline=0.0)
    return curves_of(as_profiles, shows_values=shows_values)


def _curve(name: str, panel: pd.DataFrame, scale: tuple[float, float], shows_values: bool) -> Curve:
    baseline = _height(float(panel["baseline"].iloc[0]), scale)
    words = _words(panel)
    if str(panel["kind"].iloc[0]) == "category":
        bars, marks = _bars(panel.head(MOST_CATEGORIES), scale, shows_values)
        return Curve(name, True, "", "", bars, marks, baseline, words)
    values = pd.to_numeric(panel["value"], errors="coerce")
    panel = panel.assign(value=values).sort_values("value", kind="stable")
    across, marks = _across(panel, shows_values)
    means = [_height(value, scale) for value in panel["mean"]]
    lows, highs = ([_height(value, scale) for value in panel[end]] for end in ("low", "high"))
    known = [place for place in range(len(across)) if all(map(math.isfinite, (lows[place], highs[place])))]
    line = _path([(across[place], means[place]) for place in range(len(across)) if math.isfinite(means[place])])
    there = [(across[place], highs[place]) for place in known]
    back = [(across[place], lows[place]) for place in reversed(known)]
    return Curve(name, False, line, _path([*there, *back], closed=True), [], marks, baseline, words)


def _across(panel: pd.DataFrame, shows_values: bool) -> tuple[list[float], list[tuple[float, str]]]:
    """Return where the values of a number lie, and what stands below."""
    by = panel["value"] if shows_values else panel["share"].fillna(0.0)
    first, last = float(by.min()), float(by.max())
    width = last - first or 1.0
    across = [round((float(value) - first) / width * WIDTH, 1) for value in by]
    if shows_values:
        return across, [(0.0, number(first)), (WIDTH / 2, number(first + width / 2)), (WIDTH, number(last))]
    inside = [(quarter - first) / width * WIDTH for quarter in _QUARTERS]
    named = zip(inside, ("a quarter", "half", "three quarters"), strict=True)
    return across, [(round(place, 1), words) for place, words in named if 0 <= place <= WIDTH]


def _bars(
    panel: pd.DataFrame, scale: tuple[float, float], shows_values: bool
) -> tuple[list[tuple[str, str, str, str]], list[tuple[float, str]]]:
    bars, marks = [], []
    for place, row in enumerate(panel.to_dict("records")):
        across = round((place + 0.5) / len(panel) * WIDTH, 1)
        mean, low, high = (_height(float(row[key]), scale) for key in ("mean", "low", "high"))
        name = str(row["value"]) if shows_values else letter(place)
        interval = f"M{across:g} {low:g}V{high:g}" if math.isfinite(low) and math.isfinite(high) else ""
        words = f"{name}: {number(float(row['mean']))}, held by {share(float(row['share']))} of the rows"
        bars.append((name, interval, f"M{across:g} {mean:g}h0" if math.isfinite(mean) else "", words))
        marks.append((across, name))
    return bars, marks


def _words(panel: pd.DataFrame) -> str:
    means = panel["mean"].dropna()
    return f"from {number(float(means.min()))} to {number(float(means.max()))}" if len(means) else "not defined"


def _height(value: float, scale: tuple[float, float]) -> float:
    low, high = scale
    return round(HEIGHT * (1 - (float(value) - low) / (high - low)), 1)


def _path(points: list[tuple[float, float]], *, closed: bool = False) -> str:
    if not points:
        return ""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) + ("Z" if closed else "")
