"""Pairs of features of two versions side by side, whichever of two was named first."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.comparison.compared_interactions import interactions_side_by_side
from nnperm_mlflow.report.comparison_card import comparison_card

ONE = {("AGE", "PAY"): 0.2, ("SEX", "AGE"): 0.1}
OTHER = {("AGE", "SEX"): 0.4, ("BILL", "PAY"): 0.05}


def record(pairs, scale="prediction"):
    if pairs is None:
        return SimpleNamespace(interactions=None)
    means = np.array([*pairs.values()])
    numbers = {"mean": means, "share": means / 2}
    ends = {
        f"{name}{end}": each * times for name, each in numbers.items() for end, times in (("_low", 0.5), ("_high", 1.5))
    }
    table = pd.DataFrame([*pairs], columns=["first", "second"]).assign(**numbers, **ends, scale=scale)
    return SimpleNamespace(interactions=table)


def test_pairs_stand_side_by_side_those_first_that_do_most_in_either():
    found = interactions_side_by_side(record(ONE), record(OTHER))
    assert [*zip(found["first"], found["second"], strict=True)] == [("AGE", "SEX"), ("AGE", "PAY"), ("BILL", "PAY")]
    np.testing.assert_array_equal(found["mean_a"], [0.1, 0.2, np.nan])
    np.testing.assert_array_equal(found["mean_b"], [0.4, np.nan, 0.05])
    np.testing.assert_array_equal(found["share_b_low"], [0.1, np.nan, 0.0125])


@pytest.mark.parametrize(
    ("one", "other"), [(record(ONE), record(None)), (record(None), record(ONE)), (record(ONE), record(ONE, "logit"))]
)
def test_what_only_one_tells_or_tells_on_another_scale_is_not_compared(one, other):
    assert interactions_side_by_side(one, other) is None


def test_where_no_pair_was_followed_there_is_none():
    assert len(interactions_side_by_side(record({}), record({}))) == 0


def test_the_card_tells_pairs_of_both():
    columns = [f"{name}{end}" for name in ("median", "mean") for end in ("_a", "_b", "_a_low", "_a_high")]
    table = pd.DataFrame(columns=["perturbation", "way", "only_in", *columns])
    more = ["difference", "difference_low", "difference_high", "mean_difference", "mean_difference_low"]
    table = table.reindex(columns=[*table, *more, "mean_difference_high", "median_b_low", "median_b_high"])
    table = table.reindex(columns=[*table, "mean_b_low", "mean_b_high", "rank_a", "rank_b"])
    pairs = interactions_side_by_side(record(ONE), record(OTHER))
    said = {"unit": "p", "statistic": "mean", "head": "", "facts": [], "overall": []}
    card = comparison_card(table, ("credit 3", "credit 4"), interactions=pairs, **said)
    assert "| AGE | PAY | 0.2 (0.1 to 0.3) | not followed |" in card.replace("\\", "")
    assert "## What features do together" not in comparison_card(table, ("credit 3", "credit 4"), **said)
