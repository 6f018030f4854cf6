"""The clustered map of associations: which features go together, and how closely."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnperm_mlflow.report._picture_text import (
    LONGEST_LINE,
    MUTED,
    SUBTITLE_POINTS,
    TITLE_POINTS,
    fit,
    inches_of,
    letter_colour,
    shorten,
)
from nnperm_mlflow.report.clustered_associations import ClusteredAssociations, cluster_associations

MOST_FEATURES = 30
"""Features that are shown, those of the strongest pairs; of more the title tells how many there are."""

_MOST_NUMBERED = 14  # features up to which each cell has its number
_COLOURS = "RdBu"  # blue as in the other pictures; red where one falls as the other rises
_NOT_TOLD, _GRID_LINE = "#f3f5f6", "#d9dee2"
_NAME_POINTS, _NUMBER_POINTS, _LONGEST_NAME = 10, 9, 40
_CELL_INCHES, _SMALL_CELL_INCHES, _LEAST_CELLS_INCHES = 0.5, 0.26, 1.6
_TREE_INCHES, _HEAD_INCHES, _EDGE_INCHES, _GAP_INCHES, _BAR_INCHES = 0.9, 0.95, 0.3, 0.12, 0.18
_LEAST_WIDTH_INCHES, _BAR_LABEL_INCHES, _BAR_LENGTH_INCHES = 7.2, 0.75, 1.4


def associations_figure(pairs: pd.DataFrame, subtitle: str) -> Figure:
    """Draw a cell for each pair that was pointed out, features that go together beside each other, and their tree.

    Cells and colour bar are seaborn's. Its `clustermap` would draw the tree, too, but through pyplot, which holds on
    to the picture, and opens a window or needs the main thread where the caller's backend does.

    Parameters
    ----------
    pairs : DataFrame
        `first`, `second` and `value` (from -1 to 1), strongest first; at least one. Not modified.
    subtitle : str
        What was audited, on how many rows.

    Returns
    -------
    matplotlib Figure
        Of at most `MOST_FEATURES` features; a pair that was not pointed out is left blank. Save it with `savefig`.

    References
    ----------
    M. L. Waskom, "seaborn: statistical data visualization", Journal of Open Source Software 6 (60), 2021.
    """
    import seaborn  # noqa: PLC0415 - audits in which nothing goes together do without it

    found = cluster_associations(pairs, MOST_FEATURES)
    cells = found.cells.to_numpy(float)
    names = [shorten(str(name), _LONGEST_NAME) for name in found.cells]
    size = _Size(names)
    figure = Figure(figsize=(size.width, size.height))
    tree, heat, bar = (figure.add_axes(place) for place in (size.of_tree, size.of_cells, size.of_bar))
    seaborn.heatmap(
        cells, ax=heat, cbar_ax=bar, cmap=_COLOURS, vmin=-1, vmax=1, linewidths=0.6, linecolor=_GRID_LINE,
        xticklabels=False, yticklabels=False,
    )  # fmt: skip
    _draw_tree(tree, found)
    _label(heat, names)
    _explain(bar, has_negative=bool(np.nanmin(cells) < 0))
    if len(names) <= _MOST_NUMBERED:
        _write_numbers(heat, cells)
    _write_head(figure, subtitle, len(names), found.n_features)
    return figure


class _Size:
    """Inches of the parts of the picture: head, tree, cells, names, and the bar of colours."""

    def __init__(self, names: list[str]) -> None:
        cell = _CELL_INCHES if len(names) <= _MOST_NUMBERED else _SMALL_CELL_INCHES
        self.cells = max(_LEAST_CELLS_INCHES, len(names) * cell)
        self.names = max(inches_of(name, _NAME_POINTS) for name in names) + 2 * _GAP_INCHES
        needed = _EDGE_INCHES + _TREE_INCHES + self.cells + self.names + _BAR_INCHES + _BAR_LABEL_INCHES
        self.width = max(_LEAST_WIDTH_INCHES, needed)
        self.height = _HEAD_INCHES + self.cells + self.names + _EDGE_INCHES
        self.bottom = _EDGE_INCHES + self.names

    @property
    def of_cells(self) -> tuple[float, float, float, float]:
        """Where the cells lie: left, bottom, width and height in parts of the figure."""
        return self._parts(_EDGE_INCHES + _TREE_INCHES, self.bottom, self.cells, self.cells)

    @property
    def of_tree(self) -> tuple[float, float, float, float]:
        """Where the tree lies."""
        return self._parts(_EDGE_INCHES, self.bottom, _TREE_INCHES, self.cells)

    @property
    def of_bar(self) -> tuple[float, float, float, float]:
        """Where the bar of colours lies, behind the names."""
        left, length = _EDGE_INCHES + _TREE_INCHES + self.cells + self.names, min(_BAR_LENGTH_INCHES, self.cells)
        return self._parts(left, self.bottom + self.cells - length, _BAR_INCHES, length)

    def _parts(self, left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
        return left / self.width, bottom / self.height, width / self.width, height / self.height


def _draw_tree(axes: Axes, found: ClusteredAssociations) -> None:
    for heights, places in found.joints:
        axes.plot(heights, places, color=MUTED, linewidth=1.1)
    axes.set(xlim=(1.02, 0), ylim=(len(found.cells), 0))
    axes.axis("off")


def _label(heat: Axes, names: list[str]) -> None:
    heat.set_facecolor(_NOT_TOLD)
    literal: dict[str, Any] = {"fontsize": _NAME_POINTS, "parse_math": False}
    places = np.arange(len(names)) + 0.5
    heat.set_xticks(places, names, rotation=90, **literal)
    heat.set_yticks(places, names, rotation=0, **literal)
    heat.yaxis.tick_right()
    heat.tick_params(length=0)


def _explain(bar: Axes, *, has_negative: bool) -> None:
    """Say what the colours mean; the half for what falls while the other rises is shown where there is such."""
    bar.set_ylim(-1 if has_negative else 0, 1)
    bar.set_yticks([-1, 0, 1] if has_negative else [0, 0.5, 1])
    bar.set_ylabel("association", fontsize=_NAME_POINTS)
    bar.tick_params(labelsize=_NUMBER_POINTS, length=2)


def _write_numbers(heat: Axes, cells: np.ndarray) -> None:
    (mesh,) = heat.collections
    centred: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": _NUMBER_POINTS}
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            colour = letter_colour(np.asarray(mesh.to_rgba(value)))
            heat.text(column + 0.5, row + 0.5, f"{value:.2f}".replace("-", "\N{MINUS SIGN}"), color=colour, **centred)


def _write_head(figure: Figure, subtitle: str, n_shown: int, n_features: int) -> None:
    width, height = figure.get_size_inches()
    left, inches = _EDGE_INCHES / width, width - 2 * _EDGE_INCHES
    more = f" (the {n_shown} of the strongest pairs, of {n_features:,})" if n_shown < n_features else ""
    title = fit(f"Features that go together{more}", inches, TITLE_POINTS, "bold", LONGEST_LINE)
    line = fit(subtitle, inches, SUBTITLE_POINTS, longest=LONGEST_LINE)
    figure.text(left, 1 - 0.3 / height, title, fontsize=TITLE_POINTS, fontweight="bold", va="center")
    figure.text(
        left, 1 - 0.6 / height, line, fontsize=SUBTITLE_POINTS, color=MUTED, va="center", parse_math=False
    )  # fmt: skip
