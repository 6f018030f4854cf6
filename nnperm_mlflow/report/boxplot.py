"""The boxplot of deviations: one box per perturbation, the one that moves predictions most on top."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nnperm_mlflow.report.picture_text import LONGEST_LINE, TITLE_POINTS, fit, inches_of, shorten

TOP = 20
"""Perturbations that are marked off where there are more, as in the article."""

MOST = 60
"""Perturbations that are shown, those that move predictions most; of more it is said how many are left."""

_COLOURS = {"shuffle": "#7aa6c2", "set": "#e0a458", "order": "#a596c8"}
_WAYS = {"shuffle": "shuffled", "set": "all rows set to the value (rows that held it)", "order": "steps reordered"}
_WHISKER, _EDGE = "#5b6770", "#37474f"
_MEAN_MARK: dict[str, Any] = {
    "marker": "D", "markersize": 4, "markerfacecolor": "white", "markeredgecolor": "#1d2b36"
}  # fmt: skip
_LARGEST_MARK: dict[str, Any] = {
    "marker": "o", "markersize": 3, "markerfacecolor": "#8a8f94", "markeredgecolor": "none"
}  # fmt: skip
_TICKS_ABOVE = 18  # points that the upper scale of a long plot takes
_LETTER_INCHES, _FREE_LETTERS = 0.09, 16
_LONGEST_NAME = 120  # letters; a longer one would leave the boxes no room
_ROW_INCHES, _MARGIN_INCHES, _WIDTH_INCHES = 0.3, 2.0, 10.0
_BOXES_INCHES = 7.6  # width of the axes, or a little less
_HEAD_POINTS, _AXIS_POINTS = 12, 11
_ROUNDING = 1e-4  # by which a deviation may exceed the axis's end, which has room for it
_SMALLEST_PROBABILITY = 0.01  # end of the shortest axis: what moves less is small, and shall look small


def boxplot_figure(summary: pd.DataFrame, subtitle: str, unit: str) -> Figure:
    """Draw the boxplot on a figure of its own, high enough for every label that is shown.

    Parameters
    ----------
    summary : DataFrame
        As `analysis.statistics.summary.summarize` returns it.
    subtitle : str
        What was audited, on how many rows.
    unit : str
        Unit of the prediction.

    Returns
    -------
    matplotlib Figure
        Of 10 inches (more for long names) by 0.3 inches a perturbation, at most `MOST` of them; save it with `savefig`.
    """
    shown = choose_boxes(summary)
    longest = min(_LONGEST_NAME, max(map(len, shown["perturbation"])))
    width = _WIDTH_INCHES + _LETTER_INCHES * max(0, longest - _FREE_LETTERS)
    n_lines = len(shown) + (len(shown) < len(summary))
    figure = Figure(figsize=(width, _MARGIN_INCHES + _ROW_INCHES * n_lines), layout="constrained")
    draw_boxplot(figure.subplots(), summary, subtitle, unit)
    return figure


def choose_boxes(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows to show, ordered by median, ties by mean.

    Parameters
    ----------
    summary : DataFrame
        As for `boxplot_figure`. Not modified.
    """
    ordered = summary.sort_values(["median", "mean"], ascending=False, kind="stable").reset_index(drop=True)
    return ordered.head(MOST)


def draw_boxplot(axes: Axes, summary: pd.DataFrame, subtitle: str, unit: str) -> Axes:
    """Draw one box per perturbation, those that move predictions most.

    Parameters
    ----------
    axes : matplotlib Axes
        To draw on.
    summary : DataFrame
        One row per perturbation. Not modified.
    subtitle, unit : str

    Returns
    -------
    matplotlib Axes
        Boxes from the lower to the upper quartile with a line at the median, whiskers from 5 % to 95 %, a diamond at
        the mean and a point at the largest deviation. Below the last box it is said how many are not shown.
    """
    ordered = choose_boxes(summary)
    boxes = axes.bxp(
        [_box(row) for row in ordered.to_dict("records")],
        positions=range(len(ordered)),
        orientation="horizontal",
        widths=0.62,
        showfliers=True,
        showmeans=True,
        patch_artist=True,
        medianprops={"color": "#1d2b36", "linewidth": 2},
        meanprops=_MEAN_MARK,
        flierprops=_LARGEST_MARK,
        whiskerprops={"color": _WHISKER},
        capprops={"color": _WHISKER},
    )
    for box, way in zip(boxes["boxes"], ordered["way"], strict=True):
        box.set(facecolor=_COLOURS[way], edgecolor=_EDGE)
    _label(axes, ordered, subtitle, unit)
    if len(ordered) < len(summary):
        _tell_others(axes, len(ordered), len(summary) - len(ordered))
    return axes


def _box(row: dict[Any, Any]) -> dict[str, Any]:
    return {
        "label": _label_of(row),
        "med": row["median"],
        "mean": row["mean"],
        "q1": row["q25"],
        "q3": row["q75"],
        "whislo": row["q05"],
        "whishi": row["q95"],
        "fliers": [row["max"]],
    }


def _label_of(row: dict[Any, Any]) -> str:
    """Return a perturbation's name, and behind a set value how many rows held it."""
    name, held = shorten(str(row["perturbation"]), _LONGEST_NAME), row.get("held", math.nan)
    return name if math.isnan(held) else f"{name} ({held:,.0f})"


def _label(axes: Axes, ordered: pd.DataFrame, subtitle: str, unit: str) -> None:
    end = _axis_end(float(ordered["max"].max()), unit)
    _head(axes, subtitle, f"axis: 0 to {end:g}", _TICKS_ABOVE if len(ordered) > TOP else 0)
    axes.set_xlabel(_deviation_in(unit), fontsize=_AXIS_POINTS, fontweight="bold", parse_math=False)
    axes.set_ylabel("Perturbated feature", fontsize=_AXIS_POINTS, fontweight="bold")
    axes.tick_params(labelsize=_AXIS_POINTS)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)  # a dollar in a feature's name is a dollar
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlim(0, 1.02 * end)
    axes.grid(axis="x", color="#d9dee2", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if len(ordered) > TOP:
        _mark_top(axes)
    _explain(axes, set(ordered["way"]))


def _head(axes: Axes, subtitle: str, scale: str, lift: int) -> None:
    """Say above the boxes what they show, of what, and on which scale: pictures are looked at side by side."""
    title = "Impact of a random shuffle in a column on the inference"
    axes.set_title(title, fontsize=TITLE_POINTS, fontweight="bold", loc="left", pad=26 + lift)
    above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "color": _EDGE}
    line = fit(subtitle, _BOXES_INCHES, _HEAD_POINTS, longest=LONGEST_LINE)
    axes.annotate(line, (0, 1), xytext=(0, 8 + lift), fontsize=_HEAD_POINTS, parse_math=False, **above)
    axes.annotate(scale, (1, 1), xytext=(0, 27 + lift), fontsize=_HEAD_POINTS, ha="right", **above)


def _deviation_in(unit: str) -> str:
    """Return the quantity and its unit, on two lines where one would be too long."""
    quantity = "Difference between original inference and perturbated inference"
    unit = fit(unit, _BOXES_INCHES, _AXIS_POINTS, "bold", longest=LONGEST_LINE)
    line = f"{quantity} ({unit})"
    return line if inches_of(line, _AXIS_POINTS, "bold") <= _BOXES_INCHES else f"{quantity}\n({unit})"


def _mark_top(axes: Axes) -> None:
    """Set the first boxes off from the others, named beside them, and repeat the scale above them."""
    axes.axhspan(-0.6, TOP - 0.5, color="#eef3f6", zorder=0)
    axes.axhline(TOP - 0.5, color=_EDGE, linewidth=1, linestyle="--")
    axes.annotate(
        f"TOP {TOP} FEATURES",
        (1, (TOP - 1) / 2),
        xycoords=axes.get_yaxis_transform(),
        xytext=(6, 0),
        textcoords="offset points",
        rotation=270,
        va="center",
        fontsize=10,
        fontweight="bold",
        color=_EDGE,
    )
    axes.tick_params(labeltop=True, top=True)


def _tell_others(axes: Axes, n_shown: int, n_left: int) -> None:
    """Say in a line of its own, below the last box, how many there are besides."""
    axes.set_ylim(n_shown + 0.6, -0.6)
    axes.annotate(
        f"and {n_left:,} more, none with a larger median (summary.csv)",
        (0, n_shown),
        xycoords=axes.get_yaxis_transform(),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=_AXIS_POINTS,
        color=_EDGE,
    )


def _explain(axes: Axes, ways: set[str]) -> None:
    handles = [
        *[Patch(facecolor=_COLOURS[way], edgecolor=_EDGE, label=_WAYS[way]) for way in _COLOURS if way in ways],
        Line2D([], [], linestyle="none", label="mean", **_MEAN_MARK),
        Line2D([], [], linestyle="none", label="largest", **_LARGEST_MARK),
        Line2D([], [], color=_WHISKER, label="whiskers: 5 % to 95 %"),
    ]
    figure = axes.get_figure(root=True)
    if figure is not None:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, frameon=False)


def _axis_end(largest: float, unit: str) -> float:
    """Return a round number (1, 2 or 5 times a power of ten) that the largest deviation does not exceed.

    Versions that are alike share it, so that their boxes can be compared by eye. Below a hundredth, all probabilities
    do.
    """
    if "probability" in unit:
        largest = max(largest, _SMALLEST_PROBABILITY)
    if largest <= 0:
        return 1.0
    power = math.floor(math.log10(largest))
    ends = (float(f"{digit}e{power}") for digit in (1, 2, 5, 10))
    return next(end for end in ends if largest <= end * (1 + _ROUNDING))
