"""The dumbbell chart: what a feature did to the predictions of one version, and what it does to those of another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from nnperm_mlflow.analysis.difference.influences import Statistic
from nnperm_mlflow.analysis.statistics.order import in_words, moved, set_values
from nnperm_mlflow.report._picture_text import (
    LONGEST_LINE,
    MUTED,
    SUBTITLE_POINTS,
    TITLE_POINTS,
    fit,
    inches_of,
    shorten,
    three_digits,
)
from nnperm_mlflow.report.compared_numbers import SIDES, is_changed, numbers_of

TOP = 20
"""Features of both versions that are shown, those that changed most."""

TOP_SET = 6
"""Set values among them where there are more of all."""

TOP_OF_ONE = 10
"""Features of only one version that are shown, those that move predictions most."""

_COLOURS = {"a": "#d98a2b", "b": "#1f5f8b"}  # told apart by colour-blind readers, and light from dark on grey prints
_PALE = {"a": "#efd3ae", "b": "#a9c3d4"}
_LINE, _PALE_LINE, _GRID_LINE, _EDGE = "#8a949b", "#dde2e6", "#e3e8eb", "#37474f"
_POINT: dict[str, Any] = {"marker": "o", "linestyle": "none", "clip_on": False}
_SIZES = {"a": 10.5, "b": 7}  # the second version's point lies on the first's, which shows around it where both agree
_INTERVAL: dict[str, Any] = {"linewidth": 1.4, "solid_capstyle": "butt"}
_LIFT = {"a": 0.24, "b": -0.24}  # rows by which an interval lies under and over its point, so that both are seen
_NAME_POINTS, _AXIS_POINTS, _TEXT_POINTS, _NOTE_POINTS = 10, 11, 9, 9
_LONGEST_NAME = 60  # letters
_LONGEST_VERSION_INCHES = 3.0
_ROW_INCHES, _PLOT_INCHES, _GAP_INCHES, _PAD_INCHES = 0.34, 5.6, 0.15, 0.1
_HEAD_INCHES, _FOOT_INCHES = 1.05, 0.85
_POINTS_PER_INCH, _NAME_GAP = 72, 9
_HEADER, _INTERVAL_HEADER = "difference", "95 % interval"
_MOST_DECIMALS = 6


def dumbbell_figure(
    table: pd.DataFrame, names: tuple[str, str], subtitle: str, unit: str, statistic: Statistic = "mean"
) -> Figure:
    """Draw the chart on a figure of its own, large enough for every label and number.

    Parameters
    ----------
    table : DataFrame
        As for `report.compared_numbers.numbers_of`. Not modified.
    names : (str, str)
        What the two versions are called.
    subtitle : str
        On what they were compared.
    unit : str
        Unit of the prediction.
    statistic : "mean" or "median"
        The one that leads.

    Returns
    -------
    matplotlib Figure
        Of 0.34 inches a row; save it with `savefig`.
    """
    shown = choose_rows(table, statistic)
    left = max([inches_of(name, _NAME_POINTS, "bold") for name in _labels(shown)], default=0)
    size = (
        left + _PLOT_INCHES + sum(_column_inches(_texts(shown, _short(names)))) + 4 * _GAP_INCHES,
        _HEAD_INCHES + _FOOT_INCHES + _ROW_INCHES * (len(shown) + 1),
    )
    under_head = (0, 0, 1, 1 - _HEAD_INCHES / size[1])
    layout = ConstrainedLayoutEngine(w_pad=_PAD_INCHES, h_pad=_PAD_INCHES, rect=under_head)
    figure = Figure(figsize=size, layout=layout)
    draw_dumbbell(figure.subplots(), table, names, unit, statistic)
    _head(figure, names, subtitle)
    return figure


def choose_rows(table: pd.DataFrame, statistic: Statistic) -> pd.DataFrame:
    """Return the rows to show, as `numbers_of` has them: what changed most, then what only one version has.

    Parameters
    ----------
    table : DataFrame
        As for `dumbbell_figure`. Not modified.
    statistic : "mean" or "median"
    """
    numbers = numbers_of(table, statistic)
    common = numbers[numbers["only_in"] == ""]
    common = common.loc[common["difference"].abs().sort_values(ascending=False, kind="stable").index]
    above, below = moved(common), set_values(common)
    n_below = min(len(below), max(TOP - len(above), TOP_SET))
    changed = pd.concat([above.head(TOP - n_below), below.head(n_below)])
    alone = numbers[numbers["only_in"] != ""]
    own = alone["a"].fillna(alone["b"])
    largest = alone.loc[own.sort_values(ascending=False, kind="stable").index].head(TOP_OF_ONE)
    ordered = [largest[largest["only_in"] == side] for side in SIDES]
    return pd.concat([changed, *ordered], ignore_index=True)


def draw_dumbbell(
    axes: Axes, table: pd.DataFrame, names: tuple[str, str], unit: str, statistic: Statistic = "mean"
) -> Axes:
    """Draw one row per feature, that which changed most on top, and below them what was set to a value.

    Parameters
    ----------
    axes : matplotlib Axes
        To draw on.
    table, names, unit, statistic
        As for `dumbbell_figure`.

    Returns
    -------
    matplotlib Axes
        Two points a row, joined by a line, thin bars for their intervals, and the difference at the right; pale where
        the interval of the difference holds 0. A single hollow point where only one version has the feature.
    """
    shown = choose_rows(table, statistic)
    for place, (row, changed) in enumerate(zip(shown.to_dict("records"), is_changed(shown), strict=True)):
        _draw_row(axes, place, row, bool(changed))
    _label(axes, shown, _short(names), f"{in_words(statistic)} ({_fitted(unit)})")
    _explain(axes, table, shown)
    return axes


def _draw_row(axes: Axes, place: int, row: dict[Any, Any], changed: bool) -> None:
    """Draw the line first, so that intervals and points lie on it."""
    alone = row["only_in"]
    colours = _COLOURS if changed or alone else _PALE
    if not alone:
        ends = [row["a"], row["b"]]
        axes.plot(ends, [place, place], color=_LINE if changed else _PALE_LINE, linewidth=3, solid_capstyle="butt")
    for side in [alone] if alone else SIDES:
        lift = 0.0 if alone else _LIFT[side]
        interval = [row[f"{side}_low"], row[f"{side}_high"]]
        axes.plot(interval, [place + lift] * 2, color=colours[side], **_INTERVAL)
        colour: dict[str, Any] = {
            "markeredgecolor": colours[side],
            "markerfacecolor": "white" if alone else colours[side],
        }
        axes.plot(row[side], place, markersize=_SIZES["b" if alone else side], zorder=3, **colour, **_POINT)


def _fitted(unit: str) -> str:
    return fit(unit, _PLOT_INCHES - 1.6, _AXIS_POINTS, "bold")


def _label(axes: Axes, shown: pd.DataFrame, names: dict[str, str], quantity: str) -> None:
    axes.set_xlabel(quantity, fontsize=_AXIS_POINTS, fontweight="bold", parse_math=False)
    axes.set_yticks(range(len(shown)), _labels(shown), fontsize=_NAME_POINTS, parse_math=False)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    largest = np.nanmax(shown[["a", "b", "a_high", "b_high"]].to_numpy(float), initial=0)
    axes.set_xlim(0, 1.04 * largest if largest > 0 else 1)
    axes.tick_params(axis="y", length=0, pad=_NAME_GAP)
    axes.grid(axis="both", color=_GRID_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    emphasised = is_changed(shown)
    for label, strong in zip(axes.get_yticklabels(), emphasised, strict=True):
        label.set(color="black" if strong else MUTED, fontweight="bold" if strong else "normal")
    _write_differences(axes, _texts(shown, names), emphasised)
    common = shown[shown["only_in"] == ""]
    for place in {len(moved(common)), len(common)}:
        if 0 < place < len(shown):
            axes.axhline(place - 0.5, color=_EDGE, linewidth=0.8, linestyle=(0, (4, 4)))


def _write_differences(axes: Axes, texts: list[tuple[str, str]], emphasised: pd.Series) -> None:
    """Write two columns to the right of the rows, with their headers above: differences and intervals."""
    end = _column_inches(texts)[0] * _POINTS_PER_INCH
    plain: dict[str, Any] = {"fontsize": _TEXT_POINTS, "color": MUTED, "va": "center", "parse_math": False}
    beside: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    rows = [(-0.95, (_HEADER, _INTERVAL_HEADER), False)]
    rows += [(place, row, bool(strong)) for place, (row, strong) in enumerate(zip(texts, emphasised, strict=True))]
    for place, (difference, beyond), strong in rows:
        style = {**plain, "color": "black", "fontweight": "bold"} if strong else plain
        axes.annotate(difference, (1, place), xytext=(end, 0), ha="right", **style, **beside)
        axes.annotate(beyond, (1, place), xytext=(end + 10, 0), **plain, **beside)


def _explain(axes: Axes, table: pd.DataFrame, shown: pd.DataFrame) -> None:
    """Say below what bars and pale rows mean, and what is not shown."""
    notes = ["thin bars: 95 % intervals"]
    if not is_changed(shown[shown["only_in"] == ""]).all():
        notes.append("pale: the interval of the difference holds 0")
    if (shown["way"] == "set").any():
        notes.append("below a dashed line: everybody set to one value")
    left_out = (table["only_in"] == "").value_counts().sub((shown["only_in"] == "").value_counts(), fill_value=0)
    words = {True: "{:,.0f} more differ less", False: "{:,.0f} more are in only one version"}
    notes += [words[in_both].format(left_out[in_both]) for in_both in words if left_out.get(in_both, 0) > 0]
    below: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate("; ".join(notes), (0, 0), xytext=(0, -46), fontsize=_NOTE_POINTS, color=MUTED, **below)


def _head(figure: Figure, names: tuple[str, str], subtitle: str) -> None:
    """Write the title, what was compared on what, and which colour is which version."""
    width, height = figure.get_size_inches()
    inches = width - 2 * _GAP_INCHES

    bold: dict[str, Any] = {"fontweight": "bold"}

    def place(down: float) -> tuple[float, float]:
        return _GAP_INCHES / width, 1 - down / height

    figure.text(*place(0.15), _title(names, inches), **bold, fontsize=TITLE_POINTS, va="top", parse_math=False)
    line = fit(subtitle, inches, SUBTITLE_POINTS, longest=LONGEST_LINE)
    figure.text(*place(0.45), line, fontsize=SUBTITLE_POINTS, color=MUTED, va="top", parse_math=False)
    points = {side: {"color": _COLOURS[side], "markersize": _SIZES[side], **_POINT} for side in SIDES}
    handles = [Line2D([], [], label=name, **points[side]) for side, name in _short(names).items()]
    where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": place(0.68)}
    bare: dict[str, Any] = {"frameon": False, "borderaxespad": 0, "borderpad": 0, "handletextpad": 0.2}
    legend = figure.legend(handles=handles, ncols=2, fontsize=_AXIS_POINTS, **where, **bare)
    for text, side in zip(legend.get_texts(), SIDES, strict=True):
        text.set(color=_COLOURS[side], fontweight="bold")
        text.set_parse_math(False)


def _title(names: tuple[str, str], inches: float) -> str:
    """Return the title, in which each name has half of the room that is left."""
    room = (inches - inches_of("What changed between  and ", TITLE_POINTS, "bold")) / 2
    first, second = (fit(name, room, TITLE_POINTS, "bold", LONGEST_LINE) for name in names)
    return f"What changed between {first} and {second}"


def _short(names: tuple[str, str]) -> dict[str, str]:
    return {
        side: fit(name, _LONGEST_VERSION_INCHES, _AXIS_POINTS, "bold") for side, name in zip(SIDES, names, strict=True)
    }


def _labels(shown: pd.DataFrame) -> list[str]:
    return [shorten(str(name), _LONGEST_NAME) for name in shown["perturbation"]]


def _texts(shown: pd.DataFrame, names: dict[str, str]) -> list[tuple[str, str]]:
    """Return for each row its difference and the interval, as they are written at its right."""
    texts = []
    for row in shown.to_dict("records"):
        difference, low, high = (float(row[column]) for column in ("difference", "difference_low", "difference_high"))
        if row["only_in"]:
            texts.append(("", f"only in {names[row['only_in']]}"))
        elif math.isnan(difference):
            texts.append(("", "not defined"))
        elif math.isnan(high - low):
            texts.append((_signed(difference), ""))
        else:
            places = _decimals(high - low)
            texts.append((_signed(difference, places), f"{_signed(low, places)} to {_signed(high, places)}"))
    return texts


def _decimals(width: float) -> int | None:
    """Return how many decimals show an interval's width with two digits; None where these are too many to be read."""
    places = max(0, 1 - math.floor(math.log10(width))) if width > 0 else _MOST_DECIMALS + 1
    return places if places <= _MOST_DECIMALS else None


def _signed(number: float, places: int | None = None) -> str:
    text = three_digits(abs(number)) if places is None else f"{abs(number):,.{places}f}"
    if not float(text.replace(",", "")):
        return text
    return f"+{text}" if number > 0 else f"\N{MINUS SIGN}{text}"


def _column_inches(texts: list[tuple[str, str]]) -> tuple[float, float]:
    """Return how wide the column of differences is and that of intervals, with the gaps before them."""
    differences = [_HEADER, *(difference for difference, _ in texts)]
    intervals = [_INTERVAL_HEADER, *(interval for _, interval in texts)]
    first, second = (
        max(inches_of(text, _TEXT_POINTS, weight) for text in column)
        for column, weight in ((differences, "bold"), (intervals, "normal"))
    )
    return first + _GAP_INCHES, second + _GAP_INCHES
