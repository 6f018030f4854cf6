"""What a conditional permutation test finds of a feature that adds nothing to the others: what docs/method.md says."""

import pytest
from scipy.stats import binom

from benchmarks.conditional_tests import CORRELATIONS, simulate
from tests.support.simulations import IN_FULL, in_full

pytestmark = pytest.mark.slow

EVERY = [(correlation, n_rows) for n_rows in (1_000, 5_000) for correlation in CORRELATIONS]


@pytest.mark.parametrize(("correlation", "n_rows"), EVERY if IN_FULL else [(0.9, 1_000)])
def test_a_fitted_model_is_found_to_use_a_feature_that_adds_nothing_as_often_as_the_level_says(correlation, n_rows):
    """By the conditional test, to which what the others tell is none of it; a plain one finds what it stands for."""
    n_audits = in_full(400, 40)
    found = simulate(correlation, n_rows=n_rows, n_audits=n_audits)
    share = round(found["least squares"]["conditional"] * n_audits)
    assert binom.sf(share - 1, n_audits, 0.05) > 1e-3
    if correlation:
        assert found["stand-in"]["shuffle"] > 0.95
        assert found["stand-in"]["conditional"] < 0.5 * (1 + correlation)
