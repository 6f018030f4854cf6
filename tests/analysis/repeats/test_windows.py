"""When a temporal channel matters, and whether the order of its steps does."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, step_orders
from nnperm_mlflow.analysis.perturbation.kinds import Reorder, Shuffle
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.statistics.summary import window_table
from nnperm_mlflow.basics.errors import ConfigError, UnknownFeatureError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.specs import InputSpec
from tests.support.plain import PlainPredictor, bound, deviations, run

N_ROWS, N_STEPS, CHANNELS = 60, 12, ["PAY", "BILL"]
HISTORY = np.random.default_rng(0).normal(size=(N_ROWS, N_STEPS, 2))


def bind(history=HISTORY):
    return bound(None, history, channels=CHANNELS)


def planned(bindings=None, **analysis):
    return plan_perturbations((bindings or bind())[1], "models:/credit/1", AnalysisConfig(**analysis))


def names(**analysis):
    return [perturbation.name for perturbation in planned(**analysis)]


def reading(channel, first, last):
    """Return a model that reads a channel at steps `first` to `last`, from 1, and nothing else."""
    weights = np.arange(1, last - first + 2)
    return lambda inputs: np.tanh(inputs["temporal_input"][:, first - 1 : last, channel]) @ weights


# Truth 15


@settings(max_examples=60, deadline=None)
@given(
    first=st.integers(1, N_STEPS),
    more=st.integers(0, N_STEPS - 1),
    channel=st.integers(0, 1),
    n=st.integers(1, N_STEPS),
)
def test_exactly_the_windows_that_the_model_reads_have_deviations(first, more, channel, n):
    last = min(N_STEPS, first + more)
    found = deviations(reading(channel, first, last), bind(), windows=n)
    edges = [number * N_STEPS // n for number in range(n + 1)]
    for number in range(n):
        for place, name in enumerate(CHANNELS):
            start, end = edges[number] + 1, edges[number + 1]
            steps = f"step {start}" if start == end else f"steps {start} to {end}"
            meets = place == channel and start <= last and first <= end
            assert bool(found[f"{name} {steps}"].any()) == meets, (name, steps)


def test_named_windows_may_overlap_and_leave_steps_out():
    found = deviations(reading(0, 5, 6), bind(), windows={"early": [1, 5], "late": [6, 12], "end": [11, 12]})
    assert {name for name, values in found.items() if values.any()} == {"PAY", "PAY early", "PAY late"}


def test_a_window_moves_its_steps_together_and_no_others():
    _, _, predictor, plan = run(reading(0, 1, N_STEPS), bind(), windows={"middle": [4, 6]}, seed=3)
    before = predictor.seen[0]["temporal_input"]
    (number,) = [number for number, done in enumerate(plan) if done.name == "PAY middle"]
    after = predictor.seen[1 + number]["temporal_input"]
    others = np.delete(np.arange(N_STEPS), [3, 4, 5])
    np.testing.assert_array_equal(after[:, others], before[:, others])
    np.testing.assert_array_equal(after[:, :, 1], before[:, :, 1])
    whole = {tuple(row) for row in before[:, 3:6, 0]}
    assert all(tuple(row) in whole for row in after[:, 3:6, 0])
    assert (after[:, 3:6, 0] != before[:, 3:6, 0]).any(axis=1).mean() > 0.8


def test_one_window_of_all_steps_is_not_the_whole_series_but_has_donors_of_its_own():
    found = deviations(reading(0, 1, N_STEPS), bind(), windows=1)
    assert found["PAY steps 1 to 12"].any()
    assert not np.array_equal(found["PAY steps 1 to 12"], found["PAY"])


@pytest.mark.parametrize("channel_axis", [1, 2])
def test_windows_are_of_steps_wherever_the_model_has_its_channels(channel_axis):
    history = HISTORY[:, :5] if channel_axis == 2 else np.moveaxis(HISTORY[:, :5], 1, 2)
    specs = [InputSpec("temporal_input", history.shape[1:], np.dtype("float64"))]
    series = Series(("PAY", "BILL"), history, channel_axis=channel_axis)
    bindings = specs, bind_inputs(specs, dataset_from(None, {"history": series}), {})

    def reads_step_4_of_bill(inputs):
        given = inputs["temporal_input"]
        return given[:, 3, 1] if channel_axis == 2 else given[:, 1, 3]

    found = deviations(reads_step_4_of_bill, bindings, windows=5, order=True)
    assert {name for name, values in found.items() if values.any()} == {"BILL", "BILL step 4", "BILL order"}


def test_windows_of_a_history_made_of_columns_and_of_a_single_series():
    table = pd.DataFrame({f"PAY_{step}": HISTORY[:, step, 0] for step in range(4)})
    specs = [InputSpec("temporal_input", (4, 1), np.dtype("float64"))]
    series = Series(("PAY",), columns={"PAY": tuple(table.columns)})
    of_columns = specs, bind_inputs(specs, dataset_from(table, {"history": series}), {})
    found = deviations(lambda inputs: inputs["temporal_input"][:, 2, 0], of_columns, windows=2)
    assert {name for name, values in found.items() if values.any()} == {"PAY", "PAY steps 3 to 4"}
    specs = [InputSpec("temporal_input", (4,), np.dtype("float64"))]
    flat = specs, bind_inputs(specs, dataset_from(None, {"history": Series(("PAY",), HISTORY[:, :4, 0])}), {})
    found = deviations(lambda inputs: inputs["temporal_input"][:, 2], flat, windows=2)
    assert {name for name, values in found.items() if values.any()} == {"PAY", "PAY steps 3 to 4"}


def test_a_window_is_a_feature_that_can_be_grouped_left_out_and_set():
    recent = {"windows": {"recent": [10, 12]}}
    assert names(**recent) == ["PAY", "PAY recent", "BILL", "BILL recent"]
    assert names(**recent, exclude=["PAY recent"]) == ["PAY", "BILL", "BILL recent"]
    assert names(**recent, exclude=["PAY"]) == ["BILL", "BILL recent"]
    both = {"groups": {"all recent": ["PAY recent", "BILL recent"]}}
    function = reading(0, 10, 12)
    found = deviations(lambda inputs: function(inputs) - reading(1, 10, 12)(inputs), bind(), **recent, **both)
    assert found["all recent"].any()
    equal = HISTORY.copy()
    equal[:, :, 1] = equal[:, :, 0]
    found = deviations(lambda inputs: function(inputs) - reading(1, 10, 12)(inputs), bind(equal), **recent, **both)
    assert not found["all recent"].any()
    found = deviations(function, bind(), **recent, set={"PAY recent": [0]})
    np.testing.assert_allclose(found["PAY recent=0"], np.abs(function({"temporal_input": HISTORY})), rtol=1e-6)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (13, "'PAY' has 12 steps, too few for 13 windows"),
        ({"late": [10, 13]}, "'late' is steps 10 to 13, but 'PAY' has 12 steps"),
    ],
)
def test_windows_beyond_a_series_are_refused(windows, message):
    with pytest.raises(ConfigError, match=message):
        planned(windows=windows)


def test_the_heat_map_s_table_has_each_channel_and_window_with_its_steps(tmp_path):
    specs, inputs = bind()
    plan = planned(windows={"early": [1, 5], "late": [6, 12]}, order=True)
    job = Job(PlainPredictor(specs, reading(1, 2, 3)), inputs, plan, choose_measure(None, 1, ()), "")
    summary = find(job, 25, tmp_path / "t.parquet", lambda *_: None).summary
    table = window_table(plan, summary)
    assert table[["channel", "window", "first", "last"]].values.tolist() == [
        ["PAY", "early", 1, 5],
        ["PAY", "late", 6, 12],
        ["BILL", "early", 1, 5],
        ["BILL", "late", 6, 12],
    ]
    known = summary.set_index("perturbation")
    assert table["median"].tolist() == [0, 0, known.loc["BILL early", "median"], 0]
    assert table["mean"][2] == known.loc["BILL early", "mean"] > 0
    assert window_table(planned(), summary) is None


# The order of steps


def test_what_adds_steps_up_has_no_order_and_what_weighs_them_has_one():
    found = deviations(lambda inputs: np.sort(inputs["temporal_input"][:, :, 0]).sum(axis=1), bind(), order=True)
    assert not found["PAY order"].any()
    assert found["PAY"].any()
    found = deviations(reading(0, 1, N_STEPS), bind(), order=True)
    assert found["PAY order"].any()
    assert not found["BILL order"].any()


def test_each_row_keeps_its_own_values_in_an_order_of_its_own():
    _, moved, predictor, plan = run(reading(0, 1, N_STEPS), bind(), order=["PAY"], seed=2)
    assert [done.name for done in plan] == ["PAY", "PAY order", "BILL"]
    before, after = (predictor.seen[number]["temporal_input"] for number in (0, 2))
    np.testing.assert_array_equal(np.sort(after[:, :, 0], axis=1), np.sort(before[:, :, 0], axis=1))
    np.testing.assert_array_equal(after[:, :, 1], before[:, :, 1])
    ranks = [np.argsort(np.argsort(given[:, :, 0])) for given in (before, after)]
    orders = {tuple(new[np.argsort(old)]) for old, new in zip(*ranks, strict=True)}
    assert len(orders) > 0.9 * N_ROWS
    np.testing.assert_array_equal(moved["PAY order"], (after[:, :, 0] != before[:, :, 0]).any(axis=1))


def test_orders_are_uniform_keyed_and_the_same_however_rows_are_cut():
    block = ShuffleBlock(0, np.arange(6000))
    whole = step_orders(block, slice(0, 6000), 1, "PAY", 0, n_steps=3)
    counted = np.unique(whole, axis=0, return_counts=True)[1]
    assert len(counted) == 6
    assert np.abs(counted - 1000).max() < 5 * np.sqrt(1000 * 5 / 6)
    for size in (1, 100, 256, 1000):
        starts = range(0, 6000, size) if size > 1 else [0, 255, 256, 5999]
        for start in starts:
            part = slice(start, min(start + size, 6000))
            np.testing.assert_array_equal(step_orders(block, part, 1, "PAY", 0, n_steps=3), whole[part])
    others = [(2, "PAY", 0), (1, "BILL", 0), (1, "PAY", 1)]
    assert all(not np.array_equal(step_orders(block, slice(0, 6000), *key, n_steps=3), whole) for key in others)


def test_only_a_series_has_an_order():
    _, inputs = bound(pd.DataFrame({"age": np.arange(5.0)}), HISTORY[:5], ["age"], channels=CHANNELS)
    with pytest.raises(UnknownFeatureError, match="order: 'age' is not a series of the model, which has 'PAY', 'BILL'"):
        plan_perturbations(inputs, "the model", AnalysisConfig(order=["age"]))
    ways = {done.name: type(done) for done in plan_perturbations(inputs, "the model", AnalysisConfig(order=True))}
    assert ways == {"age": Shuffle, "PAY": Shuffle, "PAY order": Reorder, "BILL": Shuffle, "BILL order": Reorder}


@pytest.mark.parametrize("block_rows", [7, 1000])
def test_repeats_have_orders_of_their_own_whatever_the_size_of_blocks(block_rows):
    found = deviations(reading(0, 1, N_STEPS), bind(), block_rows, order=True, repeats=2)["PAY order"]
    assert not np.array_equal(found[:N_ROWS], found[N_ROWS:])
    np.testing.assert_array_equal(
        found, deviations(reading(0, 1, N_STEPS), bind(), 23, order=True, repeats=2)["PAY order"]
    )


@pytest.mark.parametrize(
    "analysis",
    [
        {"order": ["PAY"]},
        {"set": {"PAY": [1.0]}},
        {"groups": {"both": ["PAY", "BILL"]}},
    ],
)
def test_what_is_excluded_is_not_asked_for_as_well(analysis):
    with pytest.raises(ConfigError, match="'PAY' is both excluded and under"):
        planned(exclude=["PAY"], **analysis)


def test_a_series_is_not_joined_with_a_part_of_itself():
    with pytest.raises(ConfigError, match="'PAY late' is a part of 'PAY', which is in the group as well"):
        planned(windows={"late": [10, 12]}, groups={"both": ["PAY", "PAY late"]})


def test_an_excluded_series_may_be_too_short_for_windows():
    _, inputs = bound(pd.DataFrame({"age": np.arange(5.0)}), HISTORY[:5], ["age"], channels=CHANNELS)
    asked = AnalysisConfig(windows=13, exclude=["PAY", "BILL"])
    assert [done.name for done in plan_perturbations(inputs, "", asked)] == ["age"]
