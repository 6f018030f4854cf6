"""The table of a comparison: a row per perturbation with the boxes of both versions, and what they differ by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from nnperm_mlflow.analysis.statistics.order import conditionals, plain, set_values
from nnperm_mlflow.analysis.uncertainty.interval_columns import interval_ends
from nnperm_mlflow.report.axis_end import axis_end
from nnperm_mlflow.report.compared_numbers import SIDES, numbers_of
from nnperm_mlflow.report.page.boxes import MOST_APART, MOST_ROWS, WAYS, close_end, drawing_of, place_at, scales
from nnperm_mlflow.report.page.compared_audits import ComparedAudits
from nnperm_mlflow.report.page.numbers import interval, number


@dataclass(frozen=True)
class ComparedRow:
    """A perturbation of two versions.

    Attributes
    ----------
    name, label, way, way_words : str
    places : str
        Among the shuffles, before and now.
    drawings : list of mapping of str to str
        Of either version the parts of its box, in units of `boxes.WIDTH`; empty where it has none.
    cells : list of (str, str)
        What it came to in either version, and the difference, each with its interval.
    note : str
    is_changed : bool
        Whether 0 lies outside the interval of the difference.
    mean : float
        The larger of the two means, in units of `boxes.WIDTH`.
    words : str
        All that in a sentence.
    """

    name: str
    label: str
    way: str
    way_words: str
    places: str
    drawings: list[Mapping[str, str]]
    cells: list[tuple[str, str]]
    note: str
    is_changed: bool
    mean: float
    words: str = ""


@dataclass(frozen=True)
class ComparedBoxes:
    """All rows on one axis, those that answer different questions apart.

    Attributes
    ----------
    end, close_end : float
        Where the axis ends, and that of the close-up.
    ends : list of float
        Where that of the close-up may end.
    parts : list of (str, list of ComparedRow, int)
        What a part is called, its rows, and how many there are with those that are not shown.
    ways : dict of str to str
        That occur, and how they are called.
    """

    end: float
    close_end: float
    ends: list[float]
    parts: list[tuple[str, list[ComparedRow], int]]
    ways: dict[str, str]


_PARTS = {
    "Values exchanged among the rows": (plain, MOST_ROWS),
    "Exchanged among rows that are alike in what the feature goes with": (conditionals, MOST_APART),
    "If everybody had one value": (set_values, MOST_APART),
}


def compared_boxes_of(compared: ComparedAudits) -> ComparedBoxes:
    """Return what the table of a comparison shows, what differs most first."""
    numbers = numbers_of(compared.table, compared.comparison.statistic)
    parts = {title: (choose(numbers), most) for title, (choose, most) in _PARTS.items()}
    shown = {title: rows.head(most) for title, (rows, most) in parts.items()}
    summaries = [audit.summary.set_index("perturbation") for audit in compared.audits]
    names = set(pd.concat([*shown.values()])["perturbation"])
    largest = pd.Series([each.loc[each.index.isin(names), "max"].max() for each in summaries], dtype=float).max()
    end = axis_end(float(largest), compared.unit)
    close = close_end(pd.concat([plain(audit.summary) for audit in compared.audits]), end)
    tell = _Teller(
        compared,
        sides=[_sides(audit.summary, end) for audit in compared.audits],
        places=compared.table.set_index("perturbation")[["rank_a", "rank_b"]],
        labels=compared.labels.of_perturbations(compared.table),
    )
    ways = dict.fromkeys(numbers["way"].astype(str))
    return ComparedBoxes(
        end=end,
        close_end=close,
        ends=scales(end, close),
        parts=[
            (title, [tell.row(row) for row in rows.to_dict("records")], len(parts[title][0]))
            for title, rows in shown.items()
            if len(rows)
        ],
        ways={way: WAYS.get(way, way) for way in ways},
    )


def _sides(summary: pd.DataFrame, end: float) -> dict[str, tuple[Mapping[str, str], float]]:
    """Return for each perturbation of one version its box, and where its mean lies."""
    lows, highs = interval_ends(summary, "mean")
    return {
        str(row["perturbation"]): (drawing_of(row, float(low), float(high), end), place_at(float(row["mean"]), end))
        for row, low, high in zip(summary.to_dict("records"), lows, highs, strict=True)
        if float(row["changed_share"]) != 0
    }


@dataclass(frozen=True)
class _Teller:
    """What is known of all rows, from which each is told."""

    compared: ComparedAudits
    sides: list[dict[str, tuple[Mapping[str, str], float]]]
    places: pd.DataFrame
    labels: Mapping[str, str]

    def row(self, row: Mapping[Any, Any]) -> ComparedRow:
        """Return what is shown of a perturbation."""
        name, way = str(row["perturbation"]), str(row["way"])
        keys = [*SIDES, "difference"]
        cells = [
            (number(float(row[key])), interval(float(row[f"{key}_low"]), float(row[f"{key}_high"]))) for key in keys
        ]
        boxes = [side.get(name, ({}, 0.0)) for side in self.sides]
        ranks = ["" if pd.isna(rank) else str(rank) for rank in self.places.loc[name]]
        alone = row["only_in"]
        found = ComparedRow(
            name=name,
            label=self.labels.get(name, ""),
            way=way,
            way_words=WAYS.get(way, way),
            places=" → ".join(ranks) if all(ranks) else "",
            drawings=[drawing for drawing, _ in boxes],
            cells=cells,
            note="" if alone == "" else f"only in {self.compared.names[SIDES.index(alone)]}",
            is_changed=row["difference_low"] > 0 or row["difference_high"] < 0,
            mean=max(mean for _, mean in boxes),
        )
        return replace(found, words=self._words(found))

    def _words(self, row: ComparedRow) -> str:
        titles = [*(f"in {name}" for name in self.compared.names), "difference"]
        told = [
            f"{title} {cell}{f' ({ends})' if ends else ''}"
            for title, (cell, ends) in zip(titles, row.cells, strict=True)
            if cell
        ]
        called = f"{row.name} ({row.label})" if row.label else row.name
        behind = f", {row.note}" if row.note else ""
        return f"{called}, {row.way_words}{behind}: {self.compared.comparison.statistic} deviation {', '.join(told)}."
