"""Intervals hold the truth as often as they say, and a limit at the truth is rarely passed: in simulated audits."""

from itertools import product

import pytest
from scipy.stats import binom

from benchmarks.coverage import BOUNDED, HEAVY, clusters, differences, means
from tests.support.simulations import IN_FULL, in_full

pytestmark = pytest.mark.slow

SURE = 1e-3
"""A rate is refused where so many audits are this unlikely for every true rate that is allowed."""


def n_audits(few):
    return in_full(10_000, few)


def assert_at_most(rate, n, most):
    """Whole, a rate may exceed its limit by 3 Monte Carlo errors; few audits must not show that it is larger."""
    if IN_FULL:
        assert rate <= most + 3 * (most * (1 - most) / n) ** 0.5
    else:
        assert binom.sf(round(rate * n) - 1, n, most) > SURE


def assert_held(found, least=0.93, most=1.0):
    assert_at_most(1 - found.held, found.n_audits, 1 - least)
    if most < 1:
        assert_at_most(found.held, found.n_audits, most)


WAYS = [(True, 1), (True, 3), (False, 1)]
"""Shuffled or set, and the repeats."""
FEW = [*product([200], WAYS), (1_000, (True, 3)), (5_000, (True, 1))]
"""Of few rows intervals miss first: with these each way is tried, with more rows one."""


@pytest.mark.parametrize(("n_rows", "way"), in_full([*product([200, 1_000, 5_000], WAYS)], FEW))
@pytest.mark.parametrize("name", [*BOUNDED, *HEAVY])
def test_a_limit_at_the_true_mean_is_rarely_passed(name, n_rows, way):
    """In 3.5 % of audits at most, 5 % where tails are heavy; an interval that goes as far up as down: 9 to 24 %."""
    (shuffled, repeats), few = way, {200: 500, 1_000: 250, 5_000: 100}[n_rows]
    found = means(name, n_rows, shuffled=shuffled, repeats=repeats, n_audits=n_audits(few))
    assert_at_most(found.below, found.n_audits, 0.05 if name in HEAVY else 0.035)
    assert_held(found)


@pytest.mark.parametrize("n_rows", [200, 1_000])
@pytest.mark.parametrize("name", ["normal", "half"])
def test_where_no_few_rows_make_a_mean_its_interval_is_no_wider_than_it_must_be(name, n_rows):
    assert_held(means(name, n_rows, n_audits=n_audits(500)), most=0.97)


@pytest.mark.parametrize("n_rows", [30, 60, 100])
@pytest.mark.parametrize("name", ["normal", "half", "exponential", "zero-inflated", "flag of 2 %"])
def test_of_few_rows_a_mean_is_held_all_the_same(name, n_rows):
    """An interval of 30 to 100 rows is wide, and 5 % of it may lie below."""
    found = means(name, n_rows, n_audits=n_audits(400))
    assert_at_most(found.below, found.n_audits, 0.05)
    assert_held(found)


@pytest.mark.parametrize(("shuffled", "repeats"), WAYS)
def test_rows_of_100_clients_hold_the_truth_where_the_audit_is_told_whose_they_are(shuffled, repeats):
    """12 rows of each, alike to 0.8. Not told, the interval of the mean holds the truth in less than 70 %."""
    told = clusters(shuffled=shuffled, repeats=repeats, n_audits=n_audits(400))
    for found in told.values():
        assert_held(found)
        assert_at_most(found.below, found.n_audits, 0.035)
    assert_held(told["median"], most=0.97)
    assert clusters(shuffled=shuffled, repeats=repeats, n_audits=in_full(200, 100), known=False)["mean"].held < 0.7


def test_30_clients_hold_the_truth_as_well():
    for found in clusters(n_clients=30, n_audits=n_audits(400)).values():
        assert_held(found)


@pytest.mark.parametrize("name", ["normal", "exponential", "zero-inflated", "t of 2 degrees"])
def test_the_difference_of_two_versions_is_held(name):
    found = differences(name, 500, n_audits=n_audits(300))
    assert_at_most(found.below, found.n_audits, 0.05 if name in HEAVY else 0.035)
    assert_held(found)


def test_the_difference_of_two_versions_on_rows_of_clients_is_held():
    found = differences("normal", 0, grouped=True, n_audits=n_audits(300))
    assert_at_most(found.below, found.n_audits, 0.035)
    assert_held(found, most=0.98)
