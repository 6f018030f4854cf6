"""Parts of the rows: how far each feature moves predictions in each segment, and where two segments lie apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from nnperm_mlflow.analysis.segments.segment_tables import LargestDifference, SegmentTables
from nnperm_mlflow.analysis.statistics.order import plain
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.report.axis_end import round_end
from nnperm_mlflow.report.page.boxes import WIDTH
from nnperm_mlflow.report.page.numbers import count, interval, number

_MEAN = ("mean", "mean_low", "mean_high")

MOST_FEATURES, MOST_SEGMENTS, MOST_COLUMNS = 6, 25, 20
"""That are shown of each: features that lead, the largest segments of a column, columns."""


@dataclass(frozen=True)
class Segment:
    """A segment: its name, its rows, whether these are too few, and for each feature and score a cell.

    A cell is the number, its interval, and the paths of the interval and of the point.
    """

    name: str
    rows: str
    is_small: bool
    cells: list[tuple[str, str, str, str]]


@dataclass(frozen=True)
class Parts:
    """The segments of one column.

    Attributes
    ----------
    column : str
    features : list of str
        What stands above the cells: features, and scores behind them.
    segments : list of Segment
    n_left_out : int
    differences : list of (str, bool)
        The largest differences in a sentence, and whether they are sure.
    """

    column: str
    features: list[str]
    segments: list[Segment]
    n_left_out: int
    differences: list[tuple[str, bool]]


def parts_of(tables: SegmentTables, summary: pd.DataFrame, names: Mapping[str, str]) -> list[Parts]:
    """Return what is told of the segments of each column.

    Parameters
    ----------
    tables : SegmentTables
    summary : DataFrame
        Ordered; of its leading features the segments are told. Not modified.
    names : mapping of str to str
        What segments are called, see `segment_names.names_shown`.
    """
    segments = tables.segments
    there = set(segments["perturbation"])
    features = [str(name) for name in plain(summary)["perturbation"] if name in there][:MOST_FEATURES]
    of_features = segments.groupby("perturbation")[["mean", "mean_high"]].max().max(axis=1)
    ends = {feature: round_end(float(of_features[feature])) for feature in features}
    columns = list(dict.fromkeys(segments["column"].astype(str)))[:MOST_COLUMNS]
    return [_parts(tables, column, ends, names) for column in columns]


def _parts(tables: SegmentTables, column: str, ends: Mapping[str, float], names: Mapping[str, str]) -> Parts:
    own = tables.segments[tables.segments["column"] == column]
    sizes = own.drop_duplicates("segment").set_index("segment")["rows"]
    kept = set(sizes.nlargest(MOST_SEGMENTS).index)
    scores = _scores_of(tables, column)
    by_name = {(row["segment"], row["perturbation"]): row for row in own.to_dict("records")}
    segments = [
        Segment(
            name=names.get(str(segment), str(segment)),
            rows=count(float(sizes[segment])),
            is_small=_is_small(own, segment),
            cells=[
                *(_cell(by_name.get((segment, feature), {}), _MEAN, end) for feature, end in ends.items()),
                *(_cell(found.get(segment, {}), ("value", "low", "high"), None) for found in scores.values()),
            ],
        )
        for segment in sizes.index
        if segment in kept
    ]  # fmt: skip
    differences = [
        (_difference(each, names), each.is_sure) for each in tables.largest_differences if each.column == column
    ]
    n_left_out = len(sizes) - len(segments)
    return Parts(column, [*ends, *scores], segments, n_left_out, differences)


def _scores_of(tables: SegmentTables, column: str) -> dict[str, dict[str, dict[str, float]]]:
    if tables.scores is None:
        return {}
    own = tables.scores.scores[tables.scores.scores["column"] == column]
    return {
        str(name): {str(row["segment"]): row for row in part.to_dict("records")}  # type: ignore[misc]
        for name, part in own.groupby("score", sort=False)
    }


def _is_small(own: pd.DataFrame, segment: str) -> bool:
    return bool(own.loc[own["segment"] == segment, "units"].max() < FEWEST_ROWS)


def _cell(row: Mapping[str, float], keys: tuple[str, str, str], end: float | None) -> tuple[str, str, str, str]:
    value, low, high = (float(row.get(key, math.nan)) for key in keys)
    if end is None or math.isnan(value):
        return number(value), interval(low, high), "", ""
    at = [f"{max(0.0, each) / end * WIDTH:.4g}" for each in (value, low, high)]
    bar = "" if math.isnan(low) or math.isnan(high) else f"M{at[1]} 8H{at[2]}"
    return number(value), interval(low, high), bar, f"M{at[0]} 8h0"


def _difference(each: LargestDifference, names: Mapping[str, str]) -> str:
    more, less = names.get(each.more, each.more), names.get(each.less, each.less)
    of = "the score" if each.of_score else "the mean deviation under"
    sure = "" if each.is_sure else "; this may be chance"
    return (
        f"Farthest apart in {of} {each.what}: {more} lies {number(each.value)} above {less} "
        f"({interval(each.low, each.high)}){sure}."
    )
