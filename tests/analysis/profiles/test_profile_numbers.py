"""Partial dependence: the mean prediction with everybody's value set, and how sure it is."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import partial_dependence

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.profiles.profile_grids import GRID, check_profiles
from nnperm_mlflow.analysis.profiles.profiles import PROFILE_COLUMNS, find_profiles
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

N_ROWS = 400
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "dose": RNG.normal(size=N_ROWS),
        "age": RNG.normal(size=N_ROWS),
        "flag": RNG.random(N_ROWS) < 0.1,
        "region": RNG.choice([0, 1, 5], N_ROWS, p=[0.2, 0.7, 0.1]),
    }
).astype({"flag": float})
SERIES = RNG.normal(size=(N_ROWS, 3, 1))


def model(inputs):
    dose, age, flag = inputs["num_input"].T
    return np.exp(dose) * (1 + flag) + 3 * age + inputs["region_input"][:, 0] ** 2


def job(n_rows=N_ROWS, output=None, n_outputs=1, function=model):
    specs, inputs = bound(TABLE[:n_rows], SERIES[:n_rows], ["dose", "age", "flag"], ["region"], ["PAY"])
    plan = plan_perturbations(inputs, "", AnalysisConfig())
    return Job(PlainPredictor(specs, function), inputs, plan, choose_measure(output, n_outputs, ()), "", repeats=3)


def expected(column, value):
    changed = TABLE.assign(**{column: value})
    inputs = {"num_input": changed[["dose", "age", "flag"]].to_numpy(), "region_input": changed[["region"]].to_numpy()}
    return model(inputs)


@pytest.mark.parametrize("block_rows", [37, 1000])
def test_means_are_those_of_the_model_with_the_whole_column_set(block_rows):
    found = find_profiles(job(), block_rows, ["dose", "region", "flag"])
    assert tuple(found.columns) == PROFILE_COLUMNS
    for row in found.itertuples():
        predicted = expected(row.feature, row.value)
        assert row.mean == pytest.approx(predicted.mean(), rel=1e-6)
        error = stats.t.ppf(0.975, N_ROWS - 1) * predicted.std(ddof=1) / np.sqrt(N_ROWS)
        assert (row.low, row.high) == pytest.approx((row.mean - error, row.mean + error), rel=1e-5)
        assert row.baseline == pytest.approx(expected("dose", TABLE["dose"]).mean(), rel=1e-6)


def test_grids_are_of_values_that_rows_hold_with_their_shares():
    found = find_profiles(job(), 1000, ["dose", "region", "flag"])
    grids = dict(list(found.groupby("feature", sort=False)))
    assert list(grids) == ["dose", "region", "flag"]
    dose = grids["dose"]
    assert len(dose) == GRID
    assert dose["value"].is_monotonic_increasing
    assert set(dose["value"]) <= set(TABLE["dose"])
    assert dose["share"].tolist() == [(TABLE["dose"] <= value).mean() for value in dose["value"]]
    assert dose["share"].iloc[[0, -1]].tolist() == pytest.approx([0.05, 0.95], abs=0.01)
    assert grids["region"]["value"].tolist() == [0, 1, 5]
    assert grids["region"]["share"].tolist() == [(TABLE["region"] == value).mean() for value in (0, 1, 5)]
    assert grids["region"]["kind"].unique().tolist() == ["category"]
    assert grids["flag"]["value"].tolist() == [0.0, 1.0]
    assert grids["flag"]["share"].tolist() == [(TABLE["flag"] <= value).mean() for value in (0, 1)]


def test_intervals_hold_the_mean_of_all_rows_there_might_be():
    """In 95 of 100 samples; with 300 samples the count lies between 90 and 99 but once in a million."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(300):
        sample = pd.DataFrame({"dose": rng.normal(size=80), "age": rng.exponential(size=80)})
        specs, inputs = bound(sample, numbers=["dose", "age"])
        plan = plan_perturbations(inputs, "", AnalysisConfig(set={"dose": [1.0]}))
        predictor = PlainPredictor(specs, lambda given: given["num_input"][:, 0] + given["num_input"][:, 1])
        found = find_profiles(Job(predictor, inputs, plan, choose_measure(None, 1, ()), ""), 1000, ["dose"])
        row = found.iloc[7]
        held += row["low"] <= row["value"] + 1 <= row["high"]
    assert 0.88 * 300 <= held <= 0.99 * 300


def test_changes_of_single_rows_are_their_centred_ice_curves():
    """As Goldstein et al. define them: each row's curve less what it is at the feature's first value."""
    found = find_profiles(job(), 37, ["dose", "region", "flag"])
    for feature, profile in found.groupby("feature", sort=False):
        first = expected(feature, profile["value"].iloc[0])
        for row in profile.itertuples():
            changes = expected(feature, row.value) - first
            low, high = np.quantile(changes, [0.05, 0.95])
            assert (row.change_q05, row.change_q95) == pytest.approx((low, high), rel=1e-5, abs=1e-6)


def test_a_product_of_two_features_moves_single_rows_and_not_the_mean():
    """Whose partial dependence alone looks like nothing."""
    centred = TABLE.assign(age=TABLE["age"] - TABLE["age"].mean())
    specs, inputs = bound(centred, numbers=["dose", "age"])
    predictor = PlainPredictor(specs, lambda given: given["num_input"].prod(axis=1))
    plan = plan_perturbations(inputs, "", AnalysisConfig())
    found = find_profiles(Job(predictor, inputs, plan, choose_measure(None, 1, ()), ""), 1000, ["dose"])
    assert np.abs(found["mean"]).max() < 1e-6
    assert found["change_q95"].iloc[-1] - found["change_q05"].iloc[-1] > 5


@pytest.mark.slow
def test_means_and_changes_are_those_of_scikit_learn():
    """Partial dependence by brute force, and its curves of single rows."""
    table = TABLE[["dose", "age"]].round(0)
    forest = RandomForestRegressor(n_estimators=20, random_state=0).fit(table.to_numpy(), table.prod(axis=1))
    specs, inputs = bound(table, numbers=["dose", "age"])
    plan = plan_perturbations(inputs, "", AnalysisConfig())
    predictor = PlainPredictor(specs, lambda given: forest.predict(given["num_input"]))
    found = find_profiles(Job(predictor, inputs, plan, choose_measure(None, 1, ()), ""), 1000, ["dose"])
    both = partial_dependence(forest, table.to_numpy(), [0], kind="both", method="brute", grid_resolution=50)
    (values,), (means,), (curves,) = both["grid_values"], both["average"], both["individual"]
    assert found["value"].tolist() == values.tolist()
    np.testing.assert_allclose(found["mean"], means, rtol=1e-6)
    low, high = np.quantile(curves - curves[:, :1], [0.05, 0.95], axis=0)
    np.testing.assert_allclose(found["change_q05"], low, atol=1e-6)
    np.testing.assert_allclose(found["change_q95"], high, atol=1e-6)


def test_what_has_no_mean_or_no_values_is_refused():
    with pytest.raises(ConfigError, match="'PAY' is a series, which has no grid of values"):
        check_profiles(["PAY"], job())
    with pytest.raises(ConfigError, match="the distance 'max' follows several"):
        check_profiles(["dose"], job(output="max", n_outputs=2))
    check_profiles(["dose", "region"], job())
