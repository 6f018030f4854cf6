"""The variance of a mean over rows whose donors come from their own stratum."""

import math
from itertools import product

import numpy as np
import pytest

from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, cycle_positions, donor_positions
from nnperm_mlflow.analysis.uncertainty._stratified_variance import StratifiedExchange
from nnperm_mlflow.analysis.uncertainty.error_moments import UNKNOWN
from nnperm_mlflow.analysis.uncertainty.variance import Exchange


def summed_over_pairs(values, known, donors, strata):
    """Return what `variance` says, by looking at all pairs of two values."""
    n_repeats, n_rows = values.shape
    off = np.where(known, values - values[known].mean(), 0)
    total = 0.0
    for stratum in set(strata):
        rows = np.flatnonzero(strata == stratum)
        each = [(repeat, row) for repeat in range(n_repeats) for row in rows if known[repeat, row]]
        own, apart, n_apart, too_often = 0.0, 0.0, 0, 0
        for one, other in product(each, each):
            shared = {one[1], donors[one[0]][one[1]]} & {other[1], donors[other[0]][other[1]]}
            own += off[one] * off[other]
            too_often += one[1] != other[1]
            if not shared:
                apart, n_apart = apart + off[one] * off[other], n_apart + 1
        total += own - (too_often * apart / n_apart if n_apart else 0)
    return total * n_rows / known.sum() ** 2


@pytest.mark.parametrize("drawn", [donor_positions, cycle_positions])
@pytest.mark.parametrize("missing", [0, 0.2])
def test_it_is_the_sum_over_all_pairs_of_values_that_have_a_row_in_common(drawn, missing):
    """Also where two rows meet in several repeats, a row is its own donor, or is left out."""
    rng = np.random.default_rng(0)
    strata = rng.permutation(np.repeat(np.arange(6), [1, 2, 3, 4, 7, 20]))
    donors = [drawn(ShuffleBlock(0, np.arange(37)), 3, "x", repeat, strata).astype(int) for repeat in range(4)]
    values, known = rng.exponential(size=(4, 37)) + strata, rng.random((4, 37)) >= missing
    found = 37 * StratifiedExchange(donors, strata).moments(values, known).variance(least=0)
    assert found == pytest.approx(summed_over_pairs(values, known, donors, strata), rel=1e-10)
    assert found > 0


def test_one_stratum_of_many_rows_has_the_variance_of_rows_without_strata():
    rng = np.random.default_rng(1)
    donors = [donor_positions(ShuffleBlock(0, np.arange(3000)), 3, "x", repeat).astype(int) for repeat in range(3)]
    column, known = rng.exponential(size=3000), np.ones((3, 3000), dtype=bool)
    values = np.stack([np.abs(column[each] - column) for each in donors])
    found = StratifiedExchange(donors, np.zeros(3000, dtype=int)).moments(values, known)
    plain = Exchange(donors).moments(values, known)
    assert found.variance() == pytest.approx(plain.variance(), rel=0.01)
    assert found.third == pytest.approx(plain.third, rel=0.01)
    assert found.beyond == pytest.approx(plain.beyond, rel=0.05)


@pytest.mark.parametrize("repeats", [1, 4])
def test_what_a_stratum_lies_off_counts_once(repeats):
    """Where each stratum has one deviation of its own, rows are as sure as rows without donors."""
    strata = np.repeat(np.arange(3), [200, 300, 100])
    block, values = ShuffleBlock(0, np.arange(600)), np.tile(np.array([0.1, 0.5, 2.0])[strata], (repeats, 1))
    donors = [cycle_positions(block, 0, "x", repeat, strata).astype(int) for repeat in range(repeats)]
    found = StratifiedExchange(donors, strata).moments(values, np.ones_like(values, dtype=bool))
    assert 600 * found.variance() == pytest.approx(values.var(), rel=1e-9)


def test_what_is_unknown_is_not_sure():
    donors = StratifiedExchange([np.array([1, 0])], np.zeros(2, dtype=int))
    assert donors.moments(np.ones((1, 2)), np.zeros((1, 2), dtype=bool)) is UNKNOWN


def test_a_limit_three_percent_below_the_truth_is_not_passed_with_strata_of_twelve_rows():
    """With rows as their own donors the mean is a twelfth too small, and each of these audits passes."""
    rng, n_rows = np.random.default_rng(0), 12_000
    strata, block = np.arange(n_rows) // 12, ShuffleBlock(0, np.arange(n_rows))
    n_passed = 0
    for seed in range(50):
        column = rng.normal(size=n_rows) + 3 * strata
        donors = cycle_positions(block, seed, "x", 0, strata)
        values = np.abs(column[donors] - column)[None]
        moments = StratifiedExchange([donors], strata).moments(values, np.ones_like(values, dtype=bool))
        n_passed += values.mean() + 1.96 * math.sqrt(moments.variance()) <= 0.97 * 2 / math.sqrt(math.pi)
    assert n_passed == 0
