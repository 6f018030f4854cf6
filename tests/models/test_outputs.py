"""What a network says of its outputs: each is what the layer behind it makes it, whatever stands beside it."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from nnperm_mlflow import audit
from nnperm_mlflow.analysis.engine.decisions import Decision, choose_decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.specs import Head, InputSpec
from nnperm_mlflow.models.keras.network_predictor import keras_predictor
from tests.support.stored import save

AMOUNT, SURE, CLASS = ("amount", "linear"), ("sure", "sigmoid"), ("class", "softmax")


def given():
    return keras.Input((3,), name="num_input")


def with_heads(*heads):
    x = given()
    widths = {"amount": 1, "sure": 1, "class": 3}
    return keras.Model(x, [layers.Dense(widths[name], activation=last, name=name)(x) for name, last in heads])


def told(network):
    """Return unit and decision of each output that may be followed."""
    outputs = keras_predictor(network).outputs
    count = len(outputs.names)
    measures = {name: choose_measure(name, count, outputs.names) for name in outputs.names}
    return {
        name: (outputs.unit_of(measure.columns), choose_decision(None, measure, count, outputs))
        for name, measure in measures.items()
    }


@pytest.mark.parametrize("heads", [(AMOUNT, SURE), (SURE, AMOUNT)])
def test_an_amount_beside_a_probability_is_none_in_either_order(heads):
    found = told(with_heads(*heads))
    column = heads.index(SURE)
    assert found == {"amount": (None, None), "sure": ("probability", Decision((column,), 0.5))}


def test_of_classes_beside_an_amount_the_largest_decides():
    found = told(with_heads(CLASS, AMOUNT, SURE))
    assert found["amount"] == (None, None)
    assert found["sure"] == ("probability", Decision((4,), 0.5))
    assert {found[f"class_{number}"] for number in range(3)} == {("probability", Decision((0, 1, 2)))}


@pytest.mark.parametrize(("heads", "unit"), [((AMOUNT, SURE), None), ((SURE, CLASS), "probability")])
def test_what_is_measured_over_several_outputs_has_the_unit_that_they_share(heads, unit):
    outputs = keras_predictor(with_heads(*heads)).outputs
    measure = choose_measure("max", len(outputs.names), outputs.names)
    assert outputs.unit == outputs.unit_of(measure.columns) == unit
    assert choose_decision(None, measure, len(outputs.names), outputs) is None


ENDS = {
    "a dense layer": layers.Dense(2, activation="softmax"),
    "a layer that is an activation": lambda x: layers.Softmax()(layers.Dense(2)(x)),
    "an activation in single precision": lambda x: layers.Activation("softmax", dtype="float32")(layers.Dense(2)(x)),
    "an operation": lambda x: keras.ops.softmax(layers.Dense(2)(x)),
    "a network inside": keras.Sequential([layers.Dense(2), layers.Softmax()]),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_classes_are_known_whatever_makes_them(end):
    x = given()
    assert keras_predictor(keras.Model(x, end(x))).outputs.heads == (Head((0, 1), "probability", True),)


def test_a_sequential_network_is_known_by_its_end():
    network = keras.Sequential([given(), layers.Dense(1), layers.Activation("sigmoid")])
    assert keras_predictor(network).outputs.heads == (Head((0,), "probability"),)


def test_a_probability_that_is_made_into_something_else_is_none():
    x = given()
    network = keras.Model(x, layers.Rescaling(100.0)(layers.Dense(1, activation="sigmoid")(x)))
    assert keras_predictor(network).outputs.heads == (Head((0,)),)


def test_each_output_of_a_network_inside_is_its_own_and_a_shared_layer_s_are_alike():
    x, y = keras.Input((3,), name="x_input"), keras.Input((3,), name="y_input")
    inner = with_heads(AMOUNT, SURE)
    amount, sure = inner(x)
    shared = layers.Dense(2, activation="softmax")
    network = keras.Model([x, y], [shared(x), sure, shared(y), amount])
    assert keras_predictor(network).outputs.heads == (
        Head((0, 1), "probability", True),
        Head((2,), "probability"),
        Head((3, 4), "probability", True),
        Head((5,)),
    )


class Split(layers.Layer):
    """A layer of two outputs."""

    def call(self, x):
        return x[:, :1], x[:, 1:]


def test_outputs_that_a_layer_gives_together_are_told_apart():
    x = given()
    outputs = keras_predictor(keras.Model(x, list(Split()(x)))).outputs
    assert outputs.heads == (Head((0,)), Head((1, 2)))


def test_outputs_of_more_axes_have_the_unit_that_all_heads_share():
    x = keras.Input((None, 3), name="temporal_input")
    steps, other = layers.Dense(1, activation="sigmoid")(x), layers.Dense(1)(x)
    assert keras_predictor(keras.Model(x, steps)).outputs.unit_of([5]) == "probability"
    assert keras_predictor(keras.Model(x, [steps, other])).outputs.unit_of([5]) is None


class ByHand(keras.Model):
    """A network without a graph."""

    def __init__(self):
        super().__init__()
        self.hidden, self.last = layers.Dense(2), layers.Dense(1, activation="sigmoid")

    def call(self, x):
        return self.last(self.hidden(x))


def test_a_network_without_a_graph_is_known_by_its_last_layer():
    outputs = keras_predictor(ByHand(), [InputSpec("num_input", (3,), np.dtype("float32"))]).outputs
    assert (outputs.names, outputs.unit_of([0])) == ((), "probability")


@pytest.mark.parametrize(("output", "unit"), [("amount", "unit of the prediction"), ("sure", "probability")])
def test_the_axis_bears_the_unit_of_the_output_that_is_followed(output, unit, tracked, tmp_path):
    path = save(with_heads(AMOUNT, SURE), tmp_path / "model")
    data = dataset_from(pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=["a", "b", "c"]))
    config = {"inputs": {"num_input": ["a", "b", "c"]}, "analysis": {"output": output}}
    result = audit(config, model_uri=str(path), data=data)
    assert result.unit == unit
    assert result.summary["flipped_share"].isna().all() == (output == "amount")
