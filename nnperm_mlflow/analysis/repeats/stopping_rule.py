"""When enough repeats have been made: which intervals matter, and which of them are too wide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables, meant
from nnperm_mlflow.analysis.statistics.order import DROP, TOP, moved, shuffles
from nnperm_mlflow.analysis.uncertainty.interval_columns import interval_ends

MOST_REPEATS = 50
"""Repeats beyond which none are made by themselves."""

DIFFERENCE = "difference"
"""Stands for the differences between the means of segments where a number of these is watched."""


class Number(NamedTuple):
    """A number that a check rests on, or several of segments.

    Attributes
    ----------
    perturbation : str
        Its name.
    statistic : str
        A column of the summary, or of the table of segments; or `DIFFERENCE`.
    segment : str
        Which segments are meant, see `segment_tables.meant`; "" where the number is of all rows.
    """

    perturbation: str
    statistic: str
    segment: str = ""


Watched = frozenset[Number]
"""What checks rest on."""


@dataclass(frozen=True)
class Precision:
    """When enough repeats have been made.

    Attributes
    ----------
    width : float
        How wide the intervals that matter may be, each in the unit of its statistic.
    most : int
        Most repeats.
    watched : frozenset of Number
        What matters beside the statistic that leads, see `Watched`.
    """

    width: float
    most: int
    watched: Watched = frozenset()

    def rests_on_scores(self, order_by: str) -> bool:
        """Tell whether drops in score matter, which are then computed after each pass."""
        return any(statistic.endswith(DROP) for statistic in (order_by, *(each.statistic for each in self.watched)))

    @property
    def rests_on_segments(self) -> bool:
        """Whether numbers of segments matter, which are then told after each pass."""
        return any(each.segment for each in self.watched)


def widths_that_matter(
    summary: pd.DataFrame, order_by: str, watched: Iterable[Number] = (), segments: SegmentTables | None = None
) -> pd.DataFrame:
    """Return how wide each interval is that matters.

    Parameters
    ----------
    summary : DataFrame
        Ordered. Not modified.
    order_by : str
        The statistic that leads; it matters of the first `TOP` shuffles.
    watched : iterable of Number
    segments : SegmentTables, optional
        What is told of segments, where numbers of these are watched. Not modified.

    Returns
    -------
    DataFrame
        A row for each with the columns `perturbation` (of segments with these: `PAY in SEX=2`, `PAY between SEX=1 and
        SEX=2`), `statistic`, `width` and `at_random`, which is False for a set
        value: it is the same in all repeats, so that only more rows narrow its interval. What has no interval has no
        row.
    """
    leading = [(str(name), order_by) for name in shuffles(summary)["perturbation"].head(TOP)]
    of_rows = [(each.perturbation, each.statistic) for each in watched if not each.segment]
    asked = pd.DataFrame(sorted({*leading, *of_rows}), columns=["perturbation", "statistic"])
    at_random = moved(summary)
    parts = []
    for statistic, of_one in asked.groupby("statistic", sort=False):
        if not {statistic, f"{statistic}_low"} & set(summary):  # p-values are told when all repeats are made
            continue
        low, high = interval_ends(summary, str(statistic))
        found = pd.DataFrame({"perturbation": summary["perturbation"], "width": high - low})
        found["at_random"] = summary.index.isin(at_random.index)
        parts.append(of_one.merge(found, on="perturbation"))
    if segments is not None:
        parts += _of_segments(segments, watched, at_random["perturbation"])
    columns = ["perturbation", "statistic", "width", "at_random"]
    widths = pd.concat(parts, ignore_index=True) if parts else asked.reindex(columns=columns)
    return widths[columns].dropna(subset=["width"]).reset_index(drop=True)


def sure_enough(summary: pd.DataFrame, order_by: str, watched: Iterable[Number], width: float) -> list[tuple[str, str]]:
    """Return the perturbations, by name and way, of which no interval is wider than so.

    Parameters
    ----------
    summary, order_by, watched
        As for `widths_that_matter`; here what leads matters of all perturbations. Without segments.
    width : float
    """
    wide = np.zeros(len(summary), dtype=bool)
    for statistic in {order_by, *(each.statistic for each in watched)}:
        matters = summary["perturbation"].isin({each.perturbation for each in watched if each.statistic == statistic})
        low, high = interval_ends(summary, statistic)
        wide |= ~(high - low <= width) & (matters | (statistic == order_by)).to_numpy()  # what is not known is not sure
    return list(summary.loc[~wide, ["perturbation", "way"]].itertuples(index=False, name=None))


def _of_segments(tables: SegmentTables, watched: Iterable[Number], at_random: pd.Series) -> Iterator[pd.DataFrame]:
    """Yield how wide the intervals of segments are that are watched."""
    asked: dict[tuple[str, str], list[str]] = {}
    for name, statistic, segment in sorted(watched):
        if segment:
            asked.setdefault((statistic, segment), []).append(name)
    for (statistic, segment), names in asked.items():
        told = meant(tables.differences if statistic == DIFFERENCE else tables.segments, segment)
        told = told[told["perturbation"].isin(names)]
        where = (
            " between " + told["segment"] + " and " + told["other"]
            if statistic == DIFFERENCE
            else " in " + told["segment"]
        )
        yield pd.DataFrame(
            {
                "perturbation": told["perturbation"] + where,
                "statistic": statistic,
                "width": told[f"{statistic}_high"] - told[f"{statistic}_low"],
                "at_random": told["perturbation"].isin(at_random),
            }
        )


def named(widths: pd.DataFrame) -> list[str]:
    """Return what intervals are of, the widest first: `mean of PAY`."""
    widest = widths.sort_values("width", ascending=False, kind="stable")
    return [f"{row.statistic} of {row.perturbation}" for row in widest.itertuples()]
