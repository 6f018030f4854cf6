"""What a model gives, as numbers: in lists and in half precision too, and whether two such are the same."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.keras.network_predictor import keras_predictor
from nnperm_mlflow.models.output_numbers import (
    are_classes,
    as_columns,
    ends_round_alike,
    rounding_of,
    rows_mix,
    same_numbers,
)
from nnperm_mlflow.models.table_predictor import TablePredictor
from tests.support.stored import N_ROWS, load, numbers, predicted, save


def column(*values, dtype="float32"):
    return np.array(values, dtype)[:, None]


# The same up to rounding


def test_what_stands_beside_a_missing_number_is_compared_all_the_same():
    assert not same_numbers(column(1, 2, np.nan), column(50, 9, np.nan))
    assert same_numbers(column(1, 2, np.nan), column(1, 2.00001, np.nan))


@pytest.mark.parametrize(("found", "expected"), [(np.nan, 3), (3, np.nan), (np.inf, -np.inf), (np.inf, np.nan)])
def test_a_number_that_is_missing_from_one_alone_is_a_difference(found, expected):
    assert not same_numbers(column(1, 2, found), column(1, 2, expected))
    assert same_numbers(column(1, 2, expected), column(1, 2, expected))


def test_a_number_without_end_leaves_the_others_their_spread():
    assert not same_numbers(column(0, 1, np.inf), column(0, 1.01, np.inf))


def test_the_spread_of_half_precision_has_an_end():
    assert not same_numbers(column(-60000, 60000, 0, dtype="float16"), column(-60000, 60000, 900, dtype="float16"))


def test_where_nothing_is_a_number_the_same_is_missing():
    assert same_numbers(column(np.nan, np.nan), column(np.nan, np.nan))
    assert same_numbers(np.empty((0, 2)), np.empty((0, 2)))


def test_a_unit_in_the_last_place_of_half_precision_is_rounding_and_a_hundredth_is_none():
    for dtype in ("float16", "float32"):
        one = column(1, 1, dtype=dtype)
        assert same_numbers(one * (1 + np.finfo(dtype).eps), one)
        assert not same_numbers(one * np.array(1.01, dtype), one)


def test_double_precision_may_have_been_single():
    assert rounding_of(column(2.0, dtype="float64")) == rounding_of(column(2.0)) == 128 * np.finfo(np.float32).eps


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 1, 0], True), ([-1.0, 1.0, np.nan], True), (range(20), True), (range(21), False), ([0.0, 0.5], False),
        ([1, 1, 1], False), ([np.nan], False),
    ],
)  # fmt: skip
def test_a_few_whole_numbers_are_classes(values, expected):
    assert are_classes(np.array(list(values), dtype=float)[:, None]) is expected
    assert not are_classes(np.zeros((3, 2)))


# Lists


class Giving:
    """A pyfunc model that gives its first column in some form."""

    def __init__(self, form):
        self.form = form

    def predict(self, rows):
        return self.form(rows["a"].to_numpy())


FORMS = {
    "a list of numbers": (lambda values: values.tolist(), 1),
    "a list of NumPy's numbers": (list, 1),
    "a list of whole numbers and others": (lambda values: [int(value) or value for value in values], 1),
    "a list of lists": (lambda values: [[value, 2 * value] for value in values.tolist()], 2),
    "a list of heads": (lambda values: [values, 2 * values[:, None]], 2),
}


@pytest.mark.parametrize(("form", "n_outputs"), FORMS.values(), ids=FORMS)
def test_a_model_may_give_lists(form, n_outputs):
    predictor = TablePredictor(Giving(form), [InputSpec("a", (), np.dtype("float64"), is_column=True)])
    for n_rows in (1, 2, 7):
        given = np.linspace(0.1, 0.9, n_rows)
        expected = given[:, None] * np.arange(1, n_outputs + 1)
        np.testing.assert_array_equal(predicted(predictor, {"a": given}), expected)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda values: ["good"] * len(values), r"\(of type <U4\) are no numbers but labels"),
        (lambda values: [None] * len(values), r"\(of type object\) are no numbers"),
        (lambda values: values[1:].tolist(), r"was given 7 rows and returned an array of shape \(6,\)"),
        (lambda values: [[0.0] * (1 + (value > 0)) for value in values], r"the model failed \(ValueError\)"),
    ],
)
def test_lists_of_something_else_are_refused(form, message):
    predictor = TablePredictor(Giving(form), [InputSpec("a", (), np.dtype("float64"), is_column=True)])
    with pytest.raises(PredictionError, match=message):
        predicted(predictor, {"a": np.arange(7.0)})


def test_what_is_no_number_is_told_by_its_type():
    with pytest.raises(PredictionError, match="of type complex128"):
        as_columns(np.zeros(2, dtype=complex), 2)


# Half precision


def of_half_precision():
    layers, policy = keras.layers, "mixed_bfloat16"
    given = [keras.Input((3,), name="num_input"), keras.Input((4, 2), name="temporal_input")]
    read = layers.LSTM(8, dtype=policy)(given[1])
    joined = layers.Concatenate(dtype=policy)([layers.Dense(4, dtype=policy)(given[0]), read])
    rows = {"num_input": numbers(3), "temporal_input": numbers(4, 2)}
    return keras.Model(given, [layers.Dense(1, dtype=policy)(joined), layers.Dense(2)(joined)]), rows


@pytest.mark.parametrize("is_fitted", [False, True])
def test_a_network_of_bfloat16_gives_the_numbers_that_it_computes(is_fitted):
    network, rows = of_half_precision()
    predictor = keras_predictor(network)
    assert network.outputs[0].dtype == "bfloat16"
    block = (predictor.fitted(rows) if is_fitted else predictor).begin([rows])[0]
    changed = {**rows, "num_input": rows["num_input"][::-1]}
    (found,) = block.predict([Change.of({"num_input": changed["num_input"]})])
    for given, numbers_found in ((rows, block.baseline), (changed, found)):
        outputs = network([given["num_input"], given["temporal_input"]], training=False)
        expected = tf.concat([tf.cast(output, tf.float32) for output in outputs], axis=1)
        assert numbers_found.dtype == np.float32
        np.testing.assert_allclose(numbers_found, expected, rtol=2**-7, atol=2**-9)
    assert (found[:, 0] != block.baseline[:, 0]).any()


def test_a_network_of_bfloat16_is_run_by_branches():
    network, rows = of_half_precision()
    assert keras_predictor(network).fitted(rows).reuses


class Halves(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def __call__(self, x):
        return {"late": tf.cast(x[:, :1], tf.bfloat16), "early": x[:, 1:]}


def test_a_saved_model_may_give_bfloat16(tmp_path):
    module = Halves()
    path = save(module, tmp_path / "model", saved_model_kwargs={"signatures": {"serving_default": module.__call__}})
    predictor, x = load(path), np.arange(2.0 * N_ROWS, dtype="float32").reshape(N_ROWS, 2)
    found = dict(zip(predictor.outputs.names, predicted(predictor, {"x": x}).T, strict=True))
    np.testing.assert_array_equal(found["late"], x[:, 0])
    np.testing.assert_array_equal(found["early"], x[:, 1])


class Calling:
    """A model that is a function of an array."""

    def __init__(self, function):
        self._function = function

    def call(self, inputs):
        return self._function(inputs["x"])[:, None]


FIRST_ROWS_LACK = np.where(np.arange(64) < 32, np.nan, np.arange(64.0))


@pytest.mark.parametrize(
    ("function", "mixes"),
    [
        (np.abs, False),
        (np.nancumsum, True),
        (lambda x: x - np.nanmean(x), True),
        (lambda x: x - x[-1], True),
    ],
    ids=["none", "the rows before", "all rows", "the last row"],
)
@pytest.mark.parametrize("values", [np.arange(64.0), FIRST_ROWS_LACK], ids=["whole", "without the first half"])
def test_rows_that_mix_show_in_every_other_row(function, mixes, values):
    """Whether they depend on those before or behind them, and where half of the data have no value."""
    assert rows_mix(Calling(function), {"x": values}) == mixes


def test_rows_that_mix_with_the_first_alone_show():
    assert rows_mix(Calling(lambda x: x - x[0]), {"x": np.arange(64.0)})
    assert rows_mix(Calling(lambda x: x - x[0]), {"x": np.arange(2.0)})


def rounding_its_end_otherwise(x, at_once):
    """Return a third of numbers, as one that goes through so many at once does: what is left over has other bits."""
    third, end = x / 3, len(x) - len(x) % at_once
    return np.concatenate([third[:end], np.nextafter(third[end:], 1)])


@pytest.mark.parametrize("n_rows", [3, 64, 100])
def test_ends_that_are_rounded_otherwise_show(n_rows):
    probe = {"x": np.arange(1.0, n_rows + 1)}
    assert ends_round_alike(Calling(lambda x: x / 3), probe)
    for at_once in (4, 6, 8, 12, 16, 24):
        assert not ends_round_alike(Calling(partial(rounding_its_end_otherwise, at_once=at_once)), probe)


# Classes


@pytest.mark.parametrize(("form", "is_class"), [(np.rint, True), (np.sqrt, False)])
def test_the_only_output_is_taken_for_classes_where_it_gives_few_whole_numbers(form, is_class):
    predictor = TablePredictor(Giving(form), [InputSpec("a", (), np.dtype("float64"), is_column=True)])
    predictor.fitted({"a": np.linspace(0, 1, 9)})
    assert [head.classes for head in predictor.outputs.heads] == [True] * is_class
