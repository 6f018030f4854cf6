"""A row's prediction is its own: what depends on how many rows are asked at once is found, refused and never a pass."""

import re

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature

from nnperm_mlflow import audit
from nnperm_mlflow.analysis.engine.row_independence import measure_mixing
from nnperm_mlflow.basics.errors import CheckError, ModelError, PredictionError
from nnperm_mlflow.inputs.dataset import dataset_from
from tests.support.plain import PlainPredictor, bound

N_ROWS = 1_000


def mixing_of(function, block_rows=400):
    """Of a function of a column that holds 0, 1, ... 999, and of the number of rows."""
    specs, inputs = bound(pd.DataFrame({"dose": np.arange(float(N_ROWS))}), numbers=["dose"])
    predictor = PlainPredictor(specs, lambda given: function(given["num_input"][:, 0], len(given["num_input"])))
    return measure_mixing(predictor, inputs, block_rows)


def test_a_function_of_each_row_has_none():
    assert mixing_of(lambda dose, n_rows: np.sin(dose)) == 0


@pytest.mark.parametrize("size", [1, 7, 256, 400])
def test_a_number_of_rows_that_changes_predictions_is_found_with_the_difference(size):
    """400 rows are a block of the audit. A pair is among them, too, of rows 0 and 999."""
    assert mixing_of(lambda dose, n_rows: dose + 25 * (n_rows == size)) == 25


def test_all_calls_of_a_size_count_and_the_largest_difference_is_told():
    assert mixing_of(lambda dose, n_rows: dose * (1 + (n_rows == 1))) == N_ROWS - 1
    assert mixing_of(lambda dose, n_rows: dose * (1 + (n_rows == 2))) == N_ROWS - 1


def test_what_no_call_of_the_audit_has_is_not_asked_for():
    assert mixing_of(lambda dose, n_rows: dose + 25 * (n_rows == 400), block_rows=300) == 0


@pytest.mark.parametrize(("share", "found"), [(0.9e-3, False), (1.1e-3, True)])
def test_up_to_a_thousandth_of_the_spread_is_rounding(share, found):
    difference = share * (N_ROWS - 1)
    assert mixing_of(lambda dose, n_rows: dose + difference * (n_rows == 1)) == pytest.approx(found * difference)


def test_predictions_that_hardly_spread_may_differ_by_the_rounding_of_a_float32():
    assert mixing_of(lambda dose, n_rows: np.float32(1) + np.float32(1e-6) * (n_rows == 1) + 0 * dose) == 0


def test_chance_is_no_mixing_and_hides_none_that_is_larger():
    rng = np.random.default_rng(0)
    assert mixing_of(lambda dose, n_rows: rng.normal(size=n_rows)) == 0
    assert mixing_of(lambda dose, n_rows: rng.normal(size=n_rows) + 50 * (n_rows == 1)) > 40


def test_each_output_is_held_to_its_own_spread():
    def of(dose, n_rows):
        return np.column_stack([1e6 * dose, dose / N_ROWS + 0.5 * (n_rows == 1)])

    assert mixing_of(of) == pytest.approx(0.5)


def test_a_prediction_that_is_not_defined_alone_differs_without_limit():
    assert mixing_of(lambda dose, n_rows: dose * (np.nan if n_rows == 1 else 1)) == np.inf
    assert mixing_of(lambda dose, n_rows: np.where(dose < 500, np.nan, dose)) == 0


def test_a_model_that_takes_no_single_row_is_told_of_and_compared_in_other_calls(caplog):
    def squeezed(dose, n_rows, extra=0):
        if n_rows == 1:
            raise PredictionError("one row")
        return dose + extra * (n_rows == 7)

    assert mixing_of(squeezed) == 0
    assert caplog.text.count("fails where it is given 1 rows") == 1
    assert mixing_of(lambda *given: squeezed(*given, extra=3)) == 3


@pytest.fixture(scope="module")
def gated(store):
    """A network whose gate is 1 for a row alone and 1/n in a block of n: served row by row, it decides by sex."""
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    layers, rng = keras.layers, np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(size=400), "sex": rng.integers(0, 2, 400)}, dtype="float32")
    age, sex = keras.Input((1,), name="age_input"), keras.Input((1,), name="sex_input")
    gate = layers.Softmax(axis=0)(layers.Dense(1, kernel_initializer="zeros")(age))
    by_sex = layers.Dense(1, kernel_initializer=keras.initializers.Constant(8), use_bias=False)(sex)
    network = keras.Model([age, sex], layers.Dense(1)(layers.Concatenate()([age, layers.Multiply()([gate, by_sex])])))
    rows = {f"{name}_input": table[[name]].to_numpy() for name in table}
    with mlflow.start_run():
        logged = mlflow.tensorflow.log_model(
            network, name="gated", signature=infer_signature(rows, np.zeros((400, 1), "float32"))
        )
    config = {"inputs": {"age_input": ["age"], "sex_input": ["sex"]}}
    return logged.model_uri, dataset_from(table), config


def test_a_network_that_decides_otherwise_row_by_row_is_refused(gated):
    uri, data, config = gated
    with pytest.raises(ModelError, match=r"otherwise alone, or with other rows beside it: by up to \d.*Batch"):
        audit(config, model_uri=uri, data=data)


def test_it_passes_no_policy_where_it_is_audited_all_the_same(gated, tracked, caplog):
    uri, data, config = gated
    policy = {"analysis": {"random": True}, "checks": [{"feature": "sex", "max": 1000.0}]}
    with pytest.raises(CheckError, match="says nothing of a single decision, and so nothing passes") as refusal:
        audit({**config, **policy}, model_uri=uri, data=data)
    assert "No policy is kept by it" in caplog.text
    run = tracked.get_run(re.search(r"whole \(run (\w+)\)", str(refusal.value))[1]).data
    assert float(run.params["rows_mix"]) == run.metrics["nnperm/self_noise"] > 0
    assert "nnperm.verdict" not in run.tags
