"""Donors inside strata: no row is its own where another one can be, and a permutation test still has its shuffles."""

from math import factorial, prod

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

import nnperm_mlflow.analysis.perturbation.donors as shuffling
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.perturbation.donors import (
    ShuffleBlock,
    cycle_positions,
    donor_positions,
    other_positions,
)
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.perturbation.strata import stratify
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

STRATA = np.array([1, 0, 1, 1, 2, 0, 1])  # of 2, 4 and 1 rows


def block_of(n_rows, number=0):
    return ShuffleBlock(number, np.arange(n_rows))


def cycle_lengths(donors):
    """Return for each row how many steps along the donors lead back to it."""
    found = []
    for start in range(len(donors)):
        row, steps = donors[start], 1
        while row != start:
            row, steps = donors[row], steps + 1
        found.append(steps)
    return np.array(found)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=0, max_size=60), st.integers(0, 2**63 - 1))
def test_donors_go_once_round_each_stratum(strata, seed):
    """So the column is exactly permuted in each, and no row keeps its value but one that is alone."""
    strata = np.array(strata, dtype=int)
    donors = cycle_positions(block_of(len(strata)), seed, "dose", 0, strata)
    np.testing.assert_array_equal(strata[donors], strata)
    sizes = np.bincount(strata, minlength=6)[strata]
    np.testing.assert_array_equal(cycle_lengths(donors.astype(int)), sizes)


def test_all_cycles_come_equally_often():
    found = [tuple(cycle_positions(block_of(7), seed, "dose", 0, STRATA).tolist()) for seed in range(3000)]
    counts = pd.Series(found).value_counts()
    assert len(counts) == prod(factorial(size - 1) for size in (2, 4, 1))
    assert chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize("other", [(1, "dose", 0, 0), (0, "age", 0, 0), (0, "dose", 1, 0), (0, "dose", 0, 1)])
def test_each_key_draws_a_cycle_of_its_own(other):
    strata = np.zeros(1000, dtype=int)
    (seed, feature, repeat, number), block = other, block_of(1000)
    donors = cycle_positions(block_of(1000, number), seed, feature, repeat, strata)
    assert np.mean(donors == cycle_positions(block, 0, "dose", 0, strata)) < 0.01


def test_the_donors_of_a_test_are_its_permutation_but_for_rows_that_would_keep_their_value():
    """These receive each other row's value with the same probability; one that is alone keeps its own."""
    counts = np.zeros((7, 7))
    for seed in range(4000):
        donors = other_positions(block_of(7), seed, "dose", 0, STRATA)
        permuted = donor_positions(block_of(7), seed, "dose", 0, STRATA)
        kept = permuted == np.arange(7)
        np.testing.assert_array_equal(donors[~kept], permuted[~kept])
        counts[np.arange(7), donors] += 1
    for row, stratum in enumerate(STRATA):
        others = np.flatnonzero((stratum == STRATA) & (np.arange(7) != row))
        assert counts[row, others].sum() == (4000 if len(others) else 0)
        assert len(others) < 2 or chisquare(counts[row, others]).pvalue > 0.001
    assert counts[4, 4] == 4000


@pytest.mark.parametrize("tests", [False, True])
def test_deviations_of_several_shuffle_blocks_do_not_depend_on_the_size_of_blocks(tests, monkeypatch):
    monkeypatch.setattr(shuffling, "SHUFFLE_BLOCK_ROWS", 500)
    one, two = (audited(12, tests=tests, block_rows=block_rows)[0] for block_rows in (37, 1000))
    np.testing.assert_array_equal(one, two)
    assert (one > 0).all()  # no row of a stratum of twelve has lost the others to another block


def audited(size, *, tests, n_rows=2400, repeats=2, block_rows=500):
    """Return the deviations of a model x among rows of strata of one size, and the mean over all pairs inside them."""
    rng = np.random.default_rng(size)
    table = pd.DataFrame({"town": np.repeat(np.arange(n_rows // size), size), "x": rng.normal(size=n_rows)})
    table = table.sample(frac=1, random_state=0, ignore_index=True)
    specs, inputs = bound(table, numbers=["x"])
    perturbations = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0.0))
    predictor = PlainPredictor(specs, lambda given: given["num_input"][:, 0])
    strata = stratify(["town"], {"town": table["town"].to_numpy()})
    measure = choose_measure(None, 1, ())
    job = Job(predictor, inputs, perturbations, measure, "", 3, repeats, strata=strata, tests=tests)
    found = np.concatenate([result.deviations for result in run_blocks(job, block_rows)], axis=2)[:, 0]
    towns = table.groupby("town")["x"].apply(lambda x: np.abs(np.subtract.outer(x.to_numpy(), x.to_numpy())).sum())
    return found, towns.sum() / (n_rows * (size - 1))


@pytest.mark.parametrize("tests", [False, True])
@pytest.mark.parametrize("size", [2, 5, 12])
def test_the_mean_deviation_is_that_of_all_pairs_of_different_rows_in_a_stratum(size, tests):
    """With rows as their own donors it would be too small by 1/m: 50, 20 and 8 %, far beyond what chance may do."""
    found, truth = audited(size, tests=tests, repeats=8)
    assert found.mean() == pytest.approx(truth, rel=0.015)
    assert (found > 0).all()


@pytest.mark.parametrize("tests", [False, True])
def test_rows_that_are_alone_are_left_out_and_dilute_nothing(tests):
    """Where 1,900 of 2,000 rows have no donor, the other 100 alone tell how far predictions move."""
    rng = np.random.default_rng(0)
    band = np.r_[np.zeros(100, dtype=int), np.arange(1, 1_901)]
    table = pd.DataFrame({"dose": rng.normal(size=2_000), "band": band})
    specs, inputs = bound(table, numbers=["dose", "band"])
    plan = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0))
    job = Job(
        PlainPredictor(specs, lambda given: given["num_input"] @ [1.0, 0.0]), inputs, plan,
        choose_measure(None, 1, ()), "", strata=stratify(["band"], {"band": band}, set()), tests=tests,
    )  # fmt: skip
    (block,) = run_blocks(job, 2_000)
    dose, itself = block.deviations[0]
    pairs = np.abs(table["dose"].to_numpy()[:100, None] - table["dose"].to_numpy()[:100])
    assert np.isnan(dose[100:]).all()
    assert np.isfinite(dose[:100]).all()
    assert (dose[:100] > 0).all()
    assert dose[:100].mean() == pytest.approx(pairs.sum() / (100 * 99), rel=0.25)
    assert np.isfinite(itself).all()  # the column of the strata itself is shuffled among all rows
