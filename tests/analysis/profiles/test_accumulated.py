"""Accumulated local effects: what the published estimate gives, how sure they are, and of what they are told."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.profiles.accumulated import EFFECT_COLUMNS, find_effects
from nnperm_mlflow.analysis.profiles.profile_grids import GRID
from nnperm_mlflow.analysis.profiles.value_intervals import accumulated_features
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

N_ROWS = 300
RNG = np.random.default_rng(2)
TABLE = pd.DataFrame(
    {"dose": RNG.normal(size=N_ROWS), "age": RNG.integers(20, 60, N_ROWS), "region": RNG.integers(0, 3, N_ROWS)}
)
TABLE["dose"] += TABLE["age"] / 20  # that go together
SERIES = RNG.normal(size=(N_ROWS, 4, 2)).cumsum(axis=1)


def model(numbers, series):
    return np.sin(numbers[:, 0]) * numbers[:, 1] / 10 + series[:, 2:, 0].mean(axis=1) ** 2 + series[:, 0, 1]


def job_on(table=TABLE, series=SERIES, *, function=model, clusters=None, n_outputs=1, output=None):
    specs, inputs = bound(table, series, ["dose", "age"], ["region"], ["PAY", "BILL"])
    plan = plan_perturbations(inputs, "", AnalysisConfig(windows=2))
    predictor = PlainPredictor(specs, lambda given: function(given["num_input"], given["temporal_input"]))
    return Job(predictor, inputs, plan, choose_measure(output, n_outputs, ()), "", clusters=clusters)


def effects(names=(), block_rows=1000, **case):
    job = job_on(**case)
    return find_effects(job, block_rows, accumulated_features(job, list(names)))


def plainly(levels, edges, predict):
    """The estimate of Apley and Zhu (2020), row by row: `predict(row, level)` moves one row."""
    place = [max(1, int(np.searchsorted(edges, level))) for level in levels]
    g = [0.0]
    for k in range(1, len(edges)):
        inside = [row for row in range(len(levels)) if place[row] == k]
        g.append(g[-1] + np.mean([predict(row, edges[k]) - predict(row, edges[k - 1]) for row in inside]))
    centre = np.mean([g[place[row]] for row in range(len(levels))])
    return np.array(g) - centre


@pytest.mark.parametrize("block_rows", [64, 1000])
def test_effects_of_a_number_are_those_of_the_published_estimate(block_rows):
    found = effects(["dose"], block_rows)
    assert tuple(found.columns) == EFFECT_COLUMNS
    numbers = TABLE[["dose", "age"]].to_numpy(dtype=float)
    edges = np.unique(np.quantile(TABLE["dose"], np.linspace(0, 1, GRID + 1), method="inverted_cdf"))

    def predict(row, level):
        return model(np.array([[level, numbers[row, 1]]]), SERIES[[row]])[0]

    np.testing.assert_allclose(found["value"], edges)
    np.testing.assert_allclose(found["effect"], plainly(numbers[:, 0], edges, predict), atol=1e-6)
    assert found["rows"].sum() == N_ROWS
    assert found["share"].tolist() == [(TABLE["dose"] <= edge).mean() for edge in edges]


def test_effects_of_a_window_move_its_level_and_keep_its_shape():
    found = effects(["PAY steps 3 to 4"])
    levels = SERIES[:, 2:, 0].mean(axis=1)
    edges = np.unique(np.quantile(levels, np.linspace(0, 1, GRID + 1), method="inverted_cdf"))

    def predict(row, level):
        series = SERIES[[row]].copy()
        series[:, 2:, 0] += level - levels[row]
        return model(TABLE[["dose", "age"]].to_numpy(dtype=float)[[row]], series)[0]

    np.testing.assert_allclose(found["value"], edges)
    np.testing.assert_allclose(found["effect"], plainly(levels, edges, predict), atol=1e-5)


def test_what_the_model_does_not_read_has_no_effect():
    found = effects(["BILL steps 3 to 4", "PAY steps 1 to 2"])
    assert found["effect"].tolist() == found["low"].tolist() == found["high"].tolist() == [0] * len(found)


def test_a_feature_that_goes_with_another_gets_only_its_own_effect():
    """Where partial dependence asks for rows that there are not: of two copies one is read, and beyond lies a cliff."""
    own = RNG.normal(size=N_ROWS)
    table = TABLE.assign(dose=own, age=own + RNG.normal(scale=0.01, size=N_ROWS))

    def cliff(numbers, _):
        return numbers[:, 0] + 100 * (np.abs(numbers[:, 0] - numbers[:, 1]) > 2.5)

    found = effects(["dose"], table=table, function=cliff)
    np.testing.assert_allclose(np.diff(found["effect"]), np.diff(found["value"]), atol=1e-5)


def test_by_itself_it_tells_of_all_numbers_and_windows():
    told = dict(effects().groupby("feature", sort=False)["kind"].first())
    windows = [f"{channel} steps {steps}" for channel in ("PAY", "BILL") for steps in ("1 to 2", "3 to 4")]
    assert told == {"dose": "number", "age": "number", **dict.fromkeys(windows, "window")}


def test_a_feature_of_one_value_has_no_effect_to_tell():
    assert "dose" not in effects(table=TABLE.assign(dose=1.0))["feature"].tolist()


def test_what_has_no_order_of_values_is_refused():
    with pytest.raises(ConfigError, match="'region' is a category, along whose values nothing goes up or down"):
        effects(["region"])
    with pytest.raises(ConfigError, match="the distance 'max' follows several"):
        effects(["dose"], n_outputs=2, output="max")


@pytest.mark.parametrize("of_clusters", [False, True])
def test_intervals_hold_the_effect_of_all_rows_there_might_be(of_clusters):
    """x y with y about 1: its effect is x, as far as the centre; told at the same ends of intervals."""
    rng, held = np.random.default_rng(1), []
    for _ in range(150):
        own = np.repeat(rng.normal(size=100), 2) if of_clusters else rng.normal(size=200)
        factor = np.repeat(rng.exponential(size=100), 2) if of_clusters else rng.exponential(size=200)
        table = pd.DataFrame({"dose": own, "age": factor, "region": 0})
        clusters = np.repeat(np.arange(100), 2) if of_clusters else None
        series = np.zeros((200, 4, 2))
        found = effects(["dose"], table=table, series=series, function=lambda n, _: n.prod(axis=1), clusters=clusters)
        middle = found.iloc[len(found) // 2]
        ends = found["value"].to_numpy()
        truth = ends[len(found) // 2] - centre_of(ends)
        held.append(middle["low"] <= truth <= middle["high"])
    assert 0.88 <= np.mean(held) <= 0.995


def centre_of(ends):
    """Return the mean of the upper end over a standard normal that is cut at `ends`."""
    chances = np.diff(norm.cdf([-np.inf, *ends[1:-1], np.inf]))
    return float(chances @ ends[1:])
