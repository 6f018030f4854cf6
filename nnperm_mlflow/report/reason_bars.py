"""The bars of reasons: what raised the prediction of one observation, and what lowered it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
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

MOST_BARS = 30
"""Features that are shown, those with the largest mean size; of more the title tells how many there are."""

_RAISES: dict[str, Any] = {"color": "#e0a068"}
_LOWERS: dict[str, Any] = {"color": "#7fa6c4"}
_INTERVAL: dict[str, Any] = {"color": "#37474f", "linewidth": 1.4}
_GRID_LINE = "#d9dee2"
_NAME_POINTS, _AXIS_POINTS, _NOTE_POINTS, _UNIT_INCHES = 10, 11, 9, 3.0
_ROW_INCHES, _PLOT_INCHES, _HEAD_INCHES, _FOOT_INCHES, _LEAST_WIDTH_INCHES = 0.34, 5.2, 1.45, 0.6, 9.0
_GAP_INCHES, _LINE_INCHES, _WIDEST_INCHES = 0.15, 0.2, 13.0


def reasons_figure(features: pd.DataFrame, title: str, subtitle: Sequence[str], unit: str) -> Figure:
    """Draw a bar for each feature, what raises the prediction most on top.

    Parameters
    ----------
    features : DataFrame
        See `analysis.reasons.observation_reasons.Reasons`: `place`, `feature`, `effect`, `low`, `high`, `turned`. Not
        modified.
    title : str
    subtitle : sequence of str
        Lines: what was explained, and with what it was compared.
    unit : str
        Unit of the prediction.

    Returns
    -------
    matplotlib Figure
        Of 0.34 inches a feature; features that cannot be told apart bear one number. Save it with `savefig`.
    """
    shown = features.loc[features["size"].sort_values(ascending=False, kind="stable").index[:MOST_BARS]].sort_index()
    labels = [f"{shorten(str(name))}  {place}" for name, place in zip(shown["feature"], shown["place"], strict=True)]
    heads = [inches_of(shorten(line, 2 * LONGEST_LINE), SUBTITLE_POINTS) + 2 * _GAP_INCHES for line in subtitle]
    bars = _PLOT_INCHES + max(inches_of(label, _NAME_POINTS) for label in labels)
    width = max(_LEAST_WIDTH_INCHES, bars, min(_WIDEST_INCHES, max(heads)))
    height = _HEAD_INCHES + _FOOT_INCHES + _ROW_INCHES * len(shown)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, rect=(0, 0, 1, 1 - _HEAD_INCHES / height))
    figure = Figure(figsize=(width, height), layout=layout)
    axes = figure.subplots()
    rows = np.arange(len(shown))
    colours = [(_RAISES if effect > 0 else _LOWERS)["color"] for effect in shown["effect"]]
    axes.barh(rows, shown["effect"], color=colours, height=0.62, zorder=2)
    axes.hlines(rows, shown["low"], shown["high"], **_INTERVAL, zorder=3)
    axes.axvline(0, color=MUTED, linewidth=1, zorder=3)
    axes.set_yticks(rows, labels, fontsize=_NAME_POINTS, parse_math=False)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.margins(x=0.06)
    _write_turned(axes, rows, shown)
    unit = fit(unit, _UNIT_INCHES, _AXIS_POINTS, "bold")
    label = f"moves the prediction by ({unit})"
    axes.set_xlabel(label, fontsize=_AXIS_POINTS, fontweight="bold", parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=_GRID_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    more = "" if len(shown) == len(features) else f" ({len(shown)} of {len(features):,} features)"
    _write_head(figure, f"{title}{more}", subtitle, shown)
    return figure


def _write_turned(axes: Any, rows: np.ndarray, shown: pd.DataFrame) -> None:  # noqa: ANN401 - matplotlib's
    """Write beside the bars which share of the others' values turns the decision, where any does."""
    for row, turned in zip(rows, shown["turned"], strict=True):
        if turned > 0:
            text = f"{100 * turned:.0f} %" if turned >= 0.01 else "<1 %"
            place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "xytext": (4, 0), "va": "center"}
            axes.annotate(text, (1, row), textcoords="offset points", fontsize=_NOTE_POINTS, color=MUTED, **place)


def _write_head(figure: Figure, title: str, subtitle: Sequence[str], shown: pd.DataFrame) -> None:
    width, height = figure.get_size_inches()
    left, inches = _GAP_INCHES / width, width - 2 * _GAP_INCHES
    head = fit(title, inches, TITLE_POINTS, "bold", longest=LONGEST_LINE)
    figure.text(left, 1 - 0.15 / height, head, fontsize=TITLE_POINTS, fontweight="bold", va="top", parse_math=False)
    small: dict[str, Any] = {"fontsize": SUBTITLE_POINTS, "color": MUTED, "va": "top", "parse_math": False}
    for number, line in enumerate(subtitle):
        told = fit(line, inches, SUBTITLE_POINTS, longest=2 * LONGEST_LINE)
        figure.text(left, 1 - (0.48 + _LINE_INCHES * number) / height, told, **small)
    handles: list[Any] = [
        Patch(label="raises the prediction", **_RAISES),
        Patch(label="lowers it", **_LOWERS),
        Line2D([], [], label="95 % interval", **_INTERVAL),
    ]
    if (shown["turned"] > 0).any():
        handles.append(Line2D([], [], linestyle="none", label="right: others' values that turn the decision"))
    bare: dict[str, Any] = {"frameon": False, "borderaxespad": 0, "borderpad": 0, "fontsize": _NOTE_POINTS}
    place = (left, 1 - (0.6 + _LINE_INCHES * len(subtitle)) / height)
    figure.legend(handles=handles, ncols=len(handles), loc="upper left", bbox_to_anchor=place, **bare)


def reasons_title(prediction: float, others: float) -> str:
    """Return how the picture is called."""
    return f"Why {three_digits(prediction)}, and not {three_digits(others)} as others on average"
