"""Which segments differ most, and which are too small to tell."""

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.segments.segment_tables import (
    COLUMNS,
    DIFFERENCE_COLUMNS,
    SCORE_COLUMNS,
    SCORE_DIFFERENCE_COLUMNS,
    SegmentScores,
    SegmentTables,
)
from nnperm_mlflow.analysis.uncertainty.families import family_ends

SEGMENTS = pd.DataFrame(
    [
        dict.fromkeys(COLUMNS, np.nan) | {"column": name.partition("=")[0], "segment": name, "units": units}
        for name, units in {"SEX=1": 500, "SEX=2": 480, "SEX=3": 29, "AGE=1": 40, "AGE=2": 900}.items()
    ]
)
DIFFERENCES = pd.DataFrame(
    [
        ("SEX", "SEX=1", "SEX=2", "PAY", 480, -0.10, -0.12, -0.08),
        ("SEX", "SEX=1", "SEX=2", "LIMIT", 480, 0.30, -0.10, 0.70),  # larger, and not as sure
        ("AGE", "AGE=1", "AGE=2", "PAY", 40, 0.10, 0.0, 0.20),
    ],
    columns=list(DIFFERENCE_COLUMNS),
)
SCORES = SegmentScores(
    pd.DataFrame(columns=list(SCORE_COLUMNS)),
    pd.DataFrame([("SEX", "SEX=1", "SEX=2", "roc_auc", 90, 0.1, 0.04, 0.16)], columns=list(SCORE_DIFFERENCE_COLUMNS)),
)


def test_the_difference_that_is_surely_largest_is_told_with_the_interval_that_is_right_of_all():
    """Of two, 97.5 % intervals: with t of 479 degrees 2.2487 standard errors instead of 1.9649."""
    of_sex, of_age = SegmentTables(SEGMENTS, DIFFERENCES).largest_differences
    assert (of_sex.column, of_sex.what, of_sex.more, of_sex.less) == ("SEX", "PAY", "SEX=2", "SEX=1")
    wider = 0.02 * 2.2487 / 1.9649
    assert (of_sex.value, of_sex.low, of_sex.high) == pytest.approx((0.1, 0.1 - wider, 0.1 + wider), abs=1e-5)
    assert (of_sex.among, of_sex.is_sure, of_sex.of_score) == (2, True, False)
    assert (of_age.number, of_age.is_sure) == ("0.1 (0 to 0.2)", False)


def test_of_many_differences_the_one_is_told_that_surely_is_the_largest():
    """Of few units and many, up and down; one whose ends are not known is not it."""
    rng, n = np.random.default_rng(0), 300
    value, off = rng.normal(size=n), rng.random((2, n))
    table = pd.DataFrame(
        {"column": "SEX", "segment": "SEX=1", "other": "SEX=2", "perturbation": np.arange(n).astype(str)}
    )
    table = table.assign(units=rng.integers(30, 2_000, n), difference=value)
    table = table.assign(difference_low=value - off[0], difference_high=value + off[1])
    table.loc[0, ["difference", "difference_low", "difference_high"]] = 9, np.nan, np.nan
    lows = {}
    for row in table.to_dict("records")[1:]:
        ends = family_ends(row["difference"], row["difference_low"], row["difference_high"], n, n_units=row["units"])
        lows[row["perturbation"]] = ends[0] if row["difference"] >= 0 else -ends[1]
    (told,) = SegmentTables(SEGMENTS, table).largest_differences
    assert told.what == max(lows, key=lows.get)
    assert told.low == pytest.approx(max(lows.values()))


def test_scores_have_a_largest_difference_of_their_own_beside_their_column():
    told = SegmentTables(SEGMENTS, DIFFERENCES, SCORES).largest_differences
    assert [(each.column, each.what, each.of_score) for each in told] == [
        ("SEX", "PAY", False), ("SEX", "roc_auc", True), ("AGE", "PAY", False),
    ]  # fmt: skip
    assert (told[1].more, told[1].number) == ("SEX=1", "0.1 (0.04 to 0.16)")


def test_segments_below_the_floor_are_named_and_nothing_can_differ_where_none_is_judged():
    assert SegmentTables(SEGMENTS, DIFFERENCES).too_small == ["SEX=3"]
    assert SegmentTables(SEGMENTS, DIFFERENCES.head(0)).largest_differences == []
