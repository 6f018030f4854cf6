"""The heatmap of windows: when in the series a temporal channel moves predictions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import BboxTransformTo, ScaledTranslation

from nnperm_mlflow.analysis.statistics.order import MEAN, MEDIAN, in_words
from nnperm_mlflow.report._picture_text import (
    LONGEST_LINE,
    SUBTITLE_POINTS,
    TITLE_POINTS,
    inches_of,
    letter_colour,
    shorten,
    three_digits,
    write_title,
)

MOST_NUMBERED = 25
"""Windows beside each other up to which each cell has its number."""

MOST_CHANNELS = 60
"""Channels that are shown, those with the largest deviations; of more the title tells how many there are."""

MOST_NAMED = 80
"""Windows beside each other up to which each has its name and the usual width; more of them share the same room."""

_COLOURS = colormaps["Blues"]  # one hue, ever darker: safe for colour-blind readers and on grey prints
_NOT_MEASURED: dict[str, Any] = {"facecolor": "#e9ebed", "edgecolor": "#b4bac0", "hatch": "////", "linewidth": 0}
_GRID_LINE = "#d9dee2"
_LABEL_POINTS, _NUMBER_POINTS = 10, 9
_ROW_INCHES, _NARROWEST_INCHES, _WIDEST_LABEL_INCHES, _LINE_INCHES = 0.34, 0.3, 1.3, 0.18
_BAR_INCHES, _BAR_LENGTH_INCHES, _BAR_GAP_INCHES = 0.14, 3.6, 0.6
_GAP_INCHES, _PAD_INCHES, _MARGIN_INCHES, _LEGEND_INCHES = 0.18, 0.1, 0.5, 1.6
_HEAD_AND_FOOT_INCHES, _LEAST_WIDTH_INCHES = 1.7, 8.0


class _Grid(NamedTuple):
    """What is drawn: cells of shape (n_channels, n_windows), NaN where a channel lacks a window, and their labels."""

    statistic: str
    cells: np.ndarray
    channels: list[str]
    windows: list[str]
    notes: list[str]  # for the title


def heatmap_figure(windows: pd.DataFrame, subtitle: str, unit: str, order_by: str = MEAN) -> Figure:
    """Draw the heatmap on a figure of its own, large enough for every label and number.

    Parameters
    ----------
    windows : DataFrame
        One row per channel and window: `channel`, `window` (their names), `first`, `last` (steps from 1, both within),
        `median` and `mean` (of the deviations), and what else leads. Not modified.
    subtitle : str
        What was audited, on how many rows.
    unit : str
        Unit of the prediction.
    order_by : str
        The statistic that leads.

    Returns
    -------
    matplotlib Figure
        Of 0.34 inches a channel and at least 0.3 inches a window, up to `MOST_CHANNELS` and `MOST_NAMED` of them; save
        it with `savefig`.
    """
    grid = _order(windows, order_by)
    title = inches_of(_title(grid), TITLE_POINTS, "bold")
    subtitle_inches = inches_of(shorten(subtitle, LONGEST_LINE), SUBTITLE_POINTS) + _LEGEND_INCHES
    right = max(len(grid.windows) * _cell_inches(grid), title, subtitle_inches)
    left = max(inches_of(name, _LABEL_POINTS) for name in grid.channels)
    size = (
        max(_LEAST_WIDTH_INCHES, left + right + _MARGIN_INCHES),
        _HEAD_AND_FOOT_INCHES + _below_inches(grid) + _ROW_INCHES * len(grid.channels),
    )
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=_PAD_INCHES, h_pad=_PAD_INCHES))
    draw_heatmap(figure.subplots(), windows, subtitle, unit, order_by)
    return figure


def draw_heatmap(axes: Axes, windows: pd.DataFrame, subtitle: str, unit: str, order_by: str = MEAN) -> Axes:
    """Draw one cell per channel and window, the channel with the largest deviation on top, windows in order of time.

    Parameters
    ----------
    axes : matplotlib Axes
        To draw on.
    windows : DataFrame
        As for `heatmap_figure`. Not modified.
    subtitle, unit, order_by : str

    Returns
    -------
    matplotlib Axes
        Its colours are what leads, as title and colour bar say. Where that is the median and all are 0, as of rare
        flags, they are means. Colours begin at 0. A cell is hatched where the channel lacks the window.
    """
    grid = _order(windows, order_by)
    largest = np.nanmax(grid.cells, initial=0)
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(grid.cells),
        cmap=_COLOURS,
        vmin=0,
        vmax=largest if largest > 0 else 1,
        edgecolors=_GRID_LINE,
        linewidth=0.8 if len(grid.windows) <= MOST_NAMED else 0,
        antialiased=True,
    )
    axes.invert_yaxis()
    axes.patch.set(**_NOT_MEASURED)
    if len(grid.windows) <= MOST_NUMBERED:
        _write_numbers(axes, mesh, grid.cells)
    _label(axes, grid, subtitle)
    _explain(axes, mesh, grid, unit)
    return axes


def _order(windows: pd.DataFrame, order_by: str) -> _Grid:
    """Choose the statistic and order the cells: by largest cell, ties by mean; across by first step, then last."""
    all_zero = order_by == MEDIAN and not windows[MEDIAN].any()
    statistic = MEAN if all_zero else order_by
    wide = {
        name: windows.pivot(index="channel", columns=["first", "last", "window"], values=name).sort_index(axis=1)
        for name in {statistic, MEAN}
    }
    largest = pd.DataFrame({"shown": wide[statistic].max(axis=1), "mean": wide[MEAN].max(axis=1)})
    largest = largest.reindex(windows["channel"].unique())
    order = largest.sort_values(["shown", "mean"], ascending=False, kind="stable").index
    cells = wide[statistic].loc[order[:MOST_CHANNELS]]
    names = [_window_name(*column) for column in cells.columns]
    channels, notes = [shorten(name) for name in cells.index], ["all medians are 0"] if all_zero else []
    if len(order) > len(channels):
        notes.append(f"the leading {len(channels)} of {len(order):,} channels")
    return _Grid(statistic, cells.to_numpy(dtype=float), channels, names, notes)


def _window_name(first: int, last: int, name: str) -> str:
    """Add the steps to a name of the user's own."""
    steps = f"{first}" if first == last else f"{first} to {last}"
    return shorten(name) if name in {steps, f"step {steps}", f"steps {steps}"} else f"{shorten(name)} ({steps})"


def _title(grid: _Grid) -> str:
    note = f" ({'; '.join(grid.notes)})" if grid.notes else ""
    return f"When a channel matters (temporal occlusion): {in_words(grid.statistic)} by window{note}"


def _cell_inches(grid: _Grid) -> float:
    if len(grid.windows) > MOST_NAMED:
        return MOST_NAMED * _NARROWEST_INCHES / len(grid.windows)
    texts = [] if len(grid.windows) > MOST_NUMBERED else [three_digits(cell) for cell in grid.cells.flat]
    widths = [inches_of(text, _NUMBER_POINTS) for text in texts]
    if not _is_upright(grid):
        widths += [inches_of(name, _LABEL_POINTS) for name in grid.windows]
    return max([_NARROWEST_INCHES, *(width + _GAP_INCHES for width in widths)])


def _is_upright(grid: _Grid) -> bool:
    """Say whether the names of windows stand upright: many of them, or long ones."""
    return len(grid.windows) > MOST_NUMBERED or any(
        inches_of(name, _LABEL_POINTS) > _WIDEST_LABEL_INCHES for name in grid.windows
    )


def _below_inches(grid: _Grid) -> float:
    """Return how far the names of windows reach below the cells."""
    return max(inches_of(name, _LABEL_POINTS) for name in grid.windows) if _is_upright(grid) else _LINE_INCHES


def _write_numbers(axes: Axes, mesh: QuadMesh, cells: np.ndarray) -> None:
    centred: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": _NUMBER_POINTS}
    for (row, column), cell in np.ndenumerate(cells):
        if np.isfinite(cell):
            colour = letter_colour(np.asarray(mesh.to_rgba(cell)))
            axes.text(column + 0.5, row + 0.5, three_digits(cell), color=colour, **centred)


def _label(axes: Axes, grid: _Grid, subtitle: str) -> None:
    write_title(axes, _title(grid), subtitle)
    literal: dict[str, Any] = {"fontsize": _LABEL_POINTS, "parse_math": False}
    rotation = 90 if _is_upright(grid) else 0
    named = slice(None, None, -(-len(grid.windows) // MOST_NAMED))
    axes.set_xticks(np.arange(len(grid.windows))[named] + 0.5, grid.windows[named], rotation=rotation, **literal)
    axes.set_yticks(np.arange(len(grid.channels)) + 0.5, grid.channels, **literal)
    axes.set_xlabel("steps", fontsize=11, fontweight="bold")
    axes.set_ylabel("channel", fontsize=11, fontweight="bold")
    axes.tick_params(length=0)
    axes.spines[:].set_color(_GRID_LINE)


def _explain(axes: Axes, mesh: QuadMesh, grid: _Grid, unit: str) -> None:
    if np.isnan(grid.cells).any():
        missing = Patch(label="not measured", **_NOT_MEASURED)
        beside_subtitle: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.3}
        axes.legend(handles=[missing], fontsize=_NUMBER_POINTS, frameon=False, **beside_subtitle)
    figure = axes.get_figure(root=True)
    if figure is None:
        return
    inches_from_corner = figure.dpi_scale_trans + ScaledTranslation(0, 0, BboxTransformTo(axes.bbox))
    place = (0, -_below_inches(grid) - _BAR_GAP_INCHES, _BAR_LENGTH_INCHES, _BAR_INCHES)
    bar = figure.colorbar(
        mesh,
        cax=axes.inset_axes(place, transform=inches_from_corner),
        orientation="horizontal",
        ticks=MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]),
        format=FuncFormatter(lambda number, _: three_digits(number)),
    )
    what = in_words(grid.statistic)
    deviation = f"{what} ({shorten(unit)})" if grid.statistic in (MEAN, MEDIAN) else what
    bar.set_label(deviation, loc="left", fontsize=_LABEL_POINTS, parse_math=False)
    bar.ax.tick_params(labelsize=_NUMBER_POINTS)
    bar.outline.set_edgecolor(_GRID_LINE)
