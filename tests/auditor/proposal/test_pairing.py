"""Which data each input receives, as far as names and shapes tell; what they do not tell is asked."""

import numpy as np
import pytest

from nnperm_mlflow.auditor.proposal import pairing
from nnperm_mlflow.inputs.dataset import Dataset, Series
from nnperm_mlflow.inputs.specs import InputSpec

N_ROWS = 40
NUMBER, CODE, TEXT = (np.dtype(kind) for kind in ("float32", "int32", "object"))


def spec(name, *shape, dtype=NUMBER, **more):
    return InputSpec(name, shape, dtype, **more)


def table(*names, **special):
    """Columns of fractions by their names; special ones as given."""
    rng = np.random.default_rng(0)
    return {name: special.get(name, rng.normal(size=N_ROWS)) for name in [*names, *special]}


def pair(specs, columns, arrays, **more):
    """Pair a table of columns, or a data set with what its cells hold."""
    data = columns if isinstance(columns, Dataset) else Dataset(columns, {}, N_ROWS)
    return pairing.pair(specs, data, arrays, **more)


def codes(count=3):
    return np.arange(N_ROWS) % count


def asked(draft):
    return [question.what for question in draft.questions]


def test_the_network_of_the_credit_card_clients_finds_all_of_its_data():
    months = [f"{name}{month}" for name in ("PAY_", "BILL_AMT", "PAY_AMT") for month in range(1, 7)]
    columns = table(
        "ID", "LIMIT_BAL", "SEX", "AGE", *months, "default.payment.next.month",
        ID=np.arange(N_ROWS), SEX=codes(2), **{"default.payment.next.month": codes(2)},
    )  # fmt: skip
    draft = pair([spec("SEX_input", 1, dtype=CODE), spec("num_input", 2), spec("temporal_input", 6, 3)], columns, {})
    assert draft.inputs == {"SEX_input": "SEX", "num_input": ["LIMIT_BAL", "AGE"], "temporal_input": "history"}
    assert list(draft.temporal["history"].columns) == ["PAY", "BILL_AMT", "PAY_AMT"]
    assert draft.temporal["history"].columns["PAY"] == tuple(f"PAY_{month}" for month in range(1, 7))
    assert (draft.row_id, draft.label, draft.questions) == ("ID", "default.payment.next.month", [])
    assert [(one.kind, one.of, one.told_by) for one in draft.assumptions] == [
        ("steps", "history", ""),
        ("channels", "history", "the order of the file"),
        ("numbers", "num_input", "the order of the file"),
    ]


@pytest.mark.parametrize(
    ("names", "first", "told_by"),
    [
        (["b_lag1", "b_lag2", "b_lag3"], "b_lag3", "the lags in their names"),
        (["b_2023", "b_2024", "b_2025"], "b_2023", "dates in their names"),
        (["b3", "b2", "b1"], "b3", ""),
        (["b1", "b2", "b3"], "b1", ""),
    ],
)
def test_steps_come_oldest_first_where_names_tell_and_else_as_in_the_file(names, first, told_by):
    draft = pair([spec("lstm_input", 3, 1)], table(*names), {})
    assert draft.temporal["history"].columns["b"][0] == first
    assert [one.told_by for one in draft.assumptions] == [told_by]


def test_a_network_that_takes_channels_before_steps_gets_them_so():
    draft = pair([spec("h", 2, 3)], table("a1", "a2", "a3", "b1", "b2", "b3"), {})
    assert draft.temporal["history"].model_channel_axis is None
    assert list(draft.temporal["history"].columns) == ["a", "b"]


def test_a_square_history_is_taken_for_steps_before_channels():
    assert pair([spec("h", 2, 2)], table("a1", "a2", "b1", "b2"), {}).temporal["history"].model_channel_axis == 2


def test_families_of_which_not_all_are_meant_are_asked_for():
    draft = pair([spec("h", 2, 1)], table("a1", "a2", "b1", "b2"), {})
    assert "h" not in draft.inputs
    (what,) = asked(draft)
    assert "a: 2 columns; b: 2 columns" in what
    assert ("inputs", "h: history") in draft.questions[0].lines


def test_an_outcome_is_never_taken_for_a_feature_though_it_would_fill_the_input():
    draft = pair([spec("num_input", 3)], table("age", "dose", target=codes(2)), {})
    assert draft.inputs == {}
    assert draft.label == "target"
    assert "'target' is left out, which seems to be the outcome (its name)" in asked(draft)[0]
    assert draft.questions[0].lines == (("inputs", "num_input: [age, dose]"),)


def test_the_last_column_is_the_outcome_where_it_is_one_too_many_and_has_as_many_values_as_there_are_classes():
    draft = pair([spec("num_input", 2)], table("age", "dose", bought=codes(2)), {})
    assert draft.inputs == {"num_input": ["age", "dose"]}
    assert (draft.label, draft.label_told_by) == ("bought", "its place, the last, with 2 values")
    three = table("age", "dose", bought=codes(3))
    assert pair([spec("num_input", 2)], three, {}).label is None
    assert pair([spec("num_input", 2)], three, {}, n_outputs=3).label == "bought"
    assert pair([spec("num_input", 2)], table("age", bought=codes(2), dose=codes(5)), {}).label is None


def test_of_several_outcomes_none_is_taken():
    draft = pair([spec("num_input", 2)], table("age", "dose", target=codes(2), fraud=codes(2)), {})
    assert (draft.label, draft.inputs) == (None, {"num_input": ["age", "dose"]})
    assert draft.questions[0].lines == (("data", "label: target"), ("data", "label: fraud"))


def test_a_row_id_is_no_feature_and_a_unique_number_is():
    draft = pair([spec("num_input", 2)], table("age", ID=np.arange(N_ROWS)[::-1], income=np.arange(N_ROWS) ** 2), {})
    assert draft.inputs == {"num_input": ["age", "income"]}
    assert (draft.row_id, draft.left_out) == ("ID", {"ID": "each row has its own"})


def test_names_that_differ_in_capitals_and_signs_are_found_where_one_alone_does():
    specs = [spec("marital_status", 1, dtype=CODE), spec("sex", 1, dtype=CODE)]
    columns = table(**{"Marital Status": codes(), "SEX": codes(), "Sex": codes()})
    draft = pair(specs, columns, {})
    assert draft.inputs == {"marital_status": "Marital Status"}
    assert draft.reasons["marital_status"] == "by its name, but for capitals and signs"
    assert "what 'sex'" in asked(draft)[0]


def test_columns_of_a_table_are_found_by_their_very_names():
    specs = [spec("age", is_column=True), spec("city", dtype=TEXT, is_column=True)]
    draft = pair(specs, table("age", "City", City=np.array(["Ulm", "Bonn"] * 20, dtype=object)), {})
    assert draft.inputs == {"age": "age"}
    assert "'city', which the data lack. Did you mean 'City'?" in asked(draft)[0]
    assert draft.questions[0].lines == (("inputs", "city: COLUMN"),)


def test_text_goes_to_text_and_numbers_to_numbers():
    columns = table("age", "dose", a=np.array(["x", "y"] * 20, dtype=object), b=np.array(["u", "v"] * 20, dtype=object))
    draft = pair([spec("words", 2, dtype=TEXT), spec("numbers", 2)], columns, {})
    assert draft.inputs == {"words": ["a", "b"], "numbers": ["age", "dose"]}


def test_two_blocks_that_may_share_the_columns_in_any_way_are_asked_for():
    draft = pair([spec("wide", 2), spec("deep", 2)], table("a", "b", "c", "d"), {})
    assert draft.inputs == {}
    assert [line for question in draft.questions for line in question.lines] == [
        ("inputs", "wide: [a, b, c, d]"),
        ("inputs", "deep: [a, b, c, d]"),
    ]


@pytest.mark.parametrize(
    ("array", "shape", "channel_axis"),
    [((6, 3), (6, 3), 2), ((3, 6), (6, 3), 1), ((6, 3), (None, 3), 2), ((6, 1), (6, 1), 2), ((6,), (6, 1), None)],
)
def test_an_array_goes_to_the_only_input_that_it_fits_with_its_axes_found_out(array, shape, channel_axis):
    draft = pair([spec("num_input", 1), spec("seq", *shape)], table("age"), {"h": np.zeros((N_ROWS, *array))})
    assert (draft.inputs["seq"], draft.temporal["h"].channel_axis) == ("h", channel_axis)


def test_an_array_that_fits_two_inputs_or_none_is_asked_about():
    h = {"h": np.zeros((N_ROWS, 6, 3))}
    draft = pair([spec("one", 6, 3), spec("other", 3, 6)], {}, h)
    assert "which input the array 'h' of shape (40, 6, 3) is for (it fits 'one', 'other' of" in asked(draft)[0]
    assert "(it fits none of 'one' (rows, 5, 3; float32))" in asked(pair([spec("one", 5, 3)], {}, h))[0]


def test_whole_numbers_go_to_whole_numbers_and_fractions_to_fractions():
    columns = table("age", "dose", a=codes(), b=codes(5))
    draft = pair([spec("lookup", 2, dtype=CODE), spec("numbers", 2)], columns, {})
    assert draft.inputs == {"lookup": ["a", "b"], "numbers": ["age", "dose"]}


@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (3,), (None,)])
def test_columns_fill_an_input_with_an_axis_more(shape):
    assert pair([spec("x", *shape)], table("a", "b", "c"), {}).inputs == {"x": ["a", "b", "c"]}


def test_the_columns_that_a_signature_names_are_taken_in_its_order_and_nothing_is_assumed():
    draft = pair([spec("x", 2)], table("a", "b", "c"), {}, signed={"x": ["c", "a"]})
    assert (draft.inputs, draft.assumptions) == ({"x": ["c", "a"]}, [])


def test_what_the_cells_of_a_table_hold_is_found_by_the_name_of_its_column():
    series = Series(("h channel 1",), np.zeros((N_ROWS, 4, 1)), channel_axis=2)
    data = Dataset(table("nums 1", "nums 2", "age"), {"h": series}, N_ROWS, split={"nums": ["nums 1", "nums 2"]})
    draft = pair([spec("nums_input", 2), spec("h", 4, 1)], data, {})
    assert draft.inputs == {"nums_input": ["nums 1", "nums 2"], "h": "h"}
    assert draft.described == {}  # the file itself tells


def test_a_column_that_the_model_can_do_without_is_not_asked_for():
    specs = [spec("age", is_column=True), spec("dose", is_column=True, is_optional=True)]
    draft = pair(specs, table("age"), {})
    assert (draft.inputs, draft.questions) == ({"age": "age"}, [])
