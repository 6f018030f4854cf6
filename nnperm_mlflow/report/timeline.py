"""The history of a model: how far each feature moves predictions, version by version."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from sklearn.isotonic import isotonic_regression

from nnperm_mlflow.analysis.difference.influences import Statistic
from nnperm_mlflow.analysis.statistics.order import in_words
from nnperm_mlflow.report._picture_text import (
    LONGEST_LINE,
    MUTED,
    SUBTITLE_POINTS,
    fit,
    inches_of,
    three_digits,
    write_title,
)
from nnperm_mlflow.report._timeline_grid import HistoryGrid, caption_of, grid_of

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a6518a", "#b08000", "#56a0d3", "#6b4ba1", "#30373d")
_OTHERS = "#c9ced3"
_VERDICTS = {"pass": ("✓", "✓ pass", "#1b7a3d"), "fail": ("✗", "✗ fail", "#b3261e"), "": ("-", "none", MUTED)}
"""For each verdict how it is written where room is scarce, and where it is not, and its colour."""

_TITLE = "How far predictions move, version by version"
_AXIS_POINTS, _LABEL_POINTS, _CAPTION_POINTS = 11, 10, 9
_HEIGHT_INCHES, _LEAST_WIDTH_INCHES, _USUAL_WIDTH_INCHES = 4.4, 5.2, 12.0
_NARROWEST_STEP_INCHES, _WIDEST_STEP_INCHES, _WORDY_STEP_INCHES = 0.34, 0.75, 0.6
_LEFT_INCHES, _TOP_INCHES, _EDGE_INCHES, _Y_LABEL_INCHES = 1.2, 0.85, 0.2, 0.85
_VERSION_ROW_INCHES, _VERDICT_ROW_INCHES, _CAPTION_INCHES = 0.25, 0.46, 0.68  # below the axes
_LINE_INCHES, _GAP_INCHES, _LEADER_INCHES, _POINT_INCHES = 0.19, 0.12, 0.3, 0.06
_WIDEST_NAME_INCHES = 3.2
_DODGE_INCHES = 0.06  # between features of one version, so that no interval hides another
_POINTS_PER_INCH = 72


def history_figure(medians: pd.DataFrame, subtitle: str, statistic: Statistic = "mean") -> Figure:
    """Draw the history on a figure of its own, wide enough for every version and name.

    Parameters
    ----------
    medians : DataFrame
        A row per version and perturbation, versions in order: `version`, `perturbation`, `kind` (of the feature),
        `way`, the statistic with its ends (`mean`, `mean_low`, `mean_high`), `unit`, and for each version the same
        `verdict` (`pass`, `fail` or nothing), `basis` (a number; versions of the same basis can be compared, 0 is that
        of the newest) and `differs` (in what another basis differs). Not modified.
    subtitle : str
        What the history is of.
    statistic : "mean" or "median"
        The one that leads.

    Returns
    -------
    matplotlib Figure
        With axes of 4.4 inches in height, and as wide as names and up to 40 versions take; save it with `savefig`.
    """
    grid = grid_of(medians, statistic)
    width = max(_LEAST_WIDTH_INCHES, _step_inches(grid) * grid.n_versions)
    names = max((inches_of(_named(grid, place), _LABEL_POINTS, "bold") for place in range(grid.top)), default=0.0)
    whole = _LEFT_INCHES + width + _LEADER_INCHES + names + _EDGE_INCHES
    below = _CAPTION_INCHES + _LINE_INCHES * len(_caption(grid, whole)) + _EDGE_INCHES
    height = below + _HEIGHT_INCHES + _TOP_INCHES
    figure = Figure(figsize=(whole, height))
    place = (_LEFT_INCHES / whole, below / height, width / whole, _HEIGHT_INCHES / height)
    draw_history(figure.add_axes(place), medians, subtitle, statistic)
    return figure


def draw_history(axes: Axes, medians: pd.DataFrame, subtitle: str, statistic: Statistic = "mean") -> Axes:
    """Draw a line per perturbation over the versions, those eight in colour that ever moved predictions most.

    Parameters
    ----------
    axes : matplotlib Axes
        To draw on, in its final size; names and verdicts are written around it.
    medians : DataFrame
        As for `history_figure`. Not modified.
    subtitle : str
    statistic : "mean" or "median"

    Returns
    -------
    matplotlib Axes
        Points are what leads, bars its intervals. Lines join neighbouring versions of the same basis; points are hollow
        where it is not the newest's. Windows are left out, since their features are there, set values, which are no
        part of the order, and versions whose deviations have another unit than the newest's.
    """
    grid = grid_of(medians, statistic)
    axes.set_xlim(-0.5, grid.n_versions - 0.5)
    axes.set_ylim(0, 1.06 * (grid.largest or 1.0))
    for place in reversed(range(len(grid.names))):
        _draw_line(axes, grid, place)
    _name_lines(axes, grid)
    _label(axes, grid, subtitle)
    _tell_versions(axes, grid)
    return axes


def _step_inches(grid: HistoryGrid) -> float:
    """Return how far versions are apart: less where there are many, never less than their numbers take."""
    widest = max(inches_of(str(version), _LABEL_POINTS) for version in grid.versions["version"]) + _GAP_INCHES
    usual = min(_USUAL_WIDTH_INCHES / grid.n_versions, _WIDEST_STEP_INCHES)
    return max(widest, usual, _NARROWEST_STEP_INCHES)


def _draw_line(axes: Axes, grid: HistoryGrid, place: int) -> None:
    """Draw the points of one perturbation, their intervals, and lines between neighbours that can be compared."""
    is_top = place < grid.top
    colour = _COLOURS[place] if is_top else _OTHERS
    across = np.arange(grid.n_versions) + (_dodge(axes, grid, place) if is_top else 0.0)
    value = grid.value[place]
    look: dict[str, Any] = {"color": colour, "zorder": 3 if is_top else 1, "clip_on": False}
    for start in np.flatnonzero(grid.bases[:-1] == grid.bases[1:]):
        pair = slice(start, start + 2)
        axes.plot(across[pair], value[pair], linewidth=1.8 if is_top else 0.8, **look)
    if is_top:
        axes.vlines(across, grid.low[place], grid.high[place], linewidth=1.1, **look)
    points: dict[str, Any] = {"marker": "o", "markersize": 5.5 if is_top else 2.5, "linestyle": "none"}
    for meant, face in ((grid.bases == 0, colour), (grid.bases != 0, "white")):
        axes.plot(across[meant], value[meant], markerfacecolor=face, markeredgewidth=1.3, **points, **look)


def _dodge(axes: Axes, grid: HistoryGrid, place: int) -> float:
    """Return by how much a perturbation stands beside its version, in versions."""
    step = _step(axes, grid)
    return (place - (grid.top - 1) / 2) * min(_DODGE_INCHES, 0.5 * step / len(_COLOURS)) / step


def _name_lines(axes: Axes, grid: HistoryGrid) -> None:
    """Write names and newest numbers at the right, beside the last points, moved apart where they are close."""
    height, end = _inches(axes)[1], axes.get_ylim()[1]
    points = np.array([grid.value[place, grid.last(place)] for place in range(grid.top)])
    texts = _apart(points / end * height, _LINE_INCHES, height) / height * end
    edge, step = grid.n_versions - 0.5, _step(axes, grid)
    thin: dict[str, Any] = {"linewidth": 0.6, "alpha": 0.7, "clip_on": False, "scalex": False, "scaley": False}
    bold: dict[str, Any] = {"fontsize": _LABEL_POINTS, "fontweight": "bold", "va": "center", "parse_math": False}
    for place, (point, text) in enumerate(zip(points, texts, strict=True)):
        if grid.is_in_newest(place):
            begin = grid.n_versions - 1 + _dodge(axes, grid, place) + _POINT_INCHES / step
            corner = edge + (_LEADER_INCHES - _POINT_INCHES) / step
            axes.plot([begin, edge, corner], [point, point, text], color=_COLOURS[place], **thin)
        axes.text(edge + _LEADER_INCHES / step, text, _named(grid, place), color=_COLOURS[place], **bold)


def _apart(wanted: np.ndarray, least: float, most: float) -> np.ndarray:
    """Return places from 0 to `most` that are as near to those wanted as can be, and no two nearer than `least`."""
    upwards = np.lexsort((-np.arange(len(wanted)), wanted))  # of equal ones the first comes above
    steps = least * np.arange(len(wanted))
    places = np.empty(len(wanted))
    places[upwards] = steps + isotonic_regression(wanted[upwards] - steps, y_min=0, y_max=most - steps.max(initial=0))
    return places


def _named(grid: HistoryGrid, place: int) -> str:
    """Return a perturbation's name with its newest number, or where it was seen last."""
    name, at = fit(grid.names[place], _WIDEST_NAME_INCHES, _LABEL_POINTS, "bold"), grid.last(place)
    if grid.is_in_newest(place):
        return f"{name}  {three_digits(grid.value[place, at])}"
    return f"{name}  (until version {grid.versions['version'].iloc[at]})"


def _label(axes: Axes, grid: HistoryGrid, subtitle: str) -> None:
    figure_inches = _figure(axes).get_figwidth()
    room = figure_inches - _LEFT_INCHES - _EDGE_INCHES
    write_title(axes, _TITLE, fit(subtitle, room, SUBTITLE_POINTS, longest=LONGEST_LINE))
    width, height = _inches(axes)
    unit = fit(grid.unit, 0.6 * height, _AXIS_POINTS, "bold")
    axes.set_ylabel(f"{in_words(grid.statistic)} ({unit})", fontsize=_AXIS_POINTS, fontweight="bold", parse_math=False)
    axes.yaxis.set_label_coords(-_Y_LABEL_INCHES / width, 0.5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: three_digits(number)))
    axes.set_xticks([])
    axes.tick_params(labelsize=_LABEL_POINTS, length=0)
    axes.grid(axis="y", color="#e3e7ea", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    for number, line in enumerate(_caption(grid, figure_inches)):
        _write_below(axes, 0, _CAPTION_INCHES + _LINE_INCHES * (number + 0.5), line, color=MUTED, ha="left")


def _tell_versions(axes: Axes, grid: HistoryGrid) -> None:
    """Write a row of versions and one of verdicts below the axes."""
    has_words = _step(axes, grid) > _WORDY_STEP_INCHES
    bold: dict[str, Any] = {"color": MUTED, "ha": "right", "fontweight": "bold"}
    _write_below(axes, 0, _VERSION_ROW_INCHES, "version", **bold)
    _write_below(axes, 0, _VERDICT_ROW_INCHES, "verdict", **bold)
    for place, (version, verdict) in enumerate(zip(grid.versions["version"], grid.versions["verdict"], strict=True)):
        across = (place + 0.5) / grid.n_versions
        sign, words, colour = _VERDICTS.get(verdict, _VERDICTS[""])
        _write_below(axes, across, _VERSION_ROW_INCHES, str(version), ha="center", fontsize=_LABEL_POINTS)
        _write_below(axes, across, _VERDICT_ROW_INCHES, words if has_words else sign, color=colour, ha="center")


def _caption(grid: HistoryGrid, figure_inches: float) -> list[str]:
    """Return the caption in lines that a figure of that width has room for."""
    room, lines = figure_inches - _LEFT_INCHES - 2 * _EDGE_INCHES, []
    for sentence in caption_of(grid):
        letters = int(len(sentence) * room / inches_of(sentence, _CAPTION_POINTS))
        lines += textwrap.wrap(sentence, max(letters, 1))
    return lines


def _write_below(axes: Axes, across: float, inches: float, text: str, **look: Any) -> None:  # noqa: ANN401
    """Write a text below the axes: `across` in parts of their width, so many inches down."""
    left = _GAP_INCHES if look["ha"] == "right" else 0.0
    axes.annotate(
        text,
        (across, 0),
        xycoords="axes fraction",
        xytext=(-_POINTS_PER_INCH * left, -_POINTS_PER_INCH * inches),
        textcoords="offset points",
        va="center",
        **{"fontsize": _CAPTION_POINTS, "parse_math": False, **look},
    )


def _step(axes: Axes, grid: HistoryGrid) -> float:
    """Return how far versions are apart, in inches."""
    return _inches(axes)[0] / grid.n_versions


def _inches(axes: Axes) -> tuple[float, float]:
    """Return width and height of the axes."""
    dpi = _figure(axes).dpi
    return float(axes.bbox.width) / dpi, float(axes.bbox.height) / dpi


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes stand on no figure")
    return figure
