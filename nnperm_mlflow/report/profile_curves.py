"""The profiles: what the model predicts on average once every row holds the same value of one feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
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

_TITLE = "Partial dependence: mean prediction once all rows hold the value"
_GRID_LINE = "#d9dee2"
_MEAN: dict[str, Any] = {"color": "#2f6690", "marker": "o", "markersize": 4}
_INTERVAL: dict[str, Any] = {"color": "#b3cfe0", "linewidth": 0}
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


def profiles_figure(profiles: pd.DataFrame, subtitle: str, unit: str) -> Figure:
    """Draw one panel per feature, all with the same scale of the prediction.

    Parameters
    ----------
    profiles : DataFrame
        One row per feature and value: `feature`, `kind` ("number" or "category"), `value`, `mean` (of the predictions
        once every row holds the value), `low` and `high` (its 95 % interval), `share` (of a category, the rows that
        hold it; of a number, the rows at or below it; may be NaN), `baseline` (mean of the predictions as they are).
        Not modified.
    subtitle : str
        What was audited, on how many rows.
    unit : str
        Unit of the prediction.

    Returns
    -------
    matplotlib Figure
        Features and categories in the order of the table, numbers from the smallest to the largest. A tick stands at
        the first value of the grid that 10 %, 20 %, ... of the rows do not exceed. Save it with `savefig`.
    """
    every = [panel for _, panel in profiles.groupby("feature", sort=False)]
    panels = every[:MOST_PANELS]
    rows, width = _arrange(panels)
    y_label = f"mean prediction ({fit(unit, _UNIT_INCHES, _AXIS_POINTS, 'bold')})"
    figure = _empty_figure(rows, width, y_label)
    grid = list(figure.subplots(len(rows), len(rows[0]), sharey=True, squeeze=False).flat)
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, panel, width)
    for axes in grid[len(panels) :]:
        axes.remove()
    _label(figure, profiles, subtitle, y_label, len(every))
    _explain(figure, profiles)
    return figure


def _arrange(panels: list[pd.DataFrame]) -> tuple[list[list[pd.DataFrame]], float]:
    """Return the panels in rows, fewer beside each other where some have many categories, and the width of each."""
    width = max([_PANEL_INCHES, *(_NARROWEST_INCHES * len(panel) for panel in panels if _is_category(panel))])
    n_beside = max(1, min(MOST_BESIDE, len(panels), int(_WIDEST_INCHES / width)))
    rows = [panels[first : first + n_beside] for first in range(0, len(panels), n_beside)]
    return rows, max(width, (_LEAST_WIDTH_INCHES - _SIDE_INCHES) / n_beside)


def _empty_figure(rows: list[list[pd.DataFrame]], width: float, y_label: str) -> Figure:
    """Return a figure high enough for every label, with room for its head."""
    below = sum(max(_below_inches(panel, width) for panel in row) for row in rows)
    panels = _FOOT_INCHES + len(rows) * (_HEIGHT_INCHES + _AROUND_INCHES) + below
    height = _HEAD_INCHES + max(panels, inches_of(y_label, _AXIS_POINTS, "bold") + 2 * _PAD_INCHES)
    under_head = (0, 0, 1, 1 - _HEAD_INCHES / height)
    layout = ConstrainedLayoutEngine(w_pad=_PAD_INCHES, h_pad=_PAD_INCHES, rect=under_head)
    return Figure(figsize=(_SIDE_INCHES + len(rows[0]) * width, height), layout=layout)


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
        _draw_categories(axes, panel, _is_upright(panel, width))
    else:
        numbers = panel.assign(value=panel["value"].astype(float)).sort_values("value", kind="stable")
        _draw_numbers(axes, numbers)
    name = fit(str(panel["feature"].iloc[0]), width - 4 * _GAP_INCHES, _NAME_POINTS, "bold")
    axes.set_title(name, loc="left", fontsize=_NAME_POINTS, fontweight="bold", parse_math=False)
    axes.tick_params(labelsize=_VALUE_POINTS)
    axes.ticklabel_format(axis="y", **_PLAIN)
    axes.margins(y=0.1)
    axes.grid(axis="y", color=_GRID_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_categories(axes: Axes, panel: pd.DataFrame, is_upright: bool) -> None:
    places = np.arange(len(panel))
    axes.vlines(places, panel["low"], panel["high"], **{**_INTERVAL, "linewidth": 6}, zorder=1)
    axes.plot(places, panel["mean"], **_MEAN, linestyle="none")
    axes.set_xticks(places, _values(panel, is_upright), rotation=90 if is_upright else 0, parse_math=False)
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


def _label(figure: Figure, profiles: pd.DataFrame, subtitle: str, y_label: str, n_features: int) -> None:
    title = _TITLE if n_features <= MOST_PANELS else f"{_TITLE} ({MOST_PANELS} of {n_features:,} features)"
    figure.text(*_place(figure, 0.15), title, fontsize=TITLE_POINTS, fontweight="bold", va="top")
    inches = figure.get_figwidth() - 2 * _GAP_INCHES
    line = fit(subtitle, inches, SUBTITLE_POINTS, longest=LONGEST_LINE)
    figure.text(*_place(figure, 0.45), line, fontsize=SUBTITLE_POINTS, color=MUTED, va="top", parse_math=False)
    has_categories = (profiles["kind"] == "category").any()
    x_label = "value (in brackets: share of rows that hold it)" if has_categories else "value"
    bold: dict[str, Any] = {"fontsize": _AXIS_POINTS, "fontweight": "bold"}
    figure.supxlabel(x_label, **bold)
    figure.supylabel(y_label, y=_place(figure, _HEAD_INCHES)[1] / 2, parse_math=False, **bold)


def _place(figure: Figure, inches: float) -> tuple[float, float]:
    """Return where the head's lines begin, some inches down, in parts of the figure."""
    width, height = figure.get_size_inches()
    return _GAP_INCHES / width, 1 - inches / height


def _explain(figure: Figure, profiles: pd.DataFrame) -> None:
    baseline = three_digits(profiles["baseline"].iloc[0])
    handles = [
        Line2D([], [], label="mean prediction", **_MEAN),
        Patch(label="95 % interval", **_INTERVAL),
        Line2D([], [], label=f"baseline: {baseline}, rows as they are", **_BASELINE),
    ]
    if profiles.loc[profiles["kind"] == "number", "share"].notna().any():
        handles.append(Line2D([], [], label="ticks: tenths of the rows", **{**_DECILE, "marker": "|"}))
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": _place(figure, 0.7)}
    bare: dict[str, Any] = {"frameon": False, "borderaxespad": 0, "borderpad": 0}
    figure.legend(handles=handles, ncols=len(handles), fontsize=_LEGEND_POINTS, **place, **bare)
