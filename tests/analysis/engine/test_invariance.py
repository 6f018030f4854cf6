"""Numbers do not change with the order of features, the size of blocks, the workers, or what else is audited."""

import keras
import numpy as np
import pandas as pd
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.perturbation.strata import stratify
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.bound_inputs import probe_rows
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.models.branches._branch_block import BranchBlock
from nnperm_mlflow.models.keras.network_predictor import keras_predictor
from tests.support.plain import deviations

N_ROWS, N_STEPS = 90, 6
RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "age": RNG.normal(size=N_ROWS),
        "dose": RNG.normal(size=N_ROWS),
        "SEX": RNG.integers(0, 3, N_ROWS),
        "band": RNG.integers(0, 4, N_ROWS),
    }
)
HISTORY = RNG.normal(size=(N_ROWS, N_STEPS, 2))
EVERYTHING = {
    "repeats": 2,
    "windows": 3,
    "order": True,
    "groups": {"both": ["dose", "PAY"]},
    "set": {"SEX": "all", "dose": [0.5]},
    "rare_below": 0.0,
}


def sample(draw_from):
    return st.lists(st.sampled_from(draw_from), unique=True, max_size=len(draw_from) - 1)


def bound_in(order):
    """Bind the numbers of the table in an order; the model below finds them by name."""
    from nnperm_mlflow.inputs.specs import InputSpec

    specs = [
        InputSpec("num_input", (len(order),), np.dtype("float64")),
        InputSpec("SEX_input", (1,), np.dtype("int64")),
        InputSpec("temporal_input", (N_STEPS, 2), np.dtype("float64")),
    ]
    data = dataset_from(TABLE, {"history": Series(("PAY", "BILL"), HISTORY, channel_axis=2)})
    return specs, bind_inputs(specs, data, {"num_input": list(order), "SEX_input": "SEX"})


def model_of(order):
    places = [list(order).index(name) for name in ("age", "dose")]

    def predict(inputs):
        age, dose = (inputs["num_input"][:, place] for place in places)
        temporal = np.tanh(inputs["temporal_input"])
        score = age * 0.3 + dose * inputs["SEX_input"][:, 0] + temporal[:, 1, 0] - temporal[:, 4, 1] * dose
        return np.tanh(score + temporal[:, 2:, 0].max(axis=1))

    return predict


EXPECTED = deviations(model_of(["age", "dose"]), bound_in(["age", "dose"]), **EVERYTHING)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    order=st.permutations(["age", "dose"]),
    block_rows=st.integers(1, 2 * N_ROWS),
    excluded=sample(["age", "dose", "SEX", "PAY", "BILL", "PAY steps 3 to 4"]),
    windows=st.sampled_from([3, None]),
    reordered=st.sampled_from([True, False, ["BILL"]]),
    grouped=st.booleans(),
    values=st.sampled_from([{}, {"SEX": [1]}, {"SEX": "all", "dose": [0.5]}]),
    repeats=st.integers(1, 3),
)
def test_a_perturbation_s_deviations_are_its_own(  # noqa: PLR0917
    order, block_rows, excluded, windows, reordered, grouped, values, repeats
):
    assume({"age", "dose", "SEX", "PAY", "BILL"} - set(excluded))
    if windows is None or "PAY" in excluded:
        excluded = [name for name in excluded if "steps" not in name]
    if "BILL" in excluded and isinstance(reordered, list):
        reordered = False
    asked = {"windows": windows, "order": reordered, "exclude": excluded, "rare_below": 0.0, "repeats": repeats}
    asked["set"] = {name: value for name, value in values.items() if name not in excluded}
    asked["groups"] = EVERYTHING["groups"] if grouped and not {"dose", "PAY"} & set(excluded) else {}
    found = deviations(model_of(order), bound_in(order), block_rows, **asked)
    assert found
    both = min(2, repeats) * N_ROWS
    for name, values_of in found.items():
        np.testing.assert_array_equal(values_of[:both], EXPECTED[name][:both], err_msg=name)


def network():
    keras.utils.set_random_seed(0)
    given_ = [
        keras.Input((2,), name="num_input"),
        keras.Input((1,), name="SEX_input", dtype="int32"),
        keras.Input((N_STEPS, 2), name="temporal_input"),
    ]
    code = keras.layers.Flatten()(keras.layers.Embedding(3, 2)(given_[1]))
    joined = keras.layers.Concatenate()([given_[0], code, keras.layers.LSTM(4)(given_[2])])
    return keras.Model(given_, keras.layers.Dense(1, activation="sigmoid")(keras.layers.Dense(8, "relu")(joined)))


def network_deviations(block_rows, monkeypatch=None, workers=None, within=()):
    predictor = keras_predictor(network())
    data = dataset_from(TABLE, {"history": Series(("PAY", "BILL"), HISTORY, channel_axis=2)})
    inputs = bind_inputs(predictor.inputs, data, {"num_input": ["age", "dose"]})
    if workers is not None:
        monkeypatch.setattr(BranchBlock, "workers", workers)
    fitted = predictor.fitted(inputs.read(probe_rows(N_ROWS)))
    plan = plan_perturbations(inputs, "", AnalysisConfig(**EVERYTHING))
    strata = stratify(list(within), {name: TABLE[name].to_numpy() for name in TABLE})
    job = Job(fitted, inputs, plan, choose_measure(None, 1, ()), "", 0, 2, strata=strata)
    results = list(run_blocks(job, block_rows))
    found = np.concatenate([result.deviations for result in results], axis=2)
    return {done.name: found[:, number] for number, done in enumerate(plan)}


def test_a_network_s_deviations_are_the_same_in_one_block_and_in_many_up_to_rounding():
    whole, cut = network_deviations(1000), network_deviations(31)
    for name, values in whole.items():
        assert values.any(), name
        np.testing.assert_allclose(cut[name], values, rtol=0, atol=1e-6, err_msg=name)


def test_neither_do_workers_change_a_bit_nor_strata_a_set_value(monkeypatch):
    several = network_deviations(31)
    alone = network_deviations(31, monkeypatch, workers=0)
    for name, values in several.items():
        np.testing.assert_array_equal(alone[name], values, err_msg=name)
    inside = network_deviations(31, within=["band"])
    np.testing.assert_array_equal(inside["SEX=1"], several["SEX=1"])
    assert not np.array_equal(inside["dose"], several["dose"])
