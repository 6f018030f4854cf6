"""The numbers that checks on segments look at, and which segments such a check means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.basics.errors import CheckError, did_you_mean, name_list
from nnperm_mlflow.config.checks import SegmentCheck, SegmentDifferenceCheck
from nnperm_mlflow.verdict._estimates import Estimate

ANY = "any"
"""Means every segment of every column."""

Pair = tuple[Estimate, Estimate]
"""A number with its own interval, and with one that is right of all that are judged at once."""


def check_segment(check: SegmentCheck | SegmentDifferenceCheck, told: Mapping[str, Sequence[str]]) -> None:
    """Refuse a check on a segment that an audit does not tell of.

    Parameters
    ----------
    check : SegmentCheck or SegmentDifferenceCheck
    told : mapping of str to sequence of str
        For each column the names of its segments.

    Raises
    ------
    CheckError
    """
    of_columns = isinstance(check, SegmentDifferenceCheck)
    known = [*told, *([] if of_columns else (name for names in told.values() for name in names))]
    if not told or check.segment not in (ANY, *known):
        there = f"which has {name_list(known)}" if told else "which has none"
        what = "column with segments" if of_columns else "segment, or column with segments,"
        raise CheckError(
            f"check '{check.title}': '{check.segment}' is no {what} of this audit, {there}."
            f"{did_you_mean(check.segment, known)} Segments need an audit that was asked for them: 'analysis: "
            f"{{segments: [{'SEX' if check.segment == ANY else check.segment.partition('=')[0]}]}}'."
        )


def limits(
    tables: SegmentTables | None, check: SegmentCheck, names: Sequence[str], stages: int = 1
) -> tuple[dict[str, Pair], str]:
    """Return the statistic of each perturbation in each segment that is meant, and what was passed over, in words.

    The level is shared among `stages`. A segment below the floor is passed over where it is not named itself, and so is
    one in which no value changed, as where all rows hold the value that is set.

    Raises
    ------
    CheckError
        If the audit does not tell of the segment, it is below the floor, or nothing is left.
    """
    table = _told(tables, check)
    meant = table[(table["column"] == check.segment) | (table["segment"] == check.segment) | (check.segment == ANY)]
    meant = meant[meant["perturbation"].isin(names)]
    is_small = meant["units"] < FEWEST_ROWS
    small = meant.loc[is_small, "segment"].unique()
    if is_small.all() or check.segment in small:
        raise CheckError(
            f"check '{check.title}': {name_list(small)} has fewer than {FEWEST_ROWS} rows (or clusters) with a "
            "prediction, of which nothing is sure. Audit more rows, or join segments."
        )
    judged = meant[~is_small & (meant["changed_share"] > 0)]
    if judged.empty:
        raise CheckError(
            f"check '{check.title}': no value changed in {name_list(meant['segment'].unique())}, so that it was not "
            "tested. Name a feature that varies there."
        )
    found = {
        f"{row['perturbation']} in {row['segment']}": (
            Estimate(*(row[f"{check.statistic}{end}"] for end in ("", "_low", "_high"))), row["units"]
        )
        for row in judged.to_dict("records")
    }  # fmt: skip
    passed_over = f"; {len(small)} segments below {FEWEST_ROWS} rows were passed over" if len(small) else ""
    return _families(found, check.statistic, stages), passed_over


def differences(
    tables: SegmentTables | None, check: SegmentDifferenceCheck, names: Sequence[str], stages: int = 1
) -> tuple[dict[str, Pair], str]:
    """Return how far each two segments of the columns that are meant lie apart under each perturbation.

    The level is shared among `stages`.

    Returns
    -------
    found : dict of str to Pair
        The size of each difference; all of them are judged at once.
    passed_over : str
        How many segments are below the floor, in words.

    Raises
    ------
    CheckError
        If the audit does not tell of the column, or has not two segments of it that can be judged.
    """
    table = _told(tables, check)
    rows = pd.DataFrame() if tables is None else tables.differences
    meant = rows[((rows["column"] == check.segment) | (check.segment == ANY)) & rows["perturbation"].isin(names)]
    if meant.empty:
        raise CheckError(
            f"check '{check.title}': there are no two segments of {check.segment} with {FEWEST_ROWS} rows (or "
            "clusters) each to compare. Audit more rows, or join segments."
        )
    found = {
        f"{row['perturbation']} between {row['segment']} and {row['other']}": (
            _size(row["difference"], row["difference_low"], row["difference_high"]), row["units"]
        )
        for row in meant.to_dict("records")
    }  # fmt: skip
    of_columns = table[(table["column"] == check.segment) | (check.segment == ANY)]
    small = of_columns.loc[of_columns["units"] < FEWEST_ROWS, "segment"].nunique()
    passed_over = f"; {small} segments below {FEWEST_ROWS} rows were passed over" if small else ""
    return _families(found, "mean", stages), passed_over


def _told(tables: SegmentTables | None, check: SegmentCheck | SegmentDifferenceCheck) -> pd.DataFrame:
    """Return the table of segments, or refuse a check on what it does not tell of."""
    table = pd.DataFrame(columns=["column", "segment"]) if tables is None else tables.segments
    columns = table["column"].unique()
    check_segment(check, {name: list(table.loc[table["column"] == name, "segment"].unique()) for name in columns})
    return table


def _size(difference: float, low: float, high: float) -> Estimate:
    """Return the size of a difference: it may be as large as the farther end of the interval."""
    nearer = low if difference >= 0 else -high
    return Estimate(abs(difference), max(0.0, nearer), max(abs(low), abs(high)))


def _families(found: Mapping[str, tuple[Estimate, float]], statistic: str, stages: int) -> dict[str, Pair]:
    """Return each number with both intervals, from the units that its segment has."""
    sizes = (stages, stages * len(found))
    return {
        name: (number.of_family(sizes[0], statistic, units), number.of_family(sizes[1], statistic, units))
        for name, (number, units) in found.items()
    }
