"""Intervals of medians hold what they promise, whatever the distribution, the repeats and the kind of feature."""

import math

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.deviation import choose_measure
from nnperm_mlflow.analysis.findings import find
from nnperm_mlflow.analysis.intervals import median_ranks
from nnperm_mlflow.analysis.job import Job
from nnperm_mlflow.analysis.plan import plan_perturbations
from nnperm_mlflow.analysis.shuffling import ShuffleBlock, donor_positions
from nnperm_mlflow.analysis.statistics import summarize
from nnperm_mlflow.config import AnalysisConfig
from tests.plain import PlainPredictor, bound, tallied

N_AUDITS = 2_000
COLUMNS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_t(2, size=n),
    "half": lambda rng, n: (rng.random(n) < 0.5).astype(float),
    "binary": lambda rng, n: (rng.random(n) < 0.3).astype(float),
    "rare": lambda rng, n: (rng.random(n) < 0.02).astype(float),
}


def additive(column, other):
    return column


def depending(column, other):
    return np.exp(other) * column


def probability(column, other):
    return 1 / (1 + np.exp(-2 * column - other))


def shuffled(model, column, other, repeats, seed):
    """Return deviations (n_repeats, n_rows) of a shuffled column, and the donors."""
    block = ShuffleBlock(0, np.arange(len(column)))
    donors = [donor_positions(block, seed, "x", repeat) for repeat in range(repeats)]
    baseline = model(column, other)
    return np.stack([np.abs(model(column[positions], other) - baseline) for positions in donors]), donors


def filled(model, column, other, repeats, seed):
    """Return deviations (n_repeats, n_rows) with everybody set to 1, the same in all repeats; there are no donors."""
    moved = np.abs(model(np.ones_like(column), other) - model(column, other))
    return np.repeat(moved[None], repeats, axis=0), None


def coverage(way, model, draw, n_rows, repeats):
    """Return the share of simulated audits whose interval holds the median of a large population."""
    rng = np.random.default_rng(1)
    column, other = draw(rng, 4_000_000), rng.normal(size=4_000_000)
    disturbed = rng.permutation(column) if way is shuffled else 1.0
    truth, held = np.median(np.abs(model(disturbed, other) - model(column, other))), 0
    for seed in range(N_AUDITS):
        deviations, donors = way(model, draw(rng, n_rows), rng.normal(size=n_rows), repeats, seed)
        ordered = np.sort(deviations, axis=None)
        low, high = median_ranks(deviations, np.median(ordered), donors, n_rows, ordered.size)
        held += ordered[low] <= truth <= ordered[high]
    return held / N_AUDITS


@pytest.mark.parametrize("repeats", [1, 5])
@pytest.mark.parametrize(
    ("way", "model", "column"),
    [
        (shuffled, additive, "normal"),
        (shuffled, depending, "normal"),
        (shuffled, probability, "normal"),
        (shuffled, additive, "heavy tails"),
        (shuffled, depending, "half"),
        (filled, depending, "binary"),
        (filled, depending, "rare"),
    ],
)
def test_intervals_hold_the_median_in_95_of_100_audits(way, model, column, repeats):
    assert 0.93 <= coverage(way, model, COLUMNS[column], 300, repeats) <= 0.97


def test_where_most_rows_keep_their_value_the_median_is_certainly_0():
    """A shuffle of a rare flag changes 4 rows of 100: no interval of the median can miss."""
    assert coverage(shuffled, depending, COLUMNS["rare"], 300, 2) == 1


def test_more_repeats_narrow_an_interval_only_so_far():
    """Repeats of the same rows are no new rows: one of 200 repeats is not far narrower than one of 10."""
    rng = np.random.default_rng(0)
    column, other = rng.normal(size=400), rng.normal(size=400)
    widths = []
    for repeats in (1, 10, 200):
        deviations, donors = shuffled(additive, column, other, repeats, 0)
        low, high = median_ranks(deviations, np.median(deviations), donors, 400, deviations.size)
        ordered = np.sort(deviations, axis=None)
        widths.append(ordered[high] - ordered[low])
    assert widths[0] > widths[1] > 0.5 * widths[0]
    assert widths[2] > 0.75 * widths[1]


@pytest.mark.parametrize("n_rows", [2, 3, 10])
def test_few_rows_give_a_wide_interval_inside_the_data(n_rows):
    deviations, donors = shuffled(additive, np.arange(float(n_rows)), None, 2, 0)
    low, high = median_ranks(deviations, np.median(deviations), donors, n_rows, deviations.size)
    assert 0 <= low <= high <= 2 * n_rows - 1


@pytest.mark.parametrize("block_rows", [17, 1000])
def test_the_summary_of_an_audit_has_the_intervals_of_its_own_rows_and_donors(block_rows, tmp_path):
    rng = np.random.default_rng(3)
    table = pd.DataFrame({"dose": rng.normal(size=101), "sex": (rng.random(101) < 0.5).astype(float)})
    specs, inputs = bound(table, numbers=["dose", "sex"])
    perturbations = plan_perturbations(inputs, "", AnalysisConfig(repeats=3, set={"sex": [1]}))
    predictor = PlainPredictor(specs, lambda given: given["num_input"] @ [2.0, 1.0] + given["num_input"].prod(axis=1))
    job = Job(predictor, inputs, perturbations, choose_measure(None, 1, ()), "", 5, 3)
    summary = find(job, block_rows, tmp_path / "t.parquet", lambda *_: None).summary
    names = ["dose", "sex", "sex=1"]
    written = pd.read_parquet(tmp_path / "t.parquet").sort_values(["repeat", "row"])
    block = ShuffleBlock(0, np.arange(101))
    for name in names:
        found = summary.set_index("perturbation").loc[name]
        deviations = written[name].to_numpy().reshape(3, 101)
        donors = [donor_positions(block, 5, name, repeat) for repeat in range(3)] if name != "sex=1" else None
        low, high = median_ranks(deviations, np.median(deviations.astype(float)), donors, 101, 303)
        ordered = np.sort(deviations, axis=None)
        assert (found["median_low"], found["median_high"]) == (ordered[low], ordered[high])
        assert found["median_low"] <= found["median"] <= found["median_high"]
        spread = np.median(deviations.astype(float), axis=1).std(ddof=1)
        assert found["median_spread"] == pytest.approx(spread, rel=1e-12, abs=1e-15)
    assert summary.set_index("perturbation").loc["sex=1", "median_spread"] == 0


def test_a_summary_that_is_told_nothing_of_it_claims_nothing():
    specs, inputs = bound(pd.DataFrame({"dose": np.arange(5.0)}), numbers=["dose"])
    perturbations = plan_perturbations(inputs, "", AnalysisConfig())
    predictor = PlainPredictor(specs, lambda given: given["num_input"])
    job = Job(predictor, inputs, perturbations, choose_measure(None, 1, ()), "")
    first = summarize(perturbations, tallied(job, 5), lambda number: [], 5).iloc[0]
    assert first[["median_low", "median_high", "median_spread"]].isna().all()


def test_one_repeat_has_an_interval_and_no_spread(tmp_path):
    specs, inputs = bound(pd.DataFrame({"dose": np.arange(50.0)}), numbers=["dose"])
    measure, plan = choose_measure(None, 1, ()), plan_perturbations(inputs, "", AnalysisConfig())
    job = Job(PlainPredictor(specs, lambda given: given["num_input"]), inputs, plan, measure, "")
    row = find(job, 50, tmp_path / "t.parquet", lambda *_: None).summary.iloc[0]
    assert 0 < row["median_low"] < row["median"] < row["median_high"] < row["max"]
    assert math.isnan(row["median_spread"])
