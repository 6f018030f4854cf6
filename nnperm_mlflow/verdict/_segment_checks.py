"""The numbers that checks on segments look at, and which segments such a check means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from nnperm_mlflow.analysis.segments.segment_tables import ANY, SCORE_COLUMNS, SegmentTables, meant
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.basics.errors import CheckError, did_you_mean, name_list
from nnperm_mlflow.config.checks import (
    SegmentCheck,
    SegmentDifferenceCheck,
    SegmentScoreCheck,
    SegmentScoreDifferenceCheck,
)
from nnperm_mlflow.verdict._estimates import Estimate

OnSegments = SegmentCheck | SegmentDifferenceCheck | SegmentScoreCheck | SegmentScoreDifferenceCheck
"""A check on segments."""

Pair = tuple[Estimate, Estimate]
"""A number with its own interval, and with one that is right of all that are judged at once."""


def check_segment(check: OnSegments, told: Mapping[str, Sequence[str]]) -> None:
    """Refuse a check on a segment that an audit does not tell of.

    Parameters
    ----------
    check : one of the checks on segments
    told : mapping of str to sequence of str
        For each column the names of its segments.

    Raises
    ------
    CheckError
    """
    of_columns = isinstance(check, (SegmentDifferenceCheck, SegmentScoreDifferenceCheck))
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
    table = meant(_told(tables, check), check.segment)
    asked = table[table["perturbation"].isin(names)]
    is_small = asked["units"] < FEWEST_ROWS
    small = asked.loc[is_small, "segment"].unique()
    if is_small.all() or check.segment in small:
        raise CheckError(
            f"check '{check.title}': {name_list(small)} has fewer than {FEWEST_ROWS} rows (or clusters) with a "
            "prediction, of which nothing is sure. Audit more rows, or join segments."
        )
    judged = asked[~is_small & (asked["changed_share"] > 0)]
    if judged.empty:
        raise CheckError(
            f"check '{check.title}': no value changed in {name_list(asked['segment'].unique())}, so that it was not "
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
    rows = meant(pd.DataFrame() if tables is None else tables.differences, check.segment)
    asked = rows[rows["perturbation"].isin(names)]
    if asked.empty:
        raise _no_two(check, f"with {FEWEST_ROWS} rows (or clusters) each")
    found = {
        f"{row['perturbation']} between {row['segment']} and {row['other']}": (
            _size(row["difference"], row["difference_low"], row["difference_high"]), row["units"]
        )
        for row in asked.to_dict("records")
    }  # fmt: skip
    of_columns = meant(table, check.segment)
    small = of_columns.loc[of_columns["units"] < FEWEST_ROWS, "segment"].nunique()
    passed_over = f"; {small} segments below {FEWEST_ROWS} rows were passed over" if small else ""
    return _families(found, "mean", stages), passed_over


def score_limits(
    tables: SegmentTables | None, check: SegmentScoreCheck, stages: int = 1
) -> tuple[dict[str, Pair], str]:
    """Return the score of each segment that is meant, and what was passed over, in words.

    The level is shared among `stages`. A segment is passed over where nobody can tell how sure its score is, and it is
    not named itself.

    Raises
    ------
    CheckError
        If the audit does not tell of segment or score, how sure it is of the segment named cannot be told, or nothing
        is left.
    """
    asked = _scores(tables, check)
    judged, others = asked[asked["low"].notna()], asked[asked["low"].isna()]
    if judged.empty or check.segment in set(others["segment"]):
        why = "; ".join(f"{row['segment']}: {row['not_judged']}" for row in others.to_dict("records"))
        raise CheckError(
            f"check '{check.title}': how sure '{check.score}' is cannot be told ({why}), so it can neither pass nor "
            "fail. Audit more rows, or join segments."
        )
    found = {
        row["segment"]: (Estimate(row["value"], row["low"], row["high"]), row["units"])
        for row in judged.to_dict("records")
    }
    return _families(found, check.score, stages), _passed_over(others)


def score_differences(
    tables: SegmentTables | None, check: SegmentScoreDifferenceCheck, stages: int = 1
) -> tuple[dict[str, Pair], str]:
    """Return how far the scores of each two segments of the columns that are meant lie apart, see `differences`."""
    asked = _scores(tables, check)
    rows = meant(tables.scores.differences, check.segment) if tables is not None and tables.scores else pd.DataFrame()
    pairs = rows[rows["score"] == check.score] if len(rows) else rows
    if pairs.empty:
        raise _no_two(check, f"of which it is known how sure '{check.score}' is")
    found = {
        f"{row['segment']} and {row['other']}": (
            _size(row["difference"], row["difference_low"], row["difference_high"]), row["units"]
        )
        for row in pairs.to_dict("records")
    }  # fmt: skip
    return _families(found, "difference", stages), _passed_over(asked[asked["low"].isna()])


def _scores(tables: SegmentTables | None, check: SegmentScoreCheck | SegmentScoreDifferenceCheck) -> pd.DataFrame:
    """Return what is told of a score in the segments that are meant, or refuse a check on other segments."""
    _told(tables, check)
    told = None if tables is None else tables.scores
    asked = meant(pd.DataFrame(columns=list(SCORE_COLUMNS)) if told is None else told.scores, check.segment)
    return asked[asked["score"] == check.score]


def _passed_over(others: pd.DataFrame) -> str:
    """Return in words which segments have a score of which nobody can tell how sure it is."""
    names = list(others["segment"])
    return f"; passed over, since nobody can tell how sure it is there: {name_list(names)}" if names else ""


def _no_two(check: SegmentDifferenceCheck | SegmentScoreDifferenceCheck, which: str) -> CheckError:
    return CheckError(
        f"check '{check.title}': there are no two segments of {check.segment} {which} to compare. Audit more rows, or "
        "join segments."
    )


def _told(tables: SegmentTables | None, check: OnSegments) -> pd.DataFrame:
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
