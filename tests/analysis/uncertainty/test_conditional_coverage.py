"""A conditional shuffle tells the true conditional value, and its interval holds that of the learned subgroups."""

import pytest

from benchmarks.conditional_coverage import CORRELATIONS, KINDS, MODELS, simulate
from benchmarks.coverage import Rates
from tests.analysis.uncertainty.test_coverage import assert_held
from tests.support.simulations import IN_FULL, in_full

pytestmark = pytest.mark.slow

TARGETS = {0.0: 0.01, 0.5: 0.05, 0.9: 0.05, 0.95: 0.1}
"""For a correlation how far the learned subgroups' value may lie off the true one, as a share of it."""


def n_audits(few, many=400):
    return in_full(many, few)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_the_value_within_learned_subgroups_is_near_the_true_one_and_held(kind, correlation):
    """Of a sum, and of a product, which weighs rows far out."""
    for found in simulate(kind, correlation, n_rows=5_000, n_audits=n_audits(3, 100)).values():
        assert abs(found.distance) < TARGETS[correlation]
        assert_held(found.rates)


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_the_value_within_learned_subgroups_whatever_goes_with_the_feature(kind):
    """Each cell by itself where all audits are made; here the few of each put together."""
    cells = [
        found
        for correlation in CORRELATIONS
        for found in simulate(kind, correlation, n_rows=1_000, n_audits=n_audits(3)).values()
    ]
    assert len(cells) == len(CORRELATIONS) * len(MODELS)
    for found in cells if IN_FULL else [_together(cells)]:
        assert_held(found.rates if IN_FULL else found, most=0.97)


def _together(cells):
    """Return the rates of some cells as if they were one."""
    below, above = (sum(getattr(found.rates, side) for found in cells) / len(cells) for side in ("below", "above"))
    return Rates(below, above, sum(found.rates.n_audits for found in cells))


def test_the_distance_falls_with_the_rows():
    few, many = (simulate("number", 0.9, n_rows=n_rows, n_audits=n_audits(4))["sum"] for n_rows in (500, 5_000))
    assert abs(many.distance) < 0.7 * abs(few.distance)
