"""Which data each input receives, the features this makes, and what is planned to be done to them."""

import datetime
import logging
import re

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.perturbation.grouping import find_companions
from nnperm_mlflow.analysis.perturbation.kinds import SetTo, Shuffle, disturb
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.basics.errors import AuditError, ConfigError, DataError, ShapeError, UnknownFeatureError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.slots import read_slot
from nnperm_mlflow.inputs.specs import Domain, InputSpec

N_ROWS = 5
EVERY_ROW = np.arange(N_ROWS)
TABLE = pd.DataFrame(
    {
        "ID": [11, 12, 13, 14, 15],
        "age": [20.0, 30.0, 40.0, 50.0, 60.0],
        "sex": [1, 2, 1, 2, 2],
        "income": [1.5, 2.5, 3.5, 4.5, 5.5],
        "city": ["Ulm", "Bonn", "Ulm", "Köln", "Ulm"],
        "default": [0, 1, 0, 1, 1],
    }
)
STEPS = np.arange(N_ROWS * 2 * 4, dtype="float64").reshape(N_ROWS, 2, 4)
"""Two channels, PAY and BILL, of four steps; channels before steps."""


def spec(name, *shape, dtype="float32", column=False):
    return InputSpec(name, shape, np.dtype(dtype), column)


def pay_and_bill(model_channel_axis=None, array=STEPS):
    return Series(("PAY", "BILL"), array, channel_axis=1, model_channel_axis=model_channel_axis)


def bind(*specs, table=TABLE, temporal=None, said=None, row_id="ID", label="default"):
    roles = {"row_id": row_id, "label": label} if table is TABLE else {}
    return bind_inputs(specs, dataset_from(table, temporal, **roles), said or {})


def read(bound, name, rows=EVERY_ROW):
    return bound.sources[name].take(rows)


def held(bound, feature, rows=EVERY_ROW):
    """Return what a feature of one slot holds."""
    (slot,) = bound.features[feature].slots
    return read_slot(bound.sources, slot, rows)


# Finding the data of an input


def test_inputs_named_by_the_convention_are_found():
    bound = bind(
        spec("num_input", 2),
        spec("sex_input", 1, dtype="int32"),
        spec("temporal_input", 4, 2),
        temporal={"history": pay_and_bill()},
    )
    assert bound.wanted == {"num_input": ["age", "income"], "sex_input": "sex", "temporal_input": "history"}
    np.testing.assert_array_equal(read(bound, "num_input"), TABLE[["age", "income"]].to_numpy("float32"))
    np.testing.assert_array_equal(read(bound, "sex_input"), TABLE[["sex"]])
    np.testing.assert_array_equal(read(bound, "temporal_input"), STEPS.transpose(0, 2, 1))
    assert {name: source.dtype.name for name, source in bound.sources.items()} == {
        "num_input": "float32",
        "sex_input": "int32",
        "temporal_input": "float32",
    }


def test_inputs_called_as_columns_and_temporal_data_are_found():
    bound = bind(spec("age", 1), spec("history", 4, 2), temporal={"history": pay_and_bill()})
    assert bound.wanted == {"age": "age", "history": "history"}


def test_a_column_called_as_the_input_goes_before_one_called_as_its_stem():
    table = pd.DataFrame({"sex": [1, 2], "sex_input": [3, 4]})
    bound = bind(spec("sex_input", 1), spec("sex", 1), table=table)
    assert bound.wanted == {"sex_input": "sex_input", "sex": "sex"}


def test_columns_of_a_data_frame_are_inputs_of_one_value_a_row():
    bound = bind(spec("age", dtype="float64", column=True), spec("city", dtype="object", column=True))
    np.testing.assert_array_equal(read(bound, "age"), TABLE["age"])
    np.testing.assert_array_equal(read(bound, "city"), TABLE["city"])


def test_what_inputs_says_goes_before_names():
    bound = bind(spec("num_input", 2), spec("sex", 1), said={"num_input": ["income", "sex"], "sex": "age"})
    np.testing.assert_array_equal(read(bound, "num_input"), TABLE[["income", "sex"]])
    np.testing.assert_array_equal(read(bound, "sex"), TABLE[["age"]])


def test_num_input_takes_the_numbers_that_nothing_else_takes():
    table = TABLE.assign(PAY_1=1.0, PAY_2=2.0)
    history = Series(("PAY",), columns={"PAY": ("PAY_1", "PAY_2")})
    dataset = dataset_from(table, {"history": history}, row_id="ID", label="default")
    bound = bind_inputs([spec("num_input", None), spec("w", 1)], dataset, {"w": "sex"})
    assert bound.wanted["num_input"] == ["age", "income"]


def test_the_only_input_of_a_model_takes_the_numbers_whatever_it_is_called():
    assert bind(spec("input_1", 3)).wanted == {"input_1": ["age", "sex", "income"]}


def test_num_input_is_not_filled_with_another_number_of_columns_than_it_takes():
    with pytest.raises(ConfigError) as caught:
        bind(spec("num_input", 2))
    assert "3 numeric columns are not taken otherwise ('age', 'sex', 'income')" in str(caught.value)
    assert "inputs: {num_input: [...]}" in str(caught.value)


def test_inputs_that_cannot_be_found_are_all_named():
    with pytest.raises(ConfigError) as caught:
        bind(spec("sex", 1), spec("wage", 1), spec("history", 4, 2))
    assert "'wage' (rows, 1; float32)" in str(caught.value)
    assert "'history' (rows, 4, 2; float32)" in str(caught.value)
    assert "'sex' (rows" not in str(caught.value)


def test_a_temporal_input_is_not_chosen_among_several_histories():
    temporal = {"first": pay_and_bill(), "second": Series(("x",), STEPS[:, :1], channel_axis=1)}
    with pytest.raises(ConfigError, match=r"no data found for 'temporal_input'.*'first', 'second'"):
        bind(spec("temporal_input", 4, 2), temporal=temporal)


def test_an_input_that_the_model_does_not_have_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'num_inputs' is no input of the model.* Did you mean 'num_input'"):
        bind(spec("num_input", 2), said={"num_inputs": ["age", "income"]})


@pytest.mark.parametrize("target", ["incom", ["age", "incom"]])
def test_a_column_that_the_table_does_not_have_is_refused_with_the_nearest(target):
    with pytest.raises(DataError, match=r"num_input is to receive 'incom', .* Did you mean 'income'"):
        bind(spec("num_input", None), said={"num_input": target})


def test_a_column_named_twice_in_one_input_is_refused():
    with pytest.raises(ConfigError, match="num_input names a column twice"):
        bind(spec("num_input", 3), said={"num_input": ["age", "income", "age"]})


@pytest.mark.parametrize(
    ("shape", "target", "what"),
    [
        ((3,), ["age", "income"], "2 columns are named"),
        ((2,), "age", "column 'age' is one number a row"),
        ((4, 2), ["age", "income"], "2 columns are named"),
        ((), ["age", "income"], "2 columns are named"),
    ],
)
def test_columns_that_do_not_fill_the_input_are_refused(shape, target, what):
    with pytest.raises(ShapeError, match=what):
        bind(spec("x", *shape), said={"x": target})


# Which way round a history lies


def test_a_history_with_channels_first_is_turned_round_for_a_model_that_takes_steps_first():
    bound = bind(spec("temporal_input", 4, 2), temporal={"history": pay_and_bill()})
    rows = np.array([3, 0])
    np.testing.assert_array_equal(read(bound, "temporal_input", rows), STEPS.transpose(0, 2, 1)[rows])
    np.testing.assert_array_equal(held(bound, "BILL", rows), STEPS[rows, 1, :])
    assert bound.features["BILL"].slots[0].index == (slice(None), 1)


def test_a_history_with_channels_first_stays_so_for_a_model_that_takes_channels_first():
    bound = bind(spec("temporal_input", 2, 4), temporal={"history": pay_and_bill()})
    np.testing.assert_array_equal(read(bound, "temporal_input"), STEPS)
    np.testing.assert_array_equal(held(bound, "BILL"), STEPS[:, 1, :])


def test_a_history_with_steps_first_is_turned_round_for_a_model_that_takes_channels_first():
    steps_first = STEPS.transpose(0, 2, 1)
    bound = bind(spec("x", 2, 4), temporal={"x": Series(("PAY", "BILL"), steps_first, channel_axis=2)})
    np.testing.assert_array_equal(read(bound, "x"), STEPS)
    np.testing.assert_array_equal(held(bound, "BILL"), STEPS[:, 1, :])


def test_any_number_of_steps_fits_a_model_that_leaves_it_open():
    bound = bind(spec("temporal_input", None, 2), temporal={"history": pay_and_bill()})
    np.testing.assert_array_equal(read(bound, "temporal_input"), STEPS.transpose(0, 2, 1))


@pytest.mark.parametrize(("shape", "array"), [((2, 2), STEPS[:, :, :2]), ((None, None), STEPS)])
def test_where_both_ways_fit_the_configuration_decides_and_nothing_is_guessed(shape, array):
    with pytest.raises(ShapeError, match=r"fits both ways.*Set 'model_channel_axis' of 'history'"):
        bind(spec("temporal_input", *shape), temporal={"history": pay_and_bill(None, array)})
    channels_first = bind(spec("temporal_input", *shape), temporal={"history": pay_and_bill(1, array)})
    np.testing.assert_array_equal(read(channels_first, "temporal_input"), array)
    steps_first = bind(spec("temporal_input", *shape), temporal={"history": pay_and_bill(2, array)})
    np.testing.assert_array_equal(read(steps_first, "temporal_input"), array.transpose(0, 2, 1))
    for bound in (channels_first, steps_first):
        np.testing.assert_array_equal(held(bound, "BILL"), array[:, 1, :])


def test_a_model_channel_axis_that_does_not_fit_is_refused():
    with pytest.raises(ShapeError, match="channels on axis 1"):
        bind(spec("temporal_input", 4, 2), temporal={"history": pay_and_bill(1)})


@pytest.mark.parametrize("shape", [(3, 2), (4, 3), (8,), (4, 2, 1)])
def test_a_history_of_another_shape_than_the_model_takes_is_refused(shape):
    with pytest.raises(ShapeError, match="has 4 steps of 2 channels"):
        bind(spec("temporal_input", *shape), temporal={"history": pay_and_bill()})


@pytest.mark.parametrize("shape", [(4,), (4, 1), (1, 4)])
def test_one_channel_without_an_axis_of_its_own_fits_a_model_with_or_without_one(shape):
    bound = bind(spec("x", *shape), temporal={"x": Series(("PAY",), STEPS[:, 0, :])})
    np.testing.assert_array_equal(read(bound, "x"), STEPS[:, 0, :].reshape(N_ROWS, *shape))
    np.testing.assert_array_equal(held(bound, "PAY").reshape(N_ROWS, 4), STEPS[:, 0, :])


@pytest.mark.parametrize(
    "series",
    [
        Series(("PAY",), STEPS[:, 0]),
        Series(("PAY",), STEPS[:, :1], channel_axis=1),
        Series(("PAY",), STEPS[:, :1].swapaxes(1, 2), channel_axis=2),
        Series(("PAY",), columns={"PAY": ("P1", "P2", "P3", "P4")}),
    ],
    ids=["without an axis", "channels first", "steps first", "columns"],
)
def test_the_only_channel_fits_a_model_that_takes_its_steps_however_it_is_stored(series):
    table = TABLE.assign(**{f"P{step + 1}": STEPS[:, 0, step] for step in range(4)})
    bound = bind(spec("history", 4), table=table, temporal={"pay": series}, said={"history": "pay"})
    np.testing.assert_array_equal(read(bound, "history"), STEPS[:, 0])
    np.testing.assert_array_equal(held(bound, "PAY"), STEPS[:, 0])
    with pytest.raises(ShapeError, match="'pay' has 4 steps of 1 channels"):
        bind(spec("history", 5), table=table, temporal={"pay": series}, said={"history": "pay"})


@pytest.mark.parametrize("steps_first", [True, False])
def test_a_history_of_columns_is_laid_as_the_model_takes_it(steps_first):
    names = [[f"{channel}_{step}" for step in range(4)] for channel in ("PAY", "BILL")]
    table = pd.DataFrame({name: STEPS[:, c, s] for c, steps in enumerate(names) for s, name in enumerate(steps)})
    series = Series(("PAY", "BILL"), columns={"PAY": tuple(names[0]), "BILL": tuple(names[1])})
    shape = (4, 2) if steps_first else (2, 4)
    bound = bind(spec("temporal_input", *shape), table=table[table.columns[::-1]], temporal={"history": series})
    known = STEPS.transpose(0, 2, 1) if steps_first else STEPS
    np.testing.assert_array_equal(read(bound, "temporal_input"), known)
    np.testing.assert_array_equal(held(bound, "BILL", np.array([4, 1])), STEPS[[4, 1], 1, :])
    assert list(bound.features) == ["PAY", "BILL"]


# Features


def test_every_column_and_channel_is_a_feature_in_the_order_of_the_inputs():
    bound = bind(
        spec("temporal_input", 4, 2),
        spec("num_input", 2),
        spec("city", 1, dtype="object"),
        temporal={"history": pay_and_bill()},
        said={"num_input": ["income", "age"]},
    )
    assert list(bound.features) == ["PAY", "BILL", "income", "age", "city"]
    np.testing.assert_array_equal(held(bound, "age"), TABLE["age"])


def test_row_ids_and_the_label_are_no_features():
    assert not {"ID", "default"} & set(bind(spec("num_input", None)).features)


def test_the_column_of_clusters_is_no_feature():
    data = dataset_from(TABLE.assign(client=[1, 1, 2, 2, 2]), row_id="ID", label="default", cluster="client")
    bound = bind_inputs([spec("num_input", 3)], data, {})
    assert set(bound.features) == {"age", "income", "sex"}


def test_the_kind_of_a_feature_says_what_its_values_mean():
    table = TABLE.assign(member=[True, False, True, True, False])
    bound = bind(
        spec("num_input", 2),
        spec("sex", 1, dtype="int64"),
        spec("city", 1, dtype="object"),
        spec("income", 1),
        spec("temporal_input", 4, 2),
        table=table,
        temporal={"history": pay_and_bill()},
        said={"num_input": ["age", "member"]},
    )
    assert {name: feature.kind for name, feature in bound.features.items()} == {
        "age": "number",
        "member": "category",
        "sex": "category",
        "city": "category",
        "income": "number",
        "PAY": "series",
        "BILL": "series",
    }


def test_whole_numbers_in_a_data_frame_are_numbers():
    bound = bind(spec("sex", dtype="int64", column=True), spec("city", dtype="object", column=True))
    assert (bound.features["sex"].kind, bound.features["city"].kind) == ("number", "category")


def disturbed(perturbation, bound, rows, donors):
    """Return the inputs that a perturbation changes."""
    block = bound.read(rows)
    return disturb(perturbation, bound.hold(rows), block, donors)[0].on(block)


def test_a_column_in_two_inputs_is_one_feature_and_both_receive_the_same_donor():
    bound = bind(
        spec("num_input", 2),
        spec("sex_input", 1, dtype="int32"),
        said={"num_input": ["age", "sex"], "sex_input": "sex"},
    )
    assert list(bound.features) == ["age", "sex"]
    assert bound.features["sex"].kind == "category"
    donors = np.array([1, 2, 3, 4, 0])
    changed = disturbed(Shuffle(bound.features["sex"]), bound, EVERY_ROW, donors)
    np.testing.assert_array_equal(changed["sex_input"], TABLE[["sex"]].to_numpy()[donors])
    np.testing.assert_array_equal(changed["num_input"][:, 1], TABLE["sex"].to_numpy()[donors])
    np.testing.assert_array_equal(changed["num_input"][:, 0], TABLE["age"])


def test_a_channel_in_two_inputs_is_one_feature_in_both():
    bound = bind(
        spec("lstm", 4, 2),
        spec("conv", 2, 4),
        temporal={"history": pay_and_bill()},
        said={"lstm": "history", "conv": "history"},
    )
    donors = np.array([1, 2, 3, 4, 0])
    changed = disturbed(Shuffle(bound.features["BILL"]), bound, EVERY_ROW, donors)
    np.testing.assert_array_equal(changed["conv"][:, 1], STEPS[donors, 1])
    np.testing.assert_array_equal(changed["lstm"][:, :, 1], STEPS[donors, 1])
    np.testing.assert_array_equal(changed["conv"][:, 0], STEPS[:, 0])


def test_channels_of_two_histories_need_names_of_their_own():
    temporal = {"first": pay_and_bill(), "second": Series(("PAY",), STEPS[:, 1:], channel_axis=1)}
    with pytest.raises(ConfigError, match="'PAY' would be two features: in first and in second"):
        bind(spec("first", 4, 2), spec("second", 4, 1), temporal=temporal)


def test_a_channel_called_as_a_column_that_is_fed_is_refused():
    temporal = {"history": Series(("age",), STEPS[:, :1], channel_axis=1)}
    with pytest.raises(ConfigError, match="'age' would be two features"):
        bind(spec("age", 1), spec("temporal_input", 4, 1), temporal=temporal)


def test_what_is_read_can_be_changed_without_changing_the_data():
    table, array = TABLE.copy(), STEPS.copy()
    inputs = spec("num_input", 2, dtype="float64"), spec("temporal_input", 2, 4, dtype="float64")
    said = {"num_input": ["age", "income"]}
    bound = bind_inputs(inputs, dataset_from(table, {"history": pay_and_bill(None, array)}), said)
    for part in bound.read(EVERY_ROW).values():
        part[:] = -1
    pd.testing.assert_frame_equal(table, TABLE)
    np.testing.assert_array_equal(array, STEPS)
    np.testing.assert_array_equal(read(bound, "num_input"), TABLE[["age", "income"]])


# Values


def of_age(*values):
    return pd.DataFrame({"age": list(values)})


@pytest.mark.parametrize(
    ("values", "dtype", "reason"),
    [
        ([98765.5, np.inf, 1.5, 1.5, 1.5], "float64", "infinity in 1 of 5 rows (first: row 1)"),
        ([np.nan, -np.inf, 1.5, 98765.5, 1.5], "float32", "infinity in 1 of 5 rows (first: row 1)"),
        ([1.5, 98765.5, np.nan, 1.5, np.nan], "object", "NaN in 2 of 5 rows (first: row 2)"),
        ([1, 98765, np.nan, 1, np.nan], "int32", "NaN in 2 of 5 rows (first: row 2)"),
        (["98765", "98765", "98765"], "float32", "text in 3 of 3 rows (first: row 0)"),
        ([None, "98765", "98765"], "object", "nothing in 1 of 3 rows (first: row 0)"),
        ([1.0, 98765.5, 2.0, 2.5], "int32", "no int32 codes in 2 of 4 rows (first: row 1)"),
        ([1, 127, 98765], "int8", "no int8 codes in 1 of 3 rows (first: row 2)"),
        ([1, -128, -98765], "int8", "no int8 codes in 1 of 3 rows (first: row 2)"),
        ([1, 255, -98765], "uint8", "no uint8 codes in 1 of 3 rows (first: row 2)"),
        ([1.0, 2.0**63, 2.0], "int64", "no int64 codes in 1 of 3 rows (first: row 1)"),
        ([1.0, 98765e35, 2.0], "float32", "numbers beyond float32 in 1 of 3 rows (first: row 1)"),
        ([1, 98765, 0], "float16", "numbers beyond float16 in 1 of 3 rows (first: row 1)"),
        ([1, 0, 98765], "bool", "in 1 of 3 rows (first: row 2)"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), "float64", "dates in 2 of 2 rows (first: row 0)"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True), "float64", "dates in 2 of 2 rows (first: row 0)"),
        ([None, datetime.date(2024, 1, 1)], "float64", "dates in 1 of 2 rows (first: row 1)"),
    ],
)
def test_values_that_the_input_cannot_take_are_refused_by_place_and_not_told(values, dtype, reason):
    with pytest.raises(DataError) as caught:
        bind(spec("age", 1, dtype=dtype), table=pd.DataFrame({"age": values}))
    message = str(caught.value)
    assert message.startswith("column 'age' holds ")
    assert reason in message
    assert "98765" not in message
    assert "9.8765" not in message


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([-128.0, 127.0], "int8"),
        ([0, 255], "uint8"),
        ([True, False], "int32"),
        ([True, False], "float32"),
        ([0, 1], "bool"),
        ([-3.4e38, 3.4e38], "float32"),
        ([1, 2], "float64"),
        ([2**53 + 1, 2], "int64"),
    ],
)
def test_values_that_the_input_can_take_reach_it_unchanged(values, dtype):
    taken = read(bind(spec("age", 1, dtype=dtype), table=of_age(*values)), "age", np.arange(2))
    assert taken.dtype == dtype
    np.testing.assert_array_equal(taken, np.array(values, dtype=dtype)[:, None])


def test_bad_values_are_counted_over_all_pieces_of_the_data(monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.inputs._row_sources._CHUNK_BYTES", 64)
    values = np.zeros(100)
    values[[37, 38, 90]] = np.inf
    with pytest.raises(DataError, match=r"in 3 of 100 rows \(first: row 37\)"):
        bind(spec("age", 1), table=pd.DataFrame({"age": values}))


def gaps_of(bound):
    return [(gap.input, gap.what, gap.n_rows, gap.first_rows.tolist()) for gap in bound.gaps]


def test_missing_numbers_are_let_in_and_told_by_place(monkeypatch):
    """Whether the model takes them is found out by asking it."""
    monkeypatch.setattr("nnperm_mlflow.inputs._row_sources._CHUNK_BYTES", 64)
    values = np.zeros(100)
    values[[37, 38, 90]] = np.nan
    found = bind(spec("age", 1), table=pd.DataFrame({"age": values}))
    assert gaps_of(found) == [("age", "column 'age'", 3, [37, 38, 90])]
    assert np.flatnonzero(np.isnan(read(found, "age", np.arange(100))[:, 0])).tolist() == [37, 38, 90]


def test_of_many_gaps_the_first_are_remembered():
    found = bind(spec("age", 1), table=pd.DataFrame({"age": np.where(np.arange(500) == 400, 1.0, np.nan)}))
    assert found.gaps[0].n_rows == 499
    assert found.gaps[0].first_rows.tolist() == list(range(64))


def test_missing_text_is_let_into_a_column_of_a_table_and_into_no_tensor():
    table = pd.DataFrame({"town": ["Ulm", None, "Bonn"]})
    column = InputSpec("town", (), np.dtype("object"), is_column=True)
    found = bind(column, table=table)
    assert gaps_of(found) == [("town", "column 'town'", 1, [1])]
    assert pd.Series(read(found, "town", np.arange(3)), dtype=object).fillna("none").tolist() == ["Ulm", "none", "Bonn"]
    with pytest.raises(DataError, match=r"column 'town' holds nothing in 1 of 3 rows \(first: row 1\)"):
        bind(spec("town", 1, dtype="object"), table=table)


def test_missing_values_in_a_history_are_told_by_row():
    array = STEPS.copy()
    array[3, 1, :3] = np.nan
    found = bind(spec("temporal_input", 4, 2), temporal={"history": pay_and_bill(None, array)})
    assert gaps_of(found) == [("temporal_input", "temporal data 'history'", 1, [3])]
    array[4, 0, 0] = np.inf
    with pytest.raises(DataError, match=r"temporal data 'history' holds infinity in 1 of 5 rows \(first: row 4\)"):
        bind(spec("temporal_input", 4, 2), temporal={"history": pay_and_bill(None, array)})


def test_bad_values_in_a_history_of_columns_name_the_column():
    table = pd.DataFrame({"PAY_1": [1.0, 2.0], "PAY_2": [1.0, np.inf]})
    series = Series(("PAY",), columns={"PAY": ("PAY_1", "PAY_2")})
    with pytest.raises(DataError, match=r"column 'PAY_2' holds infinity in 1 of 2 rows \(first: row 1\)"):
        bind(spec("temporal_input", 2, 1), table=table, temporal={"history": series})


@pytest.mark.parametrize(
    ("nothing", "word"), [(pd.Series([None, None], dtype=object), "nothing"), ([np.nan] * 2, "NaN")]
)
def test_a_column_of_nothing_is_refused(nothing, word):
    with pytest.raises(DataError, match=f"column 'age' holds {word} in 2 of 2 rows"):
        bind(spec("age", 1), table=pd.DataFrame({"age": nothing}))


def test_what_no_input_takes_may_hold_anything():
    table = TABLE.assign(remark=np.nan)
    assert list(bind(spec("age", 1), table=table).features) == ["age"]


@pytest.mark.parametrize(
    ("values", "texts"),
    [(["Ulm", "Köln"], ["Ulm", "Köln"]), ([1, 20], ["1", "20"]), ([True, False], ["True", "False"])],
)
def test_an_input_of_text_receives_text(values, texts):
    taken = read(bind(spec("age", 1, dtype="object"), table=of_age(*values)), "age", np.arange(2))
    assert taken[:, 0].tolist() == texts
    assert {type(text) for text in taken[:, 0]} == {str}


# What is planned


def plan(bound, **analysis):
    return plan_perturbations(bound, "models:/risk/4", AnalysisConfig(**{"rare_below": 0.0, **analysis}))


def names(perturbations):
    return [perturbation.name for perturbation in perturbations]


def of_counts(*counts):
    """Return a column that holds 0, 1, 2 ... as often as said."""
    return np.repeat(np.arange(len(counts)), counts)


def test_every_feature_is_shuffled_and_a_group_as_one():
    bound = bind(spec("num_input", 3), spec("temporal_input", 4, 2), temporal={"history": pay_and_bill()})
    planned = plan(bound, groups={"person": ["age", "BILL"]}, exclude=["sex"])
    assert names(planned) == ["age", "income", "PAY", "BILL", "person"]
    donors = np.array([1, 2, 3, 4, 0])
    changed = disturbed(planned[-1], bound, EVERY_ROW, donors)
    np.testing.assert_array_equal(changed["num_input"][:, 0], TABLE["age"].to_numpy()[donors])
    np.testing.assert_array_equal(changed["num_input"][:, 1:], TABLE[["sex", "income"]])
    np.testing.assert_array_equal(changed["temporal_input"][:, :, 1], STEPS[donors, 1])
    np.testing.assert_array_equal(changed["temporal_input"][:, :, 0], STEPS[:, 0])


@pytest.mark.parametrize(
    ("analysis", "where"),
    [
        ({"groups": {"person": ["age", "incom"]}}, "analysis: groups: person"),
        ({"exclude": ["incom"]}, "analysis: exclude"),
        ({"set": {"incom": [1]}}, "analysis: set"),
    ],
)
def test_a_name_that_is_no_feature_is_refused_with_the_nearest(analysis, where):
    expected = f"{where}: 'incom' is not a feature of models:/risk/4, which has .* Did you mean 'income'"
    with pytest.raises(UnknownFeatureError, match=expected):
        plan(bind(spec("num_input", 3)), **analysis)


def test_nothing_left_to_disturb_is_refused():
    with pytest.raises(ConfigError, match="every feature of models:/risk/4 is excluded"):
        plan(bind(spec("age", 1)), exclude=["age"])


def test_a_feature_both_excluded_and_set_is_refused():
    with pytest.raises(ConfigError, match="'age' is both excluded and under 'set'"):
        plan(bind(spec("num_input", 3)), exclude=["age"], set={"age": [1]})


def test_a_group_called_as_a_feature_is_refused():
    with pytest.raises(ConfigError, match="would both be called 'age'"):
        plan(bind(spec("num_input", 3)), groups={"age": ["sex", "income"]})


def test_a_column_called_as_a_feature_set_to_a_value_is_refused():
    table = pd.DataFrame({"sex": [1.0, 2.0], "sex=2": [1.0, 2.0]})
    with pytest.raises(ConfigError, match="would both be called 'sex=2'"):
        plan(bind(spec("num_input", 2), table=table), set={"sex": [2]})


def test_a_value_to_set_fills_the_features_places_and_no_others():
    bound = bind(spec("num_input", 3), spec("temporal_input", 4, 2), temporal={"history": pay_and_bill()})
    by_name = {perturbation.name: perturbation for perturbation in plan(bound, set={"age": [33], "PAY": [-1.5]})}
    numbers = disturbed(by_name["age=33"], bound, EVERY_ROW, None)
    np.testing.assert_array_equal(numbers["num_input"], TABLE[["age", "sex", "income"]].assign(age=33))
    history = disturbed(by_name["PAY=-1.5"], bound, EVERY_ROW, None)["temporal_input"]
    np.testing.assert_array_equal(history[:, :, 0], np.full((N_ROWS, 4), -1.5))
    np.testing.assert_array_equal(history[:, :, 1], STEPS[:, 1])


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float32", "two"),
        ("float32", "2"),
        ("float32", 1e39),
        ("float64", float("nan")),
        ("float64", float("inf")),
        ("int32", 2.5),
        ("int32", "two"),
        ("int8", 300),
        ("int8", -129),
        ("uint8", -1),
        ("bool", 2),
    ],
)
def test_a_value_that_the_input_cannot_hold_is_not_set(dtype, value):
    bound = bind(spec("age", 1, dtype=dtype), table=of_age(0, 1))
    told = f"'age' cannot be set to '{value}': the model's input 'age' holds {dtype}"
    with pytest.raises(AuditError, match=re.escape(told)):
        plan(bound, set={"age": [value]})


@pytest.mark.parametrize(
    ("dtype", "value", "held_value"),
    [("int8", 127, 127), ("int32", 2.0, 2), ("float32", 2, 2.0), ("object", 2, "2"), ("object", "Ulm", "Ulm")],
)
def test_a_value_that_the_input_can_hold_is_set_in_its_type(dtype, value, held_value):
    bound = bind(spec("age", 1, dtype=dtype), table=of_age(0, 1))
    planned = plan(bound, set={"age": [value]})[1]
    changed = disturbed(planned, bound, np.arange(2), None)["age"]
    assert changed.dtype == dtype
    assert changed.tolist() == [[held_value]] * 2
    assert planned.name == f"age={held_value if dtype == 'object' else int(value)}"


@pytest.mark.parametrize("order", [["text", "number"], ["number", "text"]])
def test_a_value_reaches_an_input_of_text_and_one_of_numbers_alike(order):
    specs = {"text": spec("text", 1, dtype="object"), "number": spec("number", 1)}
    table = pd.DataFrame({"sex": of_counts(98, 2)})
    bound = bind(*[specs[name] for name in order], table=table, said={"text": "sex", "number": "sex"})
    asked, rare = plan(bound, set={"sex": [3]}, rare_below=0.05)[1:]
    for perturbation, text, number in ((asked, "3", 3.0), (rare, "1", 1.0)):
        changed = disturbed(perturbation, bound, np.arange(2), None)
        assert changed["text"].tolist() == [[text]] * 2
        assert changed["number"].tolist() == [[number]] * 2
        assert perturbation.name == f"sex={text}"


def test_a_rare_value_of_a_binary_feature_is_set_by_itself():
    table = pd.DataFrame({"cheater": of_counts(96, 4).astype(float), "half": of_counts(50, 50).astype(float)})
    planned = plan(bind(spec("num_input", 2), table=table), rare_below=0.05)
    assert names(planned) == ["cheater", "cheater=1", "half"]
    assert isinstance(planned[1], SetTo)
    assert planned[1].value == 1.0


def test_rare_values_of_a_category_are_set_by_themselves_most_frequent_first():
    table = pd.DataFrame({"sex": of_counts(1, 90, 3, 4, 2)})
    planned = plan(bind(spec("sex", 1, dtype="int32"), table=table), rare_below=0.05)
    assert names(planned) == ["sex", "sex=3", "sex=2", "sex=4", "sex=0"]


def test_rare_texts_are_set_by_themselves():
    table = pd.DataFrame({"city": ["Ulm"] * 97 + ["Bonn"] * 3})
    planned = plan(bind(spec("city", dtype="object", column=True), table=table), rare_below=0.05)
    assert names(planned) == ["city", "city=Bonn"]


def test_numbers_with_more_than_two_values_and_series_are_not_set_by_themselves():
    table = pd.DataFrame({"children": of_counts(97, 2, 1).astype(float)})
    history = np.zeros((100, 2, 1))
    history[0] = 1
    bound = bind(
        spec("num_input", 1),
        spec("temporal_input", 2, 1),
        table=table,
        temporal={"history": Series(("PAY",), history, channel_axis=2)},
    )
    assert names(plan(bound, rare_below=0.05)) == ["children", "PAY"]


def test_a_number_that_shows_its_third_value_late_is_not_binary(monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.perturbation.set_values._CHUNK_ROWS", 10)
    table = pd.DataFrame({"late": of_counts(97, 2, 1).astype(float), "two": of_counts(97, 3).astype(float)})
    assert names(plan(bind(spec("num_input", 2), table=table), rare_below=0.05)) == ["late", "two", "two=1"]


@pytest.mark.parametrize("share", [0.05, 0.07, 0.14, 0.29])
def test_a_value_of_exactly_the_share_is_not_rare(share):
    count = round(share * 100)
    for held_by, planned in ((count, ["flag"]), (count - 1, ["flag", "flag=1"])):
        bound = bind(spec("num_input", 1), table=pd.DataFrame({"flag": of_counts(100 - held_by, held_by)}))
        assert names(plan(bound, rare_below=share)) == planned


def test_rare_values_are_not_set_where_that_is_turned_off():
    bound = bind(spec("num_input", 1), table=pd.DataFrame({"flag": of_counts(99, 1)}))
    assert names(plan(bound, rare_below=0)) == ["flag"]


def test_a_rare_value_that_is_also_asked_for_is_set_once():
    bound = bind(spec("num_input", 1), table=pd.DataFrame({"flag": np.where(of_counts(99, 1) == 1, 0.1, 0.0)}))
    assert names(plan(bound, rare_below=0.05, set={"flag": [0.1]})) == ["flag", "flag=0.1"]


def test_at_most_twenty_rare_values_are_set_and_a_warning_says_how_many_there_are(caplog):
    counts = [1000, *range(1, 26)]  # code c is held by c rows
    bound = bind(spec("sex", 1, dtype="int32"), table=pd.DataFrame({"sex": of_counts(*counts)}))
    with caplog.at_level(logging.WARNING):
        planned = plan(bound, rare_below=0.05)
    assert names(planned) == ["sex", *(f"sex={code}" for code in range(25, 5, -1))]
    assert [record.getMessage() for record in caplog.records] == [
        "'sex' has 25 rare values; it is set to the 20 most frequent of them. Name others under 'analysis: set:'."
    ]


def test_twenty_rare_values_need_no_warning(caplog):
    bound = bind(spec("sex", 1, dtype="int32"), table=pd.DataFrame({"sex": of_counts(1000, *[1] * 20)}))
    assert len(plan(bound, rare_below=0.05)) == 21
    assert not caplog.records


# Numbers or categories


def kinds_of(spec_, table, said=None):
    return {name: feature.kind for name, feature in bind(spec_, table=table, said=said).features.items()}


MATRIX = pd.DataFrame(
    {
        "few": np.arange(120) % 50,
        "many": np.arange(120) % 51,
        "yes": np.arange(120) % 2 == 0,
        "tenths": np.arange(120) % 3,
    }
)


def test_columns_of_a_matrix_of_codes_are_categories_where_they_hold_few():
    """As PyTorch takes them; a column of counts is a number."""
    codes = kinds_of(spec("codes", 4, dtype="int64"), MATRIX)
    assert codes == {"few": "category", "many": "number", "yes": "category", "tenths": "category"}
    numbers = kinds_of(spec("numbers", 4), MATRIX)
    assert numbers == {"few": "number", "many": "number", "yes": "category", "tenths": "number"}
    assert kinds_of(spec("codes", 1, dtype="int32"), MATRIX[["many"]]) == {"many": "category"}


def test_what_a_network_looks_up_is_a_category_whatever_its_type_and_however_much_there_is_of_it():
    known = Domain("Embedding 'e'", range(60), (0, 1))
    for dtype in ("float32", "int32"):
        looked_up = InputSpec("x", (3,), np.dtype(dtype), domains=(known,))
        found = kinds_of(looked_up, MATRIX.assign(tenths=MATRIX["many"]), {"x": ["many", "few", "tenths"]})
        assert found == {"many": "category", "few": "category", "tenths": "number"}


def test_rare_codes_of_a_matrix_are_set_and_associated_as_categories():
    table = pd.DataFrame({"sex": of_counts(96, 4), "area": of_counts(96, 4) + 7})
    bound = bind(spec("codes", 2, dtype="int64"), table=table)
    assert names(plan(bound, rare_below=0.05)) == ["sex", "sex=1", "area", "area=8"]
    assert find_companions(bound, [], 0.7).pairs["measure"].tolist() == ["cramers_v"]


def test_kinds_say_what_types_and_values_do_not():
    table = pd.DataFrame({"floors": of_counts(90, 4, 6), "area": of_counts(90, 4, 6).astype(float), "city": "Ulm"})
    bound = bind(spec("floors", 1, dtype="int32"), spec("area", 1), spec("city", 1, dtype="object"), table=table)
    assert names(plan(bound, rare_below=0.05)) == ["floors", "floors=1", "area", "city"]
    other = bound.with_kinds({"f*": "number", "area": "category"})
    assert names(plan(other, rare_below=0.05)) == ["floors", "area", "area=1", "city"]
    with pytest.raises(ConfigError, match="'city' reaches the model as text"):
        bound.with_kinds({"city": "number"})
    assert names(plan(other, kinds={"f*": "number"})) == names(plan(other))
    with pytest.raises(UnknownFeatureError, match="kinds: 'floor' is not a static feature .* Did you mean 'floors'"):
        plan(bound, kinds={"floor": "number"})


def test_several_names_that_are_no_features_are_told_together():
    with pytest.raises(UnknownFeatureError) as caught:
        plan(bind(spec("num_input", 3)), exclude=["agee"], set={"incom": [1]}, groups={"g": ["sexx", "age"]})
    assert len(caught.value.lines) == 4
