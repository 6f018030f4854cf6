"""Which inputs of a network can interact at all: told by its graph, and never where a call would tell otherwise."""

import keras
import numpy as np
import pytest

from nnperm_mlflow.inputs.slots import Feature, Slot
from nnperm_mlflow.models.keras.network_predictor import keras_predictor
from nnperm_mlflow.models.separability import never_interact

RNG = np.random.default_rng(0)
ROWS = {
    "numbers": RNG.normal(size=(64, 3)).astype("float32"),
    "code": RNG.integers(0, 4, (64, 1)).astype("int32"),
    "history": RNG.normal(size=(64, 5, 2)).astype("float32"),
}


def network(activation="linear", hidden=None, join=keras.layers.Concatenate):
    keras.utils.set_random_seed(1)
    numbers, code = keras.Input((3,), name="numbers"), keras.Input((1,), name="code", dtype="int32")
    history = keras.Input((5, 2), name="history")
    own = keras.layers.Dense(4, activation="relu")(numbers)
    embedded = keras.layers.Flatten()(keras.layers.Embedding(4, 4)(code))
    joined = join()([own, embedded, keras.layers.LSTM(4)(history)])
    joined = joined if hidden is None else keras.layers.Dense(6, activation=hidden)(joined)
    return keras.Model([numbers, code, history], keras.layers.Dense(1, activation=activation)(joined))


def feature(name, index=()):
    return Feature(f"{name}{index}", (Slot(name, index),), "number")


NUMBERS, CODE, HISTORY = feature("numbers"), feature("code"), feature("history")


def told(model, first, second, scale="prediction"):
    return never_interact(keras_predictor(model).fitted(ROWS), first, second, scale=scale)


def second_difference(model, first, second):
    """By how much two inputs of the rows turned round move predictions together beyond each alone, at most."""
    turned = {name: array[::-1] for name, array in ROWS.items()}

    def predict(*names):
        inputs = {name: turned[name] if name in names else array for name, array in ROWS.items()}
        return model([inputs[name] for name in ROWS], training=False).numpy()

    return np.abs(predict(first, second) - predict(first) - predict(second) + predict()).max()


@pytest.mark.parametrize("join", [keras.layers.Concatenate, keras.layers.Add])
def test_branches_that_meet_in_affine_layers_alone_never_interact(join):
    model = network(join=join)
    assert told(model, NUMBERS, CODE)
    assert told(model, CODE, HISTORY)
    assert second_difference(model, "numbers", "code") < 1e-6


@pytest.mark.parametrize(
    "model", [network("sigmoid"), network(hidden="relu"), network("tanh"), network(join=keras.layers.Multiply)]
)
def test_an_activation_behind_the_meeting_or_a_product_may_let_them_interact(model):
    assert not told(model, NUMBERS, CODE)
    assert second_difference(model, "numbers", "code") > 1e-5


def test_columns_of_one_input_meet_in_its_own_layers():
    model = network()
    assert not told(model, feature("numbers", (0,)), feature("numbers", (1,)))
    assert not told(model, feature("history", (slice(None), 0)), feature("history", (slice(None), 1)))


def test_before_the_activation_a_sigmoid_of_the_output_is_looked_past_and_no_other():
    assert told(network("sigmoid"), NUMBERS, CODE, scale="logit")
    assert not told(network("tanh"), NUMBERS, CODE, scale="logit")
    assert not told(network("sigmoid", hidden="sigmoid"), NUMBERS, CODE, scale="logit")


def test_of_a_model_without_a_graph_nothing_is_told():
    assert not never_interact(keras_predictor(network()), NUMBERS, CODE, scale="prediction")
