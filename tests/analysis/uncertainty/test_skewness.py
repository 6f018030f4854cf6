"""The interval of a mean goes further to the side on which the mean errs further."""

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from nnperm_mlflow.analysis.uncertainty.error_moments import (
    UNKNOWN,
    ErrorMoments,
    beyond_the_largest,
    beyond_the_largest_of_parts,
)
from nnperm_mlflow.analysis.uncertainty.skewness import reaches
from nnperm_mlflow.analysis.uncertainty.variance import Exchange


def halls_transformation(studentized, skewness):
    """The monotone cubic of Hall (1992), of a mean whose errors have such a skewness (of the mean, not of a row)."""
    return (
        studentized
        + skewness * studentized**2 / 3
        + skewness**2 * studentized**3 / 27
        + skewness / 6
    )  # fmt: skip


@pytest.mark.parametrize("skewness", [-0.3, -0.1, 0.0, 0.1, 0.3])
@pytest.mark.parametrize("n_units", [30, 10_000])
def test_the_ends_are_where_halls_transformation_reaches_the_quantile_of_students_t(skewness, n_units):
    error = 0.25
    below, above = reaches(ErrorMoments(error**2, 0.0, skewness * error**3), n_units)
    quantile = stats.t.ppf(0.975, n_units - 1)
    for end, sign in ((below, 1), (above, -1)):
        root = brentq(lambda x, at=sign * quantile: halls_transformation(x, skewness) - at, -50, 50)
        assert end == pytest.approx(sign * root * error, rel=1e-4)


def test_beyond_where_the_transformation_turns_an_end_stays_where_it_is():
    furthest = [reaches(ErrorMoments(1.0, 0.0, skewness), 1_000)[1] for skewness in (0.5, 0.9, 5.0)]
    assert furthest == [pytest.approx(furthest[0])] * 3
    assert 5 < furthest[0] < 7


def test_one_unit_more_lies_as_far_beyond_the_largest_as_that_beyond_the_third():
    units = np.array([0.5, -3.0, 9.0, 4.0, -1.0, -2.0, 7.0, 0.0])
    assert beyond_the_largest(units, 10.0) == (3 + 3 - 1, 9 + 9 - 4)
    assert beyond_the_largest(-units, 10.0) == (14, 5)
    assert beyond_the_largest(np.array([1.0, 2.0]), 5.0) == (0, 0)
    assert beyond_the_largest(np.full(5, -1.0), 1.0) == (1, 0)


def test_one_unit_more_counts_the_less_the_less_the_largest_matters():
    """Its square makes 90 % of the variance, a fifth, or a tenth of it."""
    units = np.array([9.0, 7.0, 4.0, 0.0])
    found = [beyond_the_largest(units, 81 / share)[1] for share in (0.9, 0.2, 0.1)]
    assert found == pytest.approx([14, 14, 7])


def test_one_unit_more_counts_to_its_own_side():
    below, above = reaches(ErrorMoments(1.0, 0.0, 0.0, (0.0, 0.5)), 1_000)
    assert below == pytest.approx(stats.t.ppf(0.975, 999))
    with_it = ErrorMoments(1.25, 0.0, 0.125)
    assert above == pytest.approx(0.5 + reaches(with_it, 1_000)[1])


def test_what_does_not_err_is_sure_and_what_is_not_known_is_not():
    assert reaches(ErrorMoments(0.0, 0.0, 0.0), 100) == (0, 0)
    assert reaches(UNKNOWN, 1) == (math.inf, math.inf)


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_third_moment_of_a_shuffle_is_that_of_sums_over_pairs_of_rows(repeats):
    """For a rare flag of weight 1 the mean is twice the share of flags, so that its third moment is known."""
    rng, n_rows, share = np.random.default_rng(0), 200_000, 0.01
    flag = rng.random(n_rows) < share
    donors = [rng.permutation(n_rows) for _ in range(repeats)]
    moved = np.stack([flag[each] != flag for each in donors])
    found = Exchange(donors).moments(moved, np.ones(moved.shape, dtype=bool))
    exact = 8 * share * (1 - share) * (1 - 2 * share) * (1 - 2 * share) ** 3 / n_rows**2
    assert found.third == pytest.approx(exact, rel=0.1)


def test_of_many_parts_each_has_one_unit_more_as_it_has_alone():
    """Too few units, none and a mean that does not vary among them, and a largest that is there twice."""
    parts = [
        np.array(each, dtype=float) for each in ([], [3, -9, 1, 4, 4], [1, 2], [], [7, 7, 7, -1], [-2, -3, -8], [])
    ]
    variances, ends = np.array([1.0, 10, 5, 1, 0, 3, 2]), np.cumsum([0, *map(len, parts)])
    alone = [beyond_the_largest(units, variance) for units, variance in zip(parts, variances.tolist(), strict=True)]
    assert beyond_the_largest_of_parts(np.concatenate(parts), ends, variances) == alone
    assert alone[1] == (18 + 3, 8 - 3)
    assert [each == (0, 0) for each in alone] == [True, False, True, True, True, False, True]
