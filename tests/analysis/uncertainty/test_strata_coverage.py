"""Within strata intervals hold the truth as often as they say, whatever the size of the strata."""

from itertools import product

import pytest

from benchmarks.strata_coverage import strata
from tests.analysis.uncertainty.test_coverage import assert_at_most, assert_held, n_audits
from tests.support.simulations import in_full

pytestmark = pytest.mark.slow


SIZES = [2, 3, 5, 12, 50, 500]
WAYS = [(1, False), (5, False), (5, True)]
"""The repeats, and whether donors are those of tests."""
FEW = [*product(["x"], SIZES, [WAYS[0], WAYS[2]]), *product(["probability"], [2, 12, 500], [WAYS[1]])]


@pytest.mark.parametrize(("model", "size", "way"), in_full([*product(["x", "probability"], SIZES, WAYS)], FEW))
def test_statistics_are_held_and_a_limit_at_the_truth_is_rarely_passed(model, size, way):
    """In strata of 2 to 500 rows that differ in their means, with the donors of tests as well."""
    repeats, tests = way
    found = strata(model, size, repeats=repeats, tests=tests, n_audits=n_audits(150))
    for statistic, each in found.items():
        assert_held(each)
        if statistic in ("mean", "flipped_share"):
            assert_at_most(each.below, each.n_audits, 0.035)


@pytest.mark.parametrize("repeats", [1, 5])
@pytest.mark.parametrize("size", [5, 20, 500])
def test_the_interval_of_a_mean_is_no_wider_than_it_must_be(size, repeats):
    """What a stratum lies off counts once: counted twice the mean were held in 98 to 99 % with two strata."""
    assert_held(strata("x", size, repeats=repeats, n_audits=n_audits(300))["mean"], most=0.97)
