"""The profiles: what the model predicts on average along the values of a feature, and how single rows go there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.markers import TICKUP
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

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

MOST_BESIDE = 3
"""Panels beside each other."""

MOST_PANELS = 60
"""Features that are shown, the first of the table; of more the title tells how many there are."""

_GRID_LINE = "#d9dee2"
_MEAN: dict[str, Any] = {"color": "#2f6690", "marker": "o", "markersize": 4}
_INTERVAL: dict[str, Any] = {"color": "#b3cfe0", "linewidth": 0}
_ROWS: dict[str, Any] = {"color": "#e8cfa8", "linewidth": 0}
_BASELINE: dict[str, Any] = {"color": "#7d868c", "linestyle": "--", "linewidth": 1.2}
_DECILE: dict[str, Any] = {"color": MUTED, "marker": TICKUP, "markersize": 6, "linestyle": "none"}
_PLAIN: dict[str, Any] = {"useOffset": False, "scilimits": (-4, 7)}
_LEAST_SHARE = 0.001  # that is told by its number
_DECILES = np.arange(1, 10) / 10 - 1e-9  # less than one row short: shares may be sums, which are rounded
_AXIS_POINTS, _NAME_POINTS, _VALUE_POINTS, _LEGEND_POINTS = 11, 10, 9, 9
_LONGEST_VALUE = 24  # letters of a category
_PANEL_INCHES, _NARROWEST_INCHES, _WIDEST_INCHES, _LEAST_WIDTH_INCHES = 3.4, 0.17, 20.0, 8.5
_HEIGHT_INCHES, _AROUND_INCHES, _GAP_INCHES, _PAD_INCHES = 2.2, 0.5, 0.15, 0.1
_HEAD_INCHES, _FOOT_INCHES, _SIDE_INCHES, _UNIT_INCHES = 1.0, 0.5, 1.0, 3.0
_LEGEND_LINE_INCHES, _MOST_IN_LINE, _CHANGES_INCHES = 0.22, 3, 1.3


@dataclass(frozen=True)
class _Words:
    """How a picture calls what it shows."""

    title: str
    axis: str
    curve: str
    baseline: str
    value: str = "value"
    rows: str = "nine in ten rows' change from the first value on (centred ICE)"
    upper: str = "mean"
    lower: str = "change of rows"


_DEPENDENCE = _Words(
    title="Partial dependence: mean prediction once all rows hold the value",
    axis="mean prediction",
    curve="mean prediction",
    baseline="baseline: {}, rows as they are",
)
_EFFECTS = _Words(
    title="Accumulated local effects along the values that rows hold",
    axis="effect on the prediction",
    curve="accumulated effect",
    baseline="0: no effect",
    value="value (of a window or series: the mean of its steps)",
)


def profiles_figure(profiles: pd.DataFrame, subtitle: str, unit: str) -> Figure:
    """Draw one panel per feature, all with the same scale of the prediction.

    Parameters
    ----------
    profiles : DataFrame
        One row per feature and value: `feature`, `kind` ("number" or "category"), `value`, `mean` (of the predictions
        once every row holds the value), `low` and `high` (its 95 % interval), `share` (of a category, the rows that
        hold it; of a number, the rows at or below it; may be NaN), `baseline` (mean of the predictions as they are),
        `change_q05` and `change_q95` (between which nine in ten rows change from the feature's first value on; may be
        missing). Not modified.
    subtitle : str
        What was audited, on how many rows.
    unit : str
        Unit of the prediction.

    Returns
    -------
    matplotlib Figure
        Features and categories in the order of the table, numbers from the smallest to the largest. A tick stands at
        the first value of the grid that 10 %, 20 %, ... of the rows do not exceed. Under each panel a band
        holds nine in ten rows' changes from the feature's first value on: where it opens and the mean does not move,
        the feature counts by what else a row holds. Save it with `savefig`.
    """
    return _figure(profiles, subtitle, unit, _DEPENDENCE)


def effects_figure(effects: pd.DataFrame, subtitle: str, unit: str) -> Figure:
    """Draw one panel per feature of accumulated local effects, all with the same scale.

    Parameters
    ----------
    effects : DataFrame
        One row per feature and end of an interval, see `analysis.profiles.accumulated.find_effects`. Not modified.
    subtitle, unit : str
        As for `profiles_figure`.
    """
    return _figure(effects.rename(columns={"effect": "mean"}).assign(baseline=0.0), subtitle, unit, _EFFECTS)


def _figure(profiles: pd.DataFrame, subtitle: str, unit: str, words: _Words) -> Figure:
    every = [panel for _, panel in profiles.groupby("feature", sort=False)]
    panels = every[:MOST_PANELS]
    rows, width = _arrange(panels)
    y_label = f"{words.axis} ({fit(unit, _UNIT_INCHES, _AXIS_POINTS, 'bold')})"
    legend, has_changes = _legend(profiles, words), _has_changes(profiles)
    head = _HEAD_INCHES + _LEGEND_LINE_INCHES * (-(-len(legend) // _MOST_IN_LINE) - 1)
    figure = _empty_figure(rows, width, y_label, head, _CHANGES_INCHES if has_changes else 0)
    uppers, lowers = _empty_panels(figure, rows, has_changes)
    for axes, panel in zip(uppers, panels, strict=False):
        _draw_panel(axes, panel, width)
    for axes, panel in zip(lowers, panels, strict=False):
        _draw_changes(axes, panel, width)
    for axes in [*uppers[len(panels) :], *lowers[len(panels) :]]:
        axes.remove()
    if has_changes:
        for first, label in ((uppers[0], words.upper), (lowers[0], words.lower)):
            first.set_ylabel(label, fontsize=_NAME_POINTS)
    _label(figure, profiles, subtitle, words, len(every))
    figure.supylabel(y_label, y=_place(figure, head)[1] / 2, fontsize=_AXIS_POINTS, fontweight="bold", parse_math=False)
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": _place(figure, 0.7)}
    bare: dict[str, Any] = {"frameon": False, "borderaxespad": 0, "borderpad": 0}
    figure.legend(handles=legend, ncols=_MOST_IN_LINE, fontsize=_LEGEND_POINTS, **place, **bare)
    return figure


def _arrange(panels: list[pd.DataFrame]) -> tuple[list[list[pd.DataFrame]], float]:
    """Return the panels in rows, fewer beside each other where some have many categories, and the width of each."""
    width = max([_PANEL_INCHES, *(_NARROWEST_INCHES * len(panel) for panel in panels if _is_category(panel))])
    n_beside = max(1, min(MOST_BESIDE, len(panels), int(_WIDEST_INCHES / width)))
    rows = [panels[first : first + n_beside] for first in range(0, len(panels), n_beside)]
    return rows, max(width, (_LEAST_WIDTH_INCHES - _SIDE_INCHES) / n_beside)


def _empty_figure(rows: list[list[pd.DataFrame]], width: float, y_label: str, head: float, changes: float) -> Figure:
    """Return a figure high enough for every label, with room for its head, and inches for changes under each panel."""
    below = sum(max(_below_inches(panel, width) for panel in row) for row in rows)
    panels = _FOOT_INCHES + len(rows) * (_HEIGHT_INCHES + _AROUND_INCHES + changes) + below
    height = head + max(panels, inches_of(y_label, _AXIS_POINTS, "bold") + 2 * _PAD_INCHES)
    under_head = (0, 0, 1, 1 - head / height)
    layout = ConstrainedLayoutEngine(w_pad=_PAD_INCHES, h_pad=_PAD_INCHES, rect=under_head)
    return Figure(figsize=(_SIDE_INCHES + len(rows[0]) * width, height), layout=layout)


def _empty_panels(figure: Figure, rows: list[list[pd.DataFrame]], has_changes: bool) -> tuple[list[Axes], list[Axes]]:
    """Return axes for the means, and under each one for changes; all means have one scale, and so have all changes."""
    n_rows, n_beside = len(rows), len(rows[0])
    if not has_changes:
        return list(figure.subplots(n_rows, n_beside, sharey=True, squeeze=False).flat), []
    heights = {"height_ratios": [_HEIGHT_INCHES, _CHANGES_INCHES] * n_rows}
    grid = figure.subplots(2 * n_rows, n_beside, squeeze=False, gridspec_kw=heights)
    uppers, lowers = list(grid[::2].flat), list(grid[1::2].flat)
    for several in (uppers, lowers):
        for place, axes in enumerate(several):
            if place:
                axes.sharey(several[0])
            axes.tick_params(labelleft=place % n_beside == 0)
    for upper, lower in zip(uppers, lowers, strict=True):
        upper.sharex(lower)
        upper.tick_params(labelbottom=False)
    return uppers, lowers


def _is_category(panel: pd.DataFrame) -> bool:
    return bool((panel["kind"] == "category").all())


def _values(panel: pd.DataFrame, is_upright: bool) -> list[str]:
    """Return categories with the share of rows that hold them, behind the category or under it."""
    between = " " if is_upright else "\n"
    shares = ["" if pd.isna(share) else f"{between}({_percent(share)})" for share in panel["share"]]
    names = [shorten(str(value), _LONGEST_VALUE) for value in panel["value"]]
    return [f"{name}{share}" for name, share in zip(names, shares, strict=True)]


def _percent(share: float) -> str:
    return "<0.1 %" if 0 < share < _LEAST_SHARE else f"{100 * share:.1f} %"


def _is_upright(panel: pd.DataFrame, width: float) -> bool:
    """Say whether categories are too many or too long to be read from left to right in a panel of some inches."""
    lines = "\n".join(_values(panel, is_upright=False)).split("\n")
    widest = max(inches_of(line, _VALUE_POINTS) for line in lines)
    return len(panel) * (widest + _GAP_INCHES) > width - 2 * _GAP_INCHES


def _below_inches(panel: pd.DataFrame, width: float) -> float:
    """Return how far the values reach below a panel."""
    if not _is_category(panel):
        return _GAP_INCHES
    if not _is_upright(panel, width):
        return 2 * _GAP_INCHES
    return max(inches_of(value, _VALUE_POINTS) for value in _values(panel, is_upright=True))


def _draw_panel(axes: Axes, panel: pd.DataFrame, width: float) -> None:
    axes.axhline(panel["baseline"].iloc[0], **_BASELINE)
    if _is_category(panel):
        _draw_categories(axes, panel, width)
    else:
        numbers = panel.assign(value=panel["value"].astype(float)).sort_values("value", kind="stable")
        _draw_numbers(axes, numbers)
    name = fit(str(panel["feature"].iloc[0]), width - 4 * _GAP_INCHES, _NAME_POINTS, "bold")
    axes.set_title(name, loc="left", fontsize=_NAME_POINTS, fontweight="bold", parse_math=False)
    _style(axes)


def _style(axes: Axes) -> None:
    axes.tick_params(labelsize=_VALUE_POINTS)
    axes.ticklabel_format(axis="y", **_PLAIN)
    axes.margins(y=0.1)
    axes.grid(axis="y", color=_GRID_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_categories(axes: Axes, panel: pd.DataFrame, width: float) -> None:
    places = np.arange(len(panel))
    axes.vlines(places, panel["low"], panel["high"], **{**_INTERVAL, "linewidth": 6}, zorder=1)
    axes.plot(places, panel["mean"], **_MEAN, linestyle="none")
    _name_categories(axes, panel, width)


def _name_categories(axes: Axes, panel: pd.DataFrame, width: float) -> None:
    is_upright = _is_upright(panel, width)
    names = _values(panel, is_upright)
    axes.set_xticks(np.arange(len(panel)), names, rotation=90 if is_upright else 0, parse_math=False)
    axes.set_xlim(-0.6, len(panel) - 0.4)


def _draw_numbers(axes: Axes, numbers: pd.DataFrame) -> None:
    axes.fill_between(numbers["value"], numbers["low"], numbers["high"], **_INTERVAL)
    axes.plot(numbers["value"], numbers["mean"], **_MEAN)
    known = numbers.dropna(subset=["share"])
    reached = np.unique(np.searchsorted(known["share"], _DECILES))
    deciles = known["value"].to_numpy()[reached[reached < len(known)]]
    axes.plot(deciles, np.zeros(len(deciles)), transform=axes.get_xaxis_transform(), **_DECILE)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.ticklabel_format(axis="x", **_PLAIN)


def _has_changes(profiles: pd.DataFrame) -> bool:
    return "change_q05" in profiles and bool(profiles["change_q05"].notna().any())


def _draw_changes(axes: Axes, panel: pd.DataFrame, width: float) -> None:
    """Draw by how much nine in ten rows change from the first value on, and how much they do on average."""
    axes.axhline(0, **_BASELINE)
    if _is_category(panel):
        places = np.arange(len(panel))
        axes.vlines(places, panel["change_q05"], panel["change_q95"], **{**_ROWS, "linewidth": 10}, zorder=1)
        axes.plot(places, panel["mean"] - panel["mean"].iloc[0], **_MEAN, linestyle="none")
        _name_categories(axes, panel, width)
    else:
        numbers = panel.assign(value=panel["value"].astype(float)).sort_values("value", kind="stable")
        axes.fill_between(numbers["value"], numbers["change_q05"], numbers["change_q95"], **_ROWS)
        axes.plot(numbers["value"], numbers["mean"] - panel["mean"].iloc[0], **{**_MEAN, "marker": None})
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        axes.ticklabel_format(axis="x", **_PLAIN)
    _style(axes)


def _label(figure: Figure, profiles: pd.DataFrame, subtitle: str, words: _Words, n_features: int) -> None:
    more = "" if n_features <= MOST_PANELS else f" ({MOST_PANELS} of {n_features:,} features)"
    title = f"{words.title}{more}"
    figure.text(*_place(figure, 0.15), title, fontsize=TITLE_POINTS, fontweight="bold", va="top")
    inches = figure.get_figwidth() - 2 * _GAP_INCHES
    line = fit(subtitle, inches, SUBTITLE_POINTS, longest=LONGEST_LINE)
    figure.text(*_place(figure, 0.45), line, fontsize=SUBTITLE_POINTS, color=MUTED, va="top", parse_math=False)
    has_categories = (profiles["kind"] == "category").any()
    is_level = profiles["kind"].isin(["series", "window"]).any()
    x_label = "value (in brackets: share of rows that hold it)" if has_categories else "value"
    figure.supxlabel(words.value if is_level else x_label, fontsize=_AXIS_POINTS, fontweight="bold")


def _place(figure: Figure, inches: float) -> tuple[float, float]:
    """Return where the head's lines begin, some inches down, in parts of the figure."""
    width, height = figure.get_size_inches()
    return _GAP_INCHES / width, 1 - inches / height


def _legend(profiles: pd.DataFrame, words: _Words) -> list[Artist]:
    handles: list[Artist] = [
        Line2D([], [], label=words.curve, **_MEAN),
        Patch(label="95 % interval", **_INTERVAL),
        Line2D([], [], label=words.baseline.format(three_digits(profiles["baseline"].iloc[0])), **_BASELINE),
    ]
    if _has_changes(profiles):
        handles.append(Patch(label=words.rows, **_ROWS))
    if profiles.loc[profiles["kind"] != "category", "share"].notna().any():
        handles.append(Line2D([], [], label="ticks: tenths of the rows", **{**_DECILE, "marker": "|"}))
    return handles
