"""The matrix of interactions: how far two features move a prediction together, beyond what each moves it alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from nnperm_mlflow.report._picture_text import (
    LONGEST_LINE,
    MUTED,
    SUBTITLE_POINTS,
    TITLE_POINTS,
    fit,
    inches_of,
    letter_colour,
    shorten,
    three_digits,
)

MOST_FEATURES = 24
"""Features that are shown, those of the largest pairs; of more the title tells how many pairs there are."""

_COLOURS = colormaps["Blues"]
_NOT_MEASURED: dict[str, Any] = {"facecolor": "#eef0f1", "edgecolor": "#d3d8dc", "hatch": "////", "linewidth": 0}
_GRID_LINE = "#d9dee2"
_NAME_POINTS, _NUMBER_POINTS, _LONGEST_NAME = 10, 9, 26
_CELL_INCHES, _HEAD_INCHES, _SIDE_INCHES, _LEAST_WIDTH_INCHES, _GAP_INCHES = 0.52, 1.15, 0.4, 8.0, 0.15
_BAR_INCHES, _UNIT_INCHES = 0.9, 3.0


def interactions_figure(pairs: pd.DataFrame, subtitle: str, unit: str) -> Figure:
    """Draw a cell for each pair that was followed, the feature of the largest pairs first.

    Parameters
    ----------
    pairs : DataFrame
        See `analysis.interactions.interactions.find_interactions`: `first`, `second`, `mean`, `interacts`,
        `scale`, the largest first. Not modified.
    subtitle : str
        What was audited, on how many rows.
    unit : str
        Unit of the prediction.

    Returns
    -------
    matplotlib Figure
        Below the diagonal; what is no more than rounding is 0, and a pair that was not followed is hatched. Save it
        with `savefig`.
    """
    names = _leading(pairs)
    cells = _cells(pairs, names)
    labels = [shorten(name, _LONGEST_NAME) for name in names]
    beside = max(inches_of(label, _NAME_POINTS) for label in labels)
    square = _CELL_INCHES * (len(names) - 1)
    size = (max(_LEAST_WIDTH_INCHES, square + beside + _SIDE_INCHES), _HEAD_INCHES + square + beside + _BAR_INCHES)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, rect=(0, 0, 1, 1 - _HEAD_INCHES / size[1]))
    figure = Figure(figsize=size, layout=layout)
    axes = figure.subplots()
    mesh = _draw(axes, cells, labels)
    _write_head(figure, pairs, names, subtitle, np.isnan(cells[np.tril_indices(len(cells))]).any())
    bar = figure.colorbar(
        mesh,
        ax=axes,
        orientation="horizontal",
        shrink=0.6,
        aspect=30,
        anchor=(0, 1),
        panchor=False,
        ticks=MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]),
        format=FuncFormatter(lambda number, _: three_digits(number)),
    )
    is_logit = (pairs["scale"] == "logit").all()
    unit = "log-odds" if is_logit else fit(unit, _UNIT_INCHES, _NAME_POINTS)
    bar.set_label(f"mean size ({unit})", loc="left", fontsize=_NAME_POINTS, parse_math=False)
    bar.ax.tick_params(labelsize=_NUMBER_POINTS)
    bar.outline.set_edgecolor(_GRID_LINE)
    return figure


def _leading(pairs: pd.DataFrame) -> list[str]:
    """Return the names of the features of the largest pairs, in the order in which they come there."""
    names = [str(name) for pair in pairs[["first", "second"]].values.tolist() for name in pair]
    return list(dict.fromkeys(names))[:MOST_FEATURES]


def _cells(pairs: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Return the means, rows from the second feature on, of shape (n_features - 1, n_features - 1); NaN for none."""
    place = {name: number for number, name in enumerate(names)}
    cells = np.full((len(names), len(names)), np.nan)
    for first, second, mean, surely in pairs[["first", "second", "mean", "interacts"]].itertuples(index=False):
        if first in place and second in place:
            low, high = sorted((place[first], place[second]))
            cells[high, low] = mean if surely else 0.0
    return cells[1:, :-1]


def _draw(axes: Axes, cells: np.ndarray, labels: list[str]) -> QuadMesh:
    n_cells, largest = len(cells), np.nanmax(cells, initial=0)
    under = np.tril(np.ones_like(cells, dtype=bool))
    for row, column in zip(*np.nonzero(under & np.isnan(cells)), strict=True):
        axes.fill_between([column, column + 1], row, row + 1, **_NOT_MEASURED)
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(cells),
        cmap=_COLOURS,
        vmin=0,
        vmax=largest if largest > 0 else 1,
    )
    for row, column in zip(*np.nonzero(under), strict=True):
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor="none", edgecolor=_GRID_LINE, linewidth=0.8))
    centred: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": _NUMBER_POINTS}
    for (row, column), cell in np.ndenumerate(cells):
        if np.isfinite(cell):
            colour = letter_colour(np.asarray(mesh.to_rgba(cell)))
            axes.text(column + 0.5, row + 0.5, _short(cell), color=colour, **centred)
    literal: dict[str, Any] = {"fontsize": _NAME_POINTS, "parse_math": False}
    axes.set_xticks(np.arange(n_cells) + 0.5, labels[:-1], rotation=90, **literal)
    axes.set_yticks(np.arange(n_cells) + 0.5, labels[1:], **literal)
    axes.set_ylim(n_cells, 0)
    axes.set_xlim(0, n_cells)
    axes.set_aspect("equal", anchor="NW")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return mesh


def _short(number: float) -> str:
    """Return a number with two digits, which is what a cell has room for."""
    if number == 0 or 1e-3 <= number < 1e4:
        return np.format_float_positional(number, precision=2, unique=False, fractional=False, trim="-")
    return f"{number:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _write_head(figure: Figure, pairs: pd.DataFrame, names: list[str], subtitle: str, has_gaps: bool) -> None:
    width, height = figure.get_size_inches()
    left, inches = _GAP_INCHES / width, width - 2 * _GAP_INCHES
    shown = set(names)
    n_shown = int((pairs["first"].isin(shown) & pairs["second"].isin(shown)).sum())
    more = "" if n_shown == len(pairs) else f" ({n_shown} of {len(pairs)} pairs)"
    title = fit(f"What two features do beyond each alone{more}", inches, TITLE_POINTS, "bold", longest=LONGEST_LINE)
    figure.text(left, 1 - 0.15 / height, title, fontsize=TITLE_POINTS, fontweight="bold", va="top")
    line = fit(subtitle, inches, SUBTITLE_POINTS, longest=LONGEST_LINE)
    figure.text(left, 1 - 0.48 / height, line, fontsize=SUBTITLE_POINTS, color=MUTED, va="top", parse_math=False)
    if has_gaps:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (left, 1 - 0.78 / height)}
        bare: dict[str, Any] = {"frameon": False, "borderaxespad": 0, "borderpad": 0, "fontsize": _NUMBER_POINTS}
        figure.legend(handles=[Patch(label="not followed", **_NOT_MEASURED)], **place, **bare)
