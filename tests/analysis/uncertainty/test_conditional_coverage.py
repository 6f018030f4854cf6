"""A conditional shuffle tells the true conditional value, and its interval holds that of the learned subgroups."""

import pytest

from benchmarks.conditional_coverage import simulate
from tests.analysis.uncertainty.test_coverage import assert_held
from tests.support.simulations import in_full

pytestmark = pytest.mark.slow

TARGETS = {0.0: 0.01, 0.5: 0.05, 0.9: 0.05, 0.95: 0.1}
"""For a correlation how far the learned subgroups' value may lie off the true one, as a share of it."""


def n_audits(few):
    return in_full(400, few)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
@pytest.mark.parametrize("kind", ["number", "code", "channel", "group"])
def test_the_value_within_learned_subgroups_is_near_the_true_one_and_held(kind, correlation):
    found = simulate(kind, "sum", correlation, n_rows=5_000, n_audits=n_audits(6))
    assert abs(found.distance) < TARGETS[correlation]
    assert_held(found.rates)


def test_the_distance_falls_with_the_rows():
    few, many = (simulate("number", "sum", 0.9, n_rows=n_rows, n_audits=n_audits(4)) for n_rows in (500, 5_000))
    assert abs(many.distance) < 0.7 * abs(few.distance)
