"""The boxplot of deviations: a box per perturbation, shuffles with the leading one on top, and set values below."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from nnperm_mlflow.analysis.statistics.order import (
    FAR,
    FEW_HELD,
    MEAN,
    TOP,
    conditionals,
    in_words,
    ordered,
    out_of_data,
    plain,
    set_values,
)
from nnperm_mlflow.analysis.statistics.summary_columns import OUT_OF_DATA
from nnperm_mlflow.report._picture_text import LONGEST_LINE, MUTED, TITLE_POINTS, fit, inches_of, shorten
from nnperm_mlflow.report.axis_end import axis_end

MOST, MOST_SET = 60, 20
"""Perturbations that are shown, those that lead, and how many set values among them where there are more of all; of
others it is said how many are left."""

_COLOURS = {"shuffle": "#7aa6c2", "conditional": "#6fae8e", "set": "#e0a458", "order": "#a596c8"}
_WAYS = {
    "shuffle": "shuffled", "conditional": "shuffled among alike rows",
    "set": "all rows set to the value (rows that held it)", "order": "steps reordered",
}  # fmt: skip
_ALIKE, _EVERYBODY = "AMONG ROWS THAT ARE ALIKE IN WHAT THE FEATURE GOES WITH", "IF EVERYBODY HAD ONE VALUE"
_PALE, _PALE_EDGE, _PALE_WORDS = "#f6e6d0", "#b9ada0", f"held by fewer than {FEW_HELD} rows"
_FAR_MARK, _FAR_WORDS = "*", "* disturbed rows are unlike the data"
_UNTESTED = "not tested: no row's value changed"
_WHISKER, _EDGE, _GROUND = "#5b6770", "#37474f", "#eef3f6"
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
_LEGEND_COLUMNS = 5


class _Part(NamedTuple):
    """Boxes below each other."""

    rows: pd.DataFrame
    heading: str  # "" for none; it stands in the line above the first box
    first: int  # line of the first box, from the top
    n_left: int  # boxes that are not shown

    @property
    def end(self) -> int:
        """Line behind the last box, and behind the one that counts those not shown."""
        return self.first + len(self.rows) + bool(self.n_left)

    @property
    def places(self) -> range:
        """Lines of the boxes."""
        return range(self.first, self.first + len(self.rows))


def boxplot_figure(summary: pd.DataFrame, subtitle: str, unit: str, order_by: str = MEAN) -> Figure:
    """Draw the boxplot on a figure of its own, high enough for every label that is shown.

    Parameters
    ----------
    summary : DataFrame
        As `analysis.statistics.summary.summarize` returns it.
    subtitle : str
        What was audited, on how many rows.
    unit : str
        Unit of the prediction.
    order_by : str
        The statistic that leads.

    Returns
    -------
    matplotlib Figure
        Of 10 inches (more for long names) by 0.3 inches a perturbation, at most `MOST` of them; save it with `savefig`.
    """
    parts = _parts_of(summary, order_by)
    longest = min(_LONGEST_NAME, max(len(name) for part in parts for name in part.rows["perturbation"]))
    width = _WIDTH_INCHES + _LETTER_INCHES * max(0, longest - _FREE_LETTERS)
    figure = Figure(figsize=(width, _MARGIN_INCHES + _ROW_INCHES * parts[-1].end), layout="constrained")
    draw_boxplot(figure.subplots(), summary, subtitle, unit, order_by)
    return figure


def _parts_of(summary: pd.DataFrame, order_by: str) -> list[_Part]:
    """Return the rows to show: what was moved, and below lines for headings conditional shuffles, and set values."""
    in_order = ordered(summary, order_by)
    of_parts = {"": plain(in_order), _ALIKE: conditionals(in_order), _EVERYBODY: set_values(in_order)}
    least = {heading: min(len(rows), MOST_SET if heading else MOST) for heading, rows in of_parts.items()}
    parts, line, room = list[_Part](), 0, MOST
    for heading, rows in of_parts.items():
        del least[heading]  # what is left are the parts below
        n_shown = max(0, min(len(rows), room - sum(least.values())))
        if n_shown:
            parts.append(_Part(rows.head(n_shown), heading, line + bool(heading), len(rows) - n_shown))
            line, room = parts[-1].end, room - n_shown
    return parts


def draw_boxplot(axes: Axes, summary: pd.DataFrame, subtitle: str, unit: str, order_by: str = MEAN) -> Axes:
    """Draw one box per perturbation that was tested, those that lead.

    Parameters
    ----------
    axes : matplotlib Axes
        To draw on.
    summary : DataFrame
        One row per perturbation. Not modified.
    subtitle, unit, order_by : str

    Returns
    -------
    matplotlib Axes
        Boxes from the lower to the upper quartile with a line at the median, whiskers from 5 % to 95 %, a diamond at
        the mean and a point at the largest deviation. Set values stand below a heading of their own, pale where few
        rows held them. Where no row's value changed it is said so in the place of a box, since a box at 0 would look
        like no effect. Below the last box of a part it is said how many are not shown.
    """
    parts = _parts_of(summary, order_by)
    shown = pd.concat([part.rows for part in parts]).assign(place=[line for part in parts for line in part.places])
    untested = shown["changed_share"] == 0 if "changed_share" in shown else pd.Series(data=False, index=shown.index)
    _draw_boxes(axes, shown[~untested])
    for line in shown.loc[untested, "place"]:
        _write_line(axes, line, _UNTESTED, style="italic")
    _label(axes, shown, untested, unit)
    _head(axes, _subtitle(subtitle, order_by), f"axis: 0 to {_axis_end(shown, unit):g}", _lift(parts))
    for part in parts:
        if part.n_left:
            words = f"and {part.n_left:,} more, none with a larger {in_words(order_by)} (summary.csv)"
            _write_line(axes, part.places.stop, words)
    for part in parts:
        if part.heading:
            _head_part(axes, part.first - 1, part.heading)
    axes.set_ylim(parts[-1].end - 0.4, -0.6)
    if len(parts[0].rows) > TOP:
        _mark_top(axes)
    _explain(axes, shown)
    return axes


def _draw_boxes(axes: Axes, shown: pd.DataFrame) -> None:
    boxes = axes.bxp(
        [_box(row) for row in shown.to_dict("records")],
        positions=shown["place"].to_list(),
        manage_ticks=False,
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
    for box, way, is_pale in zip(boxes["boxes"], shown["way"], _are_pale(shown), strict=True):
        box.set(facecolor=_PALE if is_pale else _COLOURS[way], edgecolor=_PALE_EDGE if is_pale else _EDGE)


def _are_pale(shown: pd.DataFrame) -> pd.Series:
    """Tell of which set values few rows know what they do."""
    return shown.get("held", pd.Series(np.nan, index=shown.index)) < FEW_HELD


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
    """Return a perturbation's name, behind a set value how many rows held it, and a mark where rows cannot occur."""
    name, held = shorten(str(row["perturbation"]), _LONGEST_NAME), row.get("held", math.nan)
    if row.get(OUT_OF_DATA, math.nan) > FAR:
        return f"{name} {_FAR_MARK}"
    return name if math.isnan(held) else f"{name} ({held:,.0f})"


def _label(axes: Axes, shown: pd.DataFrame, untested: pd.Series, unit: str) -> None:
    axes.set_yticks(shown["place"].to_list(), [_label_of(row) for row in shown.to_dict("records")])
    axes.set_xlabel(_deviation_in(unit), fontsize=_AXIS_POINTS, fontweight="bold", parse_math=False)
    axes.set_ylabel("Perturbed feature", fontsize=_AXIS_POINTS, fontweight="bold")
    axes.tick_params(labelsize=_AXIS_POINTS)
    for label, is_muted in zip(axes.get_yticklabels(), untested | _are_pale(shown), strict=True):
        label.set(parse_math=False, color=MUTED if is_muted else "black")  # a dollar in a feature's name is a dollar
    axes.set_xlim(0, 1.02 * _axis_end(shown, unit))
    axes.grid(axis="x", color="#d9dee2", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _subtitle(subtitle: str, order_by: str) -> str:
    """Return what was audited, in what room its line has, and what leads."""
    leads = f", by {in_words(order_by)}"
    room = _BOXES_INCHES - inches_of(leads, _HEAD_POINTS)
    return f"{fit(subtitle, room, _HEAD_POINTS, longest=LONGEST_LINE)}{leads}"


def _lift(parts: list[_Part]) -> int:
    """Return how many points the upper scale of a long plot takes."""
    return _TICKS_ABOVE if len(parts[0].rows) > TOP else 0


def _head(axes: Axes, subtitle: str, scale: str, lift: int) -> None:
    """Say above the boxes what they show, of what, and on which scale: pictures are looked at side by side."""
    title = "Impact of a random shuffle in a column on the prediction"
    axes.set_title(title, fontsize=TITLE_POINTS, fontweight="bold", loc="left", pad=26 + lift)
    above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "color": _EDGE}
    axes.annotate(subtitle, (0, 1), xytext=(0, 8 + lift), fontsize=_HEAD_POINTS, parse_math=False, **above)
    axes.annotate(scale, (1, 1), xytext=(0, 27 + lift), fontsize=_HEAD_POINTS, ha="right", **above)


def _deviation_in(unit: str) -> str:
    """Return the quantity and its unit, on two lines where one would be too long."""
    quantity = "Difference between original and perturbed prediction"
    unit = fit(unit, _BOXES_INCHES, _AXIS_POINTS, "bold", longest=LONGEST_LINE)
    line = f"{quantity} ({unit})"
    return line if inches_of(line, _AXIS_POINTS, "bold") <= _BOXES_INCHES else f"{quantity}\n({unit})"


def _mark_top(axes: Axes) -> None:
    """Set the first boxes off from the others, named beside them, and repeat the scale above them."""
    axes.axhspan(-0.6, TOP - 0.5, color=_GROUND, zorder=0)
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


def _head_part(axes: Axes, line: int, heading: str) -> None:
    """Set off what answers another question than what was shuffled: the two are not to be ranked together."""
    axes.axhline(line - 0.5, color=_EDGE, linewidth=0.8)
    _write_line(axes, line, heading, fontsize=10, fontweight="bold")


def _write_line(axes: Axes, line: int, words: str, **style: Any) -> None:  # noqa: ANN401 - of matplotlib's texts
    """Write in a line of its own, or in the place of a box."""
    axes.annotate(
        words,
        (0, line),
        xycoords=axes.get_yaxis_transform(),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        **{"fontsize": _AXIS_POINTS, "color": _EDGE, **style},
    )


def _explain(axes: Axes, shown: pd.DataFrame) -> None:
    ways = set(shown["way"])
    pale = [Patch(facecolor=_PALE, edgecolor=_PALE_EDGE, label=_PALE_WORDS)] if _are_pale(shown).any() else []
    handles = [
        *[Patch(facecolor=_COLOURS[way], edgecolor=_EDGE, label=_WAYS[way]) for way in _COLOURS if way in ways],
        *pale,
        *([Line2D([], [], linestyle="none", label=_FAR_WORDS)] if len(out_of_data(shown)) else []),
        Line2D([], [], linestyle="none", label="mean", **_MEAN_MARK),
        Line2D([], [], linestyle="none", label="largest", **_LARGEST_MARK),
        Line2D([], [], color=_WHISKER, label="whiskers: 5 % to 95 %"),
    ]
    figure = axes.get_figure(root=True)
    if figure is not None:
        columns = len(handles) if len(handles) <= _LEGEND_COLUMNS else math.ceil(len(handles) / 2)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=9, frameon=False)


def _axis_end(shown: pd.DataFrame, unit: str) -> float:
    return axis_end(float(shown["max"].max()), unit)
