"""What zero means: a model's own noise is measured, told beside the numbers, and refused where it is chance."""

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature

from nnperm_mlflow import audit
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.self_noise import measure_noise
from nnperm_mlflow.basics.errors import ModelError
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from tests.support.plain import PlainPredictor, bound
from tests.support.python_models import Dice


def noise_of(function, n_rows=50):
    table = pd.DataFrame({"dose": np.random.default_rng(0).normal(size=n_rows)})
    specs, inputs = bound(table, numbers=["dose"])
    return measure_noise(PlainPredictor(specs, function), inputs, choose_measure(None, 1, ()))


def test_a_function_of_each_row_has_none():
    noise = noise_of(lambda inputs: inputs["num_input"][:, 0])
    assert (noise.again, noise.elsewhere, noise.largest, noise.is_random) == (0, 0, 0, False)


def test_chance_shows_in_the_same_rows_predicted_twice():
    rng = np.random.default_rng(1)
    noise = noise_of(lambda inputs: inputs["num_input"][:, 0] + rng.normal(size=len(inputs["num_input"])) / 10)
    assert noise.is_random
    assert 0.1 < noise.again < 1


def test_what_depends_on_the_rows_before_shows_in_the_opposite_order():
    noise = noise_of(lambda inputs: np.cumsum(inputs["num_input"][:, 0]))
    assert (noise.again, noise.is_random) == (0, False)
    assert noise.largest == noise.elsewhere > 1


def test_rounding_from_call_to_call_is_noise_and_not_chance():
    calls = []

    def rounds(inputs):
        calls.append(len(inputs["num_input"]))
        return np.float32(inputs["num_input"][:, 0]) * np.float32(1 + (len(calls) == 2) * 1.2e-7) + np.float32(10)

    noise = noise_of(rounds)
    assert 0 < noise.again < 1e-5
    assert not noise.is_random


def test_a_unit_in_the_last_place_of_half_precision_is_not_chance():
    calls = []

    def rounds(inputs):
        calls.append(1)
        return (1 + 0 * inputs["num_input"][:, 0] + (len(calls) == 2) * 2.0**-10).astype(np.float16)

    noise = noise_of(rounds)
    assert noise.again == 2.0**-10
    assert not noise.is_random


def test_rows_without_a_finite_prediction_are_left_to_the_audit():
    noise = noise_of(lambda inputs: np.where(np.arange(len(inputs["num_input"])) == 3, np.nan, 1.0))
    assert noise.largest == 0


@pytest.fixture
def dice(store):
    """The URI of a logged model that throws dice, and data for it."""
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=["a", "b"])
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(
            name="dice", python_model=Dice(), signature=infer_signature(rows, rows["a"]), pip_requirements=["mlflow"]
        )
    return logged.model_uri, dataset_from(rows)


def test_a_model_that_draws_random_numbers_is_refused_with_the_number(dice):
    uri, data = dice
    with pytest.raises(ModelError, match=r"draws random numbers: the same rows predicted twice differ by up to \d"):
        audit(model_uri=uri, data=data, trust_model=True, isolate=False)


def test_it_is_audited_where_that_is_asked_for_and_the_noise_is_told(dice, tracked):
    uri, data = dice
    result = audit({"analysis": {"random": True}}, model_uri=uri, data=data, trust_model=True, isolate=False)
    metrics = tracked.get_run(result.run_id).data.metrics
    assert metrics["nnperm/self_noise"] > 0.1
    assert metrics["nnperm/unmoved_largest"] >= 0


def test_what_the_model_does_not_use_has_no_measurable_effect(house, tracked, caplog):
    caplog.set_level("INFO")
    result = audit(house.config, model_uri="models:/house/1")
    assert result.summary["measurable"].all()
    assert tracked.get_run(result.run_id).data.metrics["nnperm/self_noise"] < 1e-6
    history = Series(("balance", "payment"), np.zeros_like(house.history), channel_axis=1)
    still = audit(
        {"inputs": {"num_input": ["age", "income", "flag"]}},
        model_uri="models:/house/1",
        data=dataset_from(house.table, {"history": history}),
    )
    silent = still.summary.loc[~still.summary["measurable"], "perturbation"]
    assert sorted(silent) == ["balance", "payment"]
    assert not still.summary.set_index("perturbation")["tested"][["balance", "payment"]].any()
    assert "not tested, since no row's value changed: 'balance', 'payment'" in caplog.text
