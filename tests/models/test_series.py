"""Networks over a series of any length give the numbers of `predict` for series of the length that data have."""

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers, ops

from nnperm_mlflow import audit
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.dataset import Series, dataset_from
from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.inputs.specs import InputSpec, OutputSpec
from nnperm_mlflow.models.branches.branch_predictor import BranchPredictor
from nnperm_mlflow.models.keras.network_predictor import keras_predictor
from nnperm_mlflow.models.tensor_predictor import TensorPredictor
from tests.support.simulations import in_full
from tests.support.stored import load, save

pytestmark = pytest.mark.slow

CHANNELS = 3


def pooled(layer):
    """Return a network's body: a layer over the series, and the mean of what it gives over the steps."""
    return lambda series: layers.GlobalAveragePooling1D()(layer(series))


def in_order(*several):
    def run(tensor):
        for layer in several:
            tensor = layer(tensor)
        return tensor

    return run


def attending(layer, **more):
    return lambda series: layers.GlobalAveragePooling1D()(layer(series, series, **more))


def by_cells():
    """A series whose steps are series themselves, one number a cell."""
    return layers.Reshape((-1, CHANNELS, 1))


def adapted():
    normal = layers.Normalization()
    normal.adapt(np.random.default_rng(2).normal(1, 3, size=(20, 4, CHANNELS)))
    return normal


ZOO = {
    "Conv1D, causal": lambda: pooled(layers.Conv1D(4, 3, padding="causal", activation="relu")),
    "Conv1D, dilated": lambda: pooled(layers.Conv1D(4, 2, padding="same", dilation_rate=2, activation="tanh")),
    "SeparableConv1D": lambda: pooled(layers.SeparableConv1D(4, 3, padding="same", activation="tanh")),
    "DepthwiseConv1D": lambda: pooled(layers.DepthwiseConv1D(3, padding="same", activation="tanh")),
    "Conv1DTranspose": lambda: pooled(layers.Conv1DTranspose(4, 3, strides=2, activation="tanh")),
    "LSTM": lambda: layers.LSTM(4),
    "LSTM, backwards": lambda: layers.LSTM(4, go_backwards=True),
    "GRU": lambda: layers.GRU(4),
    "SimpleRNN": lambda: layers.SimpleRNN(4),
    "Bidirectional(LSTM)": lambda: layers.Bidirectional(layers.LSTM(4)),
    "Bidirectional(GRU) of all steps": lambda: pooled(layers.Bidirectional(layers.GRU(4, return_sequences=True))),
    "RNN(LSTMCell)": lambda: layers.RNN(layers.LSTMCell(4)),
    "RNN of several cells": lambda: layers.RNN([layers.GRUCell(4), layers.LSTMCell(3)]),
    "LSTM on LSTM": lambda: in_order(layers.LSTM(4, return_sequences=True), layers.LSTM(3)),
    "ConvLSTM1D": lambda: in_order(by_cells(), layers.ConvLSTM1D(2, 2), layers.Flatten()),
    "TimeDistributed(Dense)": lambda: pooled(layers.TimeDistributed(layers.Dense(4, activation="tanh"))),
    "TimeDistributed(network)": lambda: pooled(
        layers.TimeDistributed(keras.Sequential([layers.Dense(4, activation="relu"), layers.Dense(2)]))
    ),
    "TimeDistributed(LayerNormalization)": lambda: pooled(
        in_order(layers.TimeDistributed(layers.LayerNormalization()), layers.Dense(3, activation="tanh"))
    ),
    "TimeDistributed(BatchNormalization)": lambda: pooled(
        in_order(layers.TimeDistributed(layers.BatchNormalization()), layers.Dense(3, activation="tanh"))
    ),
    "TimeDistributed(Conv1D)": lambda: pooled(
        in_order(by_cells(), layers.TimeDistributed(layers.Conv1D(2, 2, activation="tanh")),
                 layers.TimeDistributed(layers.Flatten()))
    ),
    "TimeDistributed(LSTM)": lambda: pooled(in_order(by_cells(), layers.TimeDistributed(layers.LSTM(3)))),
    "TimeDistributed behind a mask": lambda: in_order(
        layers.Masking(), layers.TimeDistributed(layers.Dense(3, activation="tanh")), layers.LSTM(3)
    ),
    "MultiHeadAttention": lambda: attending(layers.MultiHeadAttention(2, 3)),
    "MultiHeadAttention, causal": lambda: attending(layers.MultiHeadAttention(2, 3), use_causal_mask=True),
    "GroupQueryAttention": lambda: attending(layers.GroupQueryAttention(2, 4, 2)),
    "Attention": lambda: lambda series: layers.GlobalAveragePooling1D()(layers.Attention()([series, series])),
    "AdditiveAttention": lambda: lambda series: layers.GlobalAveragePooling1D()(
        layers.AdditiveAttention()([series, series])
    ),
    "GlobalAveragePooling1D": layers.GlobalAveragePooling1D,
    "GlobalMaxPooling1D": layers.GlobalMaxPooling1D,
    "GlobalAveragePooling1D behind a mask": lambda: in_order(layers.Masking(), layers.GlobalAveragePooling1D()),
    "LayerNormalization": lambda: pooled(in_order(layers.LayerNormalization(), layers.Dense(3, activation="tanh"))),
    "GroupNormalization": lambda: pooled(in_order(layers.GroupNormalization(1), layers.Dense(3, activation="tanh"))),
    "RMSNormalization": lambda: pooled(layers.RMSNormalization()),
    "UnitNormalization": lambda: pooled(layers.UnitNormalization()),
    "UnitNormalization over steps": lambda: pooled(layers.UnitNormalization(axis=1)),
    "BatchNormalization": lambda: pooled(in_order(layers.BatchNormalization(), layers.Dense(3, activation="tanh"))),
    "Normalization": lambda: pooled(in_order(adapted(), layers.Dense(3, activation="tanh"))),
    "Masking": lambda: in_order(layers.Masking(), layers.LSTM(4)),
    "ZeroPadding1D": lambda: in_order(layers.ZeroPadding1D((2, 1)), layers.LSTM(4)),
    "Cropping1D": lambda: in_order(layers.Cropping1D((1, 2)), layers.LSTM(4)),
    "UpSampling1D": lambda: in_order(layers.UpSampling1D(2), layers.LSTM(4)),
    "AveragePooling1D": lambda: in_order(layers.AveragePooling1D(2), layers.LSTM(4)),
    "MaxPooling1D": lambda: in_order(layers.MaxPooling1D(3, strides=2, padding="same"), layers.LSTM(4)),
    "RepeatVector": lambda: in_order(layers.LSTM(4), layers.RepeatVector(3), layers.GRU(3)),
    "Permute": lambda: in_order(layers.Permute((2, 1)), layers.GlobalMaxPooling1D(data_format="channels_first")),
    "Reshape": lambda: in_order(layers.Reshape((-1, 1, CHANNELS)), layers.TimeDistributed(layers.Flatten()),
                                layers.LSTM(3)),
    "SpatialDropout1D": lambda: in_order(layers.SpatialDropout1D(0.5), layers.LSTM(4)),
    "GaussianNoise": lambda: in_order(layers.GaussianNoise(1.0), layers.LSTM(4)),
    "EinsumDense": lambda: pooled(layers.EinsumDense("abc,cd->abd", output_shape=(None, 4), activation="tanh")),
    "Softmax over steps": lambda: lambda series: layers.Dot(1)([layers.Softmax(axis=1)(series), series]),
    "operations": lambda: lambda series: ops.concatenate(
        [series[:, -1], ops.mean(ops.cumsum(series, axis=1), axis=1), ops.max(ops.flip(series, 1)[:, ::2], axis=1)],
        axis=1,
    ),
}  # fmt: skip


def over_a_series(name):
    keras.utils.set_random_seed(7)
    given = keras.Input((None, CHANNELS), name="temporal_input")
    read = ZOO[name]()(given)
    if len(read.shape) > 2:
        read = layers.Flatten()(read)
    return keras.Model(given, layers.Dense(1)(read))


def series_of(n_rows, n_steps, seed=0):
    made = np.random.default_rng(seed).normal(size=(n_rows, n_steps, CHANNELS)).astype("float32")
    made[:, n_steps // 2 :] += 1.5
    made[::3, -2:] = 0  # for a mask to hide
    return made


MORE_ROWS, MORE_STEPS = (14, 6), (6, 14)
STEP_BY_STEP = ("TimeDistributed", "LSTM", "GRU", "RNN", "Attention", "RepeatVector", "Reshape")
"""What counts steps, or rows, itself: it may take one for the other."""
SHAPES = [
    (name, *shape)
    for number, name in enumerate(ZOO)
    for shape in (MORE_ROWS, MORE_STEPS)
    if in_full(True, any(each in name for each in STEP_BY_STEP) or shape == (MORE_ROWS, MORE_STEPS)[number % 2])
]


@pytest.mark.parametrize(("name", "n_rows", "n_steps"), SHAPES)
def test_a_network_over_a_series_of_any_length_gives_the_numbers_of_predict(name, n_rows, n_steps):
    series = series_of(n_rows, n_steps)
    network = over_a_series(name)
    block = keras_predictor(network).fitted({"temporal_input": series}).begin([{"temporal_input": series}])[0]
    donors = np.random.default_rng(1).permutation(n_rows)
    slots = [(slice(None), 1), (slice(-4, None), 0)]  # a channel, and a window of another
    changed = [series.copy() for _ in slots]
    for each, slot in zip(changed, slots, strict=True):
        each[(slice(None), *slot)] = series[donors][(slice(None), *slot)]
    served = over_a_series(name)  # of one length: `predict` may give something else for a second one
    together = served.predict(np.concatenate([series, *changed]), batch_size=n_rows, verbose=0)
    expected, *moved = np.split(together, 1 + len(slots))
    np.testing.assert_allclose(block.baseline, expected, rtol=0, atol=1e-6)
    changes = [
        Change((Slot("temporal_input", slot),), (series[donors][(slice(None), *slot)],), donors) for slot in slots
    ]
    for found, each in zip(block.predict(changes), moved, strict=True):
        deviation = np.abs(each - expected)
        np.testing.assert_allclose(np.abs(found - block.baseline), deviation, rtol=0, atol=1e-6)
        assert deviation.max() > 1e-5


def audited(path, series, **more):
    """Audit a stored network on a series; return the deviation table and the donors of each channel."""
    names = ["u", "v", "w"]
    data = dataset_from(pd.DataFrame(index=range(len(series))), {"s": Series(tuple(names), series, channel_axis=2)})
    result = audit({}, model_uri=str(path), data=data, **more)
    block = ShuffleBlock(0, np.arange(len(series)))
    return result.table, {name: donor_positions(block, 0, name, 0) for name in names}


@pytest.mark.parametrize("flavour", ["tensorflow", "keras"])
def test_an_audit_of_a_network_over_a_series_of_any_length_has_the_numbers_of_predict(flavour, tracked, tmp_path):
    series, name = series_of(40, 96), "TimeDistributed(Dense)"
    table, donors = audited(save(over_a_series(name), tmp_path / "model", flavour), series)
    network = over_a_series(name)
    expected = network.predict(series, verbose=0)[:, 0]
    np.testing.assert_allclose(table["baseline"], expected, rtol=0, atol=1e-6)
    for channel, name in enumerate(donors):
        changed = series.copy()
        changed[:, :, channel] = series[donors[name], :, channel]
        deviation = np.abs(network.predict(changed, verbose=0)[:, 0] - expected)
        np.testing.assert_allclose(table[name], deviation, rtol=0, atol=1e-6)


# Several series, and what they cost


def over_several():
    """Numbers, a series of vectors and a series of codes, the two of lengths of their own."""
    keras.utils.set_random_seed(7)
    given = [keras.Input((None, CHANNELS), name="temporal_input"), keras.Input((None,), name="codes", dtype="int32"),
             keras.Input((2,), name="num_input")]  # fmt: skip
    read = layers.LSTM(8)(layers.TimeDistributed(layers.Dense(4, activation="tanh"))(given[0]))
    words = layers.GlobalAveragePooling1D()(layers.TimeDistributed(layers.Dense(3))(layers.Embedding(5, 4)(given[1])))
    return keras.Model(given, layers.Dense(1)(layers.Concatenate()([read, words, given[2]])))


def rows_of_several(n_rows=16):
    generator = np.random.default_rng(3)
    return {
        "temporal_input": series_of(n_rows, 20),
        "codes": generator.integers(0, 5, (n_rows, 9)).astype("int32"),
        "num_input": generator.normal(size=(n_rows, 2)).astype("float32"),
    }


def test_series_of_any_length_are_run_by_branches():
    rows, others = rows_of_several(), rows_of_several()
    branches = keras_predictor(over_several()).fitted(rows)
    assert isinstance(branches, BranchPredictor)
    block = branches.begin([rows])[0]
    served = over_several()
    np.testing.assert_allclose(block.baseline, served.predict(rows, verbose=0), rtol=0, atol=1e-6)
    changes = [{name: others[name][::-1].copy()} for name in rows]
    for change, found in zip(changes, block.predict(map(Change.of, changes)), strict=True):
        np.testing.assert_allclose(found, served.predict({**rows, **change}, verbose=0), rtol=0, atol=1e-6)


def test_a_series_costs_what_its_length_makes_it_cost():
    """Taken for a single step, the numbers would seem the larger part, and blocks of rows be far too large."""
    rows = rows_of_several()
    branches = keras_predictor(over_several()).fitted(rows)
    fixed = keras.Input((20, CHANNELS), name="temporal_input")
    read = layers.LSTM(8)(layers.TimeDistributed(layers.Dense(4, activation="tanh"))(fixed))
    alone = keras_predictor(keras.Model(fixed, read)).fitted({"temporal_input": rows["temporal_input"]})
    assert branches.shares["temporal_input"] > 0.9
    assert branches.shares["num_input"] < 0.1
    assert branches.row_bytes >= alone.row_bytes


# Compiled, it is compared with the model itself


def test_a_network_without_a_graph_gives_the_numbers_of_predict():
    class ByHand(keras.Model):
        def __init__(self):
            super().__init__()
            self.each, self.last = layers.TimeDistributed(layers.Dense(4, activation="tanh")), layers.Dense(1)

        def call(self, series):
            return self.last(ops.mean(self.each(series), axis=1))

    series = series_of(6, 14)
    network = ByHand()
    expected = network.predict(series, verbose=0)
    specs = [InputSpec("temporal_input", (None, CHANNELS), np.dtype("float32"))]
    block = keras_predictor(network, specs).fitted({"temporal_input": series}).begin([{"temporal_input": series}])[0]
    np.testing.assert_allclose(block.baseline, expected, rtol=0, atol=1e-6)


def is_told(caplog):
    return "compiled, the network gives other numbers" in caplog.text


def function_of(x):
    """Another function where the number of rows is not known, as while it is compiled."""
    return x["x"] * (2.0 if x["x"].shape[0] is None else 1.0)


def failing_compiled(x):
    if x["x"].shape[0] is None:
        raise KeyError("the number of rows")
    return x["x"]


def filling_compiled(x):
    """As a compiled ReLU may do."""
    return tf.where(tf.math.is_nan(x["x"]), 0.5, x["x"]) if tf.inside_function() else x["x"]


@pytest.mark.parametrize("function", [function_of, failing_compiled])
def test_what_is_another_function_when_it_is_compiled_is_called_as_it_is(function, caplog):
    rows = {"x": np.arange(8.0, dtype="float32")[:, None]}
    predictor = TensorPredictor([InputSpec("x", (1,), np.dtype("float32"))], OutputSpec(), function)
    block = predictor.fitted(rows).begin([rows])[0]
    assert is_told(caplog)
    (found,) = block.predict([Change.of({"x": rows["x"][::-1]})])
    np.testing.assert_array_equal(block.baseline, rows["x"])
    np.testing.assert_array_equal(found, rows["x"][::-1])


def test_what_draws_numbers_by_chance_is_not_called_another_function(caplog):
    rows = {"x": np.arange(8.0, dtype="float32")[:, None]}
    specs = [InputSpec("x", (1,), np.dtype("float32"))]
    TensorPredictor(specs, OutputSpec(), lambda x: x["x"] + tf.random.normal(tf.shape(x["x"]))).fitted(rows)
    assert not is_told(caplog)


def test_a_number_that_compiling_makes_of_a_missing_one_is_no_difference(caplog):
    rows = {"x": np.array([[1.0], [np.nan], [3.0]], dtype="float32")}
    specs = [InputSpec("x", (1,), np.dtype("float32"))]
    TensorPredictor(specs, OutputSpec(), filling_compiled).fitted(rows)
    assert not is_told(caplog)


def test_what_cannot_be_called_uncompiled_is_called_compiled(caplog):
    def function(x):
        return x["x"] * (1.0 if tf.inside_function() else x["missing"])

    rows = {"x": np.arange(8.0, dtype="float32")[:, None]}
    predictor = TensorPredictor([InputSpec("x", (1,), np.dtype("float32"))], OutputSpec(), function).fitted(rows)
    np.testing.assert_array_equal(predictor.begin([rows])[0].baseline, rows["x"])
    assert not is_told(caplog)


@keras.saving.register_keras_serializable("elsewhere")
class Calibrated(keras.Model):
    """What it is trained on are logits, what `predict` gives are probabilities."""

    def predict_step(self, data):
        return ops.sigmoid(super().predict_step(data))


def test_a_network_with_a_predict_of_its_own_gives_what_that_gives(tmp_path, caplog):
    """It is what MLflow calls."""
    keras.utils.set_random_seed(1)
    given = keras.Input((CHANNELS,), name="num_input")
    path = save(Calibrated(given, layers.Dense(1)(given)), tmp_path / "model")
    rows = {"num_input": np.random.default_rng(0).normal(size=(9, CHANNELS)).astype("float32")}
    block = load(path).fitted(rows).begin([rows])[0]
    served = mlflow.pyfunc.load_model(str(path))
    np.testing.assert_allclose(block.baseline, served.predict(rows["num_input"]), rtol=0, atol=1e-6)
    changed = rows["num_input"][::-1]
    for found in block.predict([Change.of({"num_input": changed})] * 2):
        np.testing.assert_allclose(found, served.predict(changed), rtol=0, atol=1e-6)
    assert is_told(caplog)


def test_a_series_of_a_length_that_the_network_does_not_take_is_told_of():
    given = keras.Input((None, CHANNELS), name="temporal_input")
    placed = layers.Embedding(12, CHANNELS)(ops.arange(12))
    network = keras.Model(given, layers.Dense(1)(layers.GlobalAveragePooling1D()(given + placed)))
    rows = {"temporal_input": series_of(5, 13)}
    with pytest.raises(PredictionError, match=r"failed \(\w+\)\. A series of another length than the network takes"):
        keras_predictor(network).fitted(rows).begin([rows])[0]
