"""Reasons for one row: of additive models they are what each feature adds, the same whatever the seed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from nnperm_mlflow.analysis.engine.decisions import Decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.reasons.observation_reasons import (
    REASON_COLUMNS,
    find_reasons,
    parts_to_explain,
    places,
)
from nnperm_mlflow.analysis.reasons.reference_rows import predict_rows, spaced
from nnperm_mlflow.basics.errors import ConfigError, DataError, NonFinitePredictionError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

N_NUMBERS = 10
NUMBERS = [f"x{place}" for place in range(N_NUMBERS)]


def additive(inputs):
    """A sum of a function of each feature, of weights that go from large to small."""
    return sum(parts_of(inputs).values())


def parts_of(inputs):
    numbers, code, series = inputs["num_input"], inputs["code_input"][:, 0], inputs["temporal_input"]
    parts = {name: np.sin(numbers[:, place]) / (1 + place) for place, name in enumerate(NUMBERS)}
    parts["code"] = np.array([0.0, 0.4, -0.2])[code]
    parts["PAY"] = 0.3 * series[:, :, 0].max(axis=1)
    parts["unused"] = np.zeros(len(numbers))
    return parts


def job_on(n_rows, function=additive, seed=0, **settings):
    rng = np.random.default_rng(3)
    table = pd.DataFrame(rng.normal(size=(n_rows, N_NUMBERS + 1)), columns=[*NUMBERS, "unused"])
    table["code"] = rng.integers(0, 3, n_rows)
    specs, inputs = bound(table, rng.normal(size=(n_rows, 4, 1)), [*NUMBERS, "unused"], ["code"], ["PAY"])
    plan = plan_perturbations(inputs, "", AnalysisConfig(windows=2, groups={"both": ["x0", "x1"]}))
    return Job(PlainPredictor(specs, function), inputs, plan, choose_measure(None, 1, ()), "m", seed=seed, **settings)


def reasons_of(job, row, rows=None):
    rows = np.arange(job.inputs.n_rows) if rows is None else rows
    predictions = predict_rows(job, rows)
    return find_reasons(job, row, spaced(rows, predictions), predictions.mean())


def truth_of(job, row):
    """What each feature adds for a row, less what it adds on average: the interventional Shapley values."""
    parts = parts_of(job.inputs.read(np.arange(job.inputs.n_rows)))
    return {name: part[row] - part.mean() for name, part in parts.items()}


@pytest.fixture(scope="module")
def small():
    return job_on(1_500)


@pytest.fixture(scope="module")
def large():
    return job_on(20_000)


def test_effects_of_an_additive_model_are_what_each_feature_adds_with_all_donors(small):
    found = reasons_of(small, 7)
    assert tuple(found.features.columns) == REASON_COLUMNS
    truth = truth_of(small, 7)
    told = found.features.set_index("feature")["effect"].to_dict()
    assert told == pytest.approx(truth, abs=1e-9)
    assert found.prediction - found.others == pytest.approx(sum(truth.values()), abs=1e-9)
    assert found.features["effect"].is_monotonic_decreasing


@pytest.mark.parametrize(("size", "least"), [("small", 0.99), ("large", 0.9)])
def test_features_are_in_the_order_of_what_they_add(size, least, request):
    """With all donors, and with 2,000 of 20,000 that stand for all; every order of a pair counts in Kendall's tau."""
    job = request.getfixturevalue(size)
    found = []
    for row in range(0, 200, 20):
        told = reasons_of(job, row).features.set_index("feature")["effect"]
        truth = pd.Series(truth_of(job, row))
        found.append(kendalltau(told.drop("unused"), truth[told.index].drop("unused"))[0])
    assert min(found) >= least


def test_reasons_are_the_same_for_every_seed_and_order_of_features(large):
    first = reasons_of(large, 5).features
    pd.testing.assert_frame_equal(reasons_of(replace(large, seed=99), 5).features, first)
    turned = replace(large, perturbations=large.perturbations[::-1])
    again = reasons_of(turned, 5).features.set_index("feature").loc[first["feature"]].reset_index()
    pd.testing.assert_frame_equal(again[["effect", "size"]], first[["effect", "size"]])


def test_what_the_model_does_not_read_has_an_effect_of_exactly_nothing(small):
    (row,) = reasons_of(small, 3).features.query("feature == 'unused'").to_dict("records")
    assert (row["effect"], row["low"], row["high"], row["size"]) == (0, 0, 0, 0)


def test_numbers_are_those_of_the_definition_where_features_interact():
    def product(inputs):
        return inputs["num_input"][:, 0] * inputs["num_input"][:, 1]

    job = job_on(500, product, decision=Decision((0,), 0.5))
    found = reasons_of(job, 11).features.set_index("feature")
    numbers = job.inputs.read(np.arange(500))["num_input"]
    moves = numbers[11, 0] * numbers[11, 1] - numbers[:, 0] * numbers[11, 1]
    assert found.loc["x0", "effect"] == pytest.approx(moves.mean())
    assert found.loc["x0", "size"] == pytest.approx(np.abs(moves).mean())
    other = (numbers[:, 0] * numbers[11, 1] > 0.5) != (numbers[11, 0] * numbers[11, 1] > 0.5)
    assert found.loc["x0", "turned"] == other.mean()
    assert np.isnan(reasons_of(replace(job, decision=None), 11).features["turned"]).all()


def test_each_column_and_channel_is_told_as_a_whole_and_no_window_or_group(small):
    assert sorted(reasons_of(small, 0).features["feature"]) == sorted([*NUMBERS, "unused", "code", "PAY"])


def test_windows_and_groups_are_told_beside_features_each_with_the_values_of_one_donor(small):
    """Of an additive model a group adds what its members add; windows of a maximum add up to no more than the whole."""
    parts = parts_to_explain(small, ["window", "group"])
    assert [part.name for part in parts] == ["PAY steps 1 to 2", "PAY steps 3 to 4", "both"]
    rows = np.arange(1_500)
    predictions = predict_rows(small, rows)
    found = find_reasons(small, 7, spaced(rows, predictions), predictions.mean(), parts)
    pd.testing.assert_frame_equal(found.features, reasons_of(small, 7).features)
    told, truth = found.parts.set_index("feature"), truth_of(small, 7)
    assert told.loc["both", "effect"] == pytest.approx(truth["x0"] + truth["x1"], abs=1e-9)
    series = small.inputs.read(rows)["temporal_input"][:, :, 0]
    given = np.repeat(series[[7]], 1_500, axis=0)
    given[:, 2:] = series[:, 2:]
    moves = 0.3 * (series[7].max() - given.max(axis=1))
    assert told.loc["PAY steps 3 to 4", "effect"] == pytest.approx(moves.mean(), abs=1e-9)
    assert told.loc["PAY steps 3 to 4", "size"] == pytest.approx(np.abs(moves).mean(), abs=1e-9)
    assert told["kind"].to_dict() == {"PAY steps 1 to 2": "window", "PAY steps 3 to 4": "window", "both": "group"}
    assert reasons_of(small, 7).parts is None


def test_windows_or_groups_that_the_audit_does_not_have_are_refused(small):
    alone = replace(small, perturbations=[each for each in small.perturbations if each.feature.kind != "group"])
    with pytest.raises(ConfigError, match="the audit has no groups to give reasons by"):
        parts_to_explain(alone, ["window", "group"])


def test_neighbours_whose_intervals_overlap_share_their_place():
    low, high = np.array([0.9, 0.4, 0.35, -0.1, np.nan]), np.array([1.0, 0.5, 0.45, 0.0, np.nan])
    assert places(low, high) == ["1", "2-3", "2-3", "4-5", "4-5"]  # what is not known is not apart


def test_donors_stand_evenly_over_the_predictions_and_none_is_drawn():
    rows, predictions = np.arange(10_000), np.random.default_rng(0).normal(size=10_000)
    donors = spaced(rows, predictions)
    assert len(donors) == 2_000 == len(set(donors))
    assert (np.diff(donors) > 0).all()
    np.testing.assert_array_equal(np.sort(np.argsort(np.argsort(predictions))[donors] // 5), np.arange(2_000))
    assert spaced(rows[:2_000], predictions[:2_000]).tolist() == list(range(2_000))
    predictions[3] = np.nan
    assert 3 not in spaced(rows[:9], predictions[:9])


def test_intervals_hold_the_effect_beside_all_there_might_be():
    """In 95 of 100 reference groups of 100."""
    held, job = 0, job_on(30_000)
    expected = truth_of(job, 0)["x0"]
    for start in range(0, 30_000, 100):
        found = find_reasons(job, 0, np.arange(start, start + 100), 0.0).features.set_index("feature").loc["x0"]
        held += found["low"] <= expected <= found["high"]
    assert 0.9 * 300 <= held <= 0.99 * 300


def test_rows_that_belong_together_tell_less(small):
    alone = reasons_of(small, 1).features.set_index("feature")
    twice = replace(small, clusters=np.arange(1_500) // 30)
    together = reasons_of(twice, 1).features.set_index("feature").loc[alone.index]
    pd.testing.assert_series_equal(together["effect"], alone["effect"])
    few = reasons_of(replace(small, clusters=np.arange(1_500) // 100), 1).features
    assert few["low"].isna().all()
    assert set(few["place"]) == {"1-13"}


def test_donors_without_a_prediction_are_left_out_or_an_error():
    def roots(inputs):
        with np.errstate(invalid="ignore"):
            return np.sqrt(inputs["num_input"][:, 0] + 2)

    job = job_on(500, roots)
    row = int(np.argmax(job.inputs.read(np.arange(500))["num_input"][:, 0]))
    with pytest.raises(NonFinitePredictionError, match="no number for .* of 500 donors of 'x0'"):
        find_reasons(job, row, np.arange(500), 0.0)
    found = find_reasons(replace(job, skips_missing=True), row, np.arange(500), 0.0).features.set_index("feature")
    numbers = job.inputs.read(np.arange(500))["num_input"][:, 0]
    known = numbers > -2
    assert found.loc["x0", "donors"] == known.sum() < 500
    assert found.loc["x0", "effect"] == pytest.approx((np.sqrt(numbers[row] + 2) - np.sqrt(numbers[known] + 2)).mean())
    with pytest.raises(NonFinitePredictionError, match="gives no number for the row"):
        find_reasons(job, int(np.argmin(numbers)), np.arange(500), 0.0)


def test_what_goes_neither_up_nor_down_is_refused():
    job = job_on(50, lambda inputs: inputs["num_input"][:, :2])
    with pytest.raises(ConfigError, match="which goes neither up nor down"):
        find_reasons(replace(job, measure=choose_measure("l2", 2, ())), 0, np.arange(50), 0.0)


def test_a_row_that_lacks_what_the_model_needs_has_nothing_to_explain():
    job = job_on(50)
    held = job.inputs.read(np.arange(50))
    held["num_input"][4, 0] = np.nan

    class Arrays:
        def __init__(self, array):
            self.array, self.dtype = array, array.dtype

        def take(self, rows, index=()):
            return self.array[rows][(slice(None), *index)]

    inputs = replace(job.inputs, sources={name: Arrays(array) for name, array in held.items()})
    with pytest.raises(DataError, match="lacks something that the model cannot do without"):
        find_reasons(replace(job, inputs=inputs, void_inputs=frozenset(["num_input"])), 4, np.arange(50), 0.0)
