"""How far predictions move in each segment: a panel for each column, the leading features below each other."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import ScaledTranslation

from nnperm_mlflow.report._picture_text import LONGEST_LINE, MUTED, SUBTITLE_POINTS, TITLE_POINTS, fit, shorten

MOST_COLUMNS, MOST_FEATURES, MOST_SEGMENTS = 4, 10, 8
"""Panels, features in each, and segments that can be told apart by color: the largest; words say what is left out."""

_TITLE = "Mean deviation in each segment, with its 95 % interval"
_GRID_LINE = "#d9dee2"
_LONGEST_NAME = 24
_WIDTH_INCHES, _HEAD_INCHES, _FOOT_INCHES, _PAD_INCHES, _GAP_INCHES = 6.0, 0.8, 0.9, 0.1, 0.15
_FEATURE_INCHES, _SEGMENT_INCHES, _LEGEND_INCHES = 0.16, 0.11, 0.24
_NAME_POINTS, _VALUE_POINTS, _AXIS_POINTS = 10, 9, 11
_SPREAD = 0.72  # of the place of a feature that its segments take


def segments_figure(segments: pd.DataFrame, leading: list[str], subtitle: str, unit: str) -> Figure:
    """Draw the means of all segments of each column.

    Parameters
    ----------
    segments : DataFrame
        As `analysis.segments.segment_tables.SegmentTables` has it. Not modified. Segments without an interval are below
        the floor: they are pale, and without one.
    leading : list of str
        Perturbations, the largest first.
    subtitle : str
        What was audited, on how many rows.
    unit : str
        Unit of the prediction.

    Returns
    -------
    matplotlib Figure
        Save it with `savefig`.
    """
    columns = list(segments["column"].unique())
    shown, features = columns[:MOST_COLUMNS], leading[:MOST_FEATURES]
    panels = [_largest(segments[segments["column"] == column]) for column in shown]
    n_beside = min(2, len(panels))
    rows = [panels[first : first + n_beside] for first in range(0, len(panels), n_beside)]
    heights = [max(_panel_inches(panel, len(features)) for panel in row) for row in rows]
    height = _HEAD_INCHES + _FOOT_INCHES / 2 + sum(heights)
    width = _WIDTH_INCHES * max(n_beside, 1.4)
    under_head = (0, 0, 1, 1 - _HEAD_INCHES / height)
    layout = ConstrainedLayoutEngine(w_pad=_PAD_INCHES, h_pad=_PAD_INCHES, rect=under_head)
    figure = Figure(figsize=(width, height), layout=layout)
    grid = figure.subplots(len(rows), n_beside, squeeze=False, height_ratios=heights)
    ends = segments.loc[segments["perturbation"].isin(features), ["mean", "mean_high"]]
    largest = float(np.nanmax(ends.to_numpy(float), initial=0.0)) or 1.0
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    for axes, panel in zip(grid.flat, panels, strict=False):
        n_segments = segments.loc[segments["column"] == panel["column"].iloc[0], "segment"].nunique()
        _draw_panel(axes, panel, features, n_segments)
        axes.set_xlim(0, 1.04 * largest)
    told = _TITLE if len(columns) <= len(shown) else f"{_TITLE} ({len(shown)} of {len(columns)} columns)"
    figure.text(_GAP_INCHES / width, 1 - 0.15 / height, told, fontsize=TITLE_POINTS, fontweight="bold", va="top")
    what = f"{subtitle}; {_features(features, leading)}"
    line = fit(what, width - 2 * _GAP_INCHES, SUBTITLE_POINTS, longest=LONGEST_LINE)
    place = (_GAP_INCHES / width, 1 - 0.45 / height)
    figure.text(*place, line, fontsize=SUBTITLE_POINTS, color=MUTED, va="top", parse_math=False)
    label = f"mean deviation ({fit(unit, width / 2, _AXIS_POINTS, 'bold')})"
    figure.supxlabel(label, fontsize=_AXIS_POINTS, fontweight="bold", parse_math=False)
    return figure


def _features(features: list[str], leading: list[str]) -> str:
    some = f"the leading {len(features)} of" if len(features) < len(leading) else "all"
    return f"{some} {len(leading)} perturbations"


def _largest(panel: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the segments that are shown: those with most rows, in the order of the table."""
    sizes = panel.groupby("segment", sort=False)["rows"].first()
    kept = set(sizes.nlargest(MOST_SEGMENTS).index)
    return panel[panel["segment"].isin(kept)]


def _panel_inches(panel: pd.DataFrame, n_features: int) -> float:
    n_segments = panel["segment"].nunique()
    of_features = n_features * (_FEATURE_INCHES + _SEGMENT_INCHES * n_segments)
    return _FOOT_INCHES + max(1.0, of_features) + _LEGEND_INCHES * -(-n_segments // 2)


def _draw_panel(axes: Axes, panel: pd.DataFrame, features: list[str], n_segments: int) -> None:
    names = list(panel["segment"].unique())
    colors = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    steps = (np.arange(len(names)) - (len(names) - 1) / 2) * _SPREAD / max(1, len(names))
    places = np.arange(len(features))
    for name, color, step in zip(names, colors, steps, strict=False):
        told = panel[panel["segment"] == name].set_index("perturbation").reindex(features)
        _draw_segment(axes, told, places + step, name, color)
    axes.set_yticks(places, [shorten(name, _LONGEST_NAME) for name in features], parse_math=False)
    axes.set_ylim(len(features) - 0.5, -0.5)
    axes.hlines(places[1:] - 0.5, 0, 1, transform=axes.get_yaxis_transform(), color=_GRID_LINE, linewidth=0.8)
    title = shorten(str(panel["column"].iloc[0]), _LONGEST_NAME)
    more = "" if len(names) == n_segments else f" (the {len(names)} largest of {n_segments} segments)"
    axes.set_title(f"{title}{more}", loc="left", fontsize=_NAME_POINTS, fontweight="bold", parse_math=False)
    axes.tick_params(labelsize=_VALUE_POINTS)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=_GRID_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    inches = axes.get_figure().dpi_scale_trans  # type: ignore[union-attr]
    below = axes.transAxes + ScaledTranslation(0, -_LEGEND_INCHES, inches)
    where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": below, "ncols": 2}
    legend = axes.legend(fontsize=_VALUE_POINTS, borderaxespad=0, frameon=False, **where)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_segment(axes: Axes, told: pd.DataFrame, places: np.ndarray, name: str, color: Any) -> None:  # noqa: ANN401
    is_judged = bool(told["mean_low"].notna().any())
    n_rows = int(told["rows"].max())
    label = f"{shorten(name, _LONGEST_NAME)} ({n_rows:,} rows{'' if is_judged else ', too few'})"
    axes.hlines(places, told["mean_low"], told["mean_high"], color=color, linewidth=2, alpha=0.5)
    pale: dict[str, Any] = {} if is_judged else {"markerfacecolor": "none"}
    axes.plot(told["mean"], places, "o", markersize=4, color=color, label=label, **pale)
