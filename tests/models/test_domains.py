"""What a network can tell apart of its inputs, and data that hold something else."""

import logging

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
from keras import layers, ops
from mlflow.models import infer_signature

from nnperm_mlflow import audit
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.basics.errors import DataError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.keras.network_predictor import keras_predictor

CITIES = ["Ulm", "Bonn", "Köln"]


def told(inputs, output):
    """Return for each input what is known of it: the layer's class, its values, and the places that it takes."""
    specs = keras_predictor(keras.Model(inputs, output)).inputs
    return {spec.name: [(each.layer.split()[0], each.known, each.places) for each in spec.domains] for spec in specs}


def flat(layer, tensor):
    return layers.Flatten()(layer(tensor))


def test_lookups_and_embeddings_tell_what_they_know():
    words, numbers = keras.Input((1,), name="words", dtype="string"), keras.Input((1,), name="numbers", dtype="int64")
    codes, single = keras.Input((1,), name="codes"), keras.Input((), name="single", dtype="int32")
    parts = [
        layers.StringLookup(vocabulary=CITIES, output_mode="one_hot", mask_token="?")(words),
        layers.IntegerLookup(vocabulary=[7, 9], output_mode="one_hot")(numbers),
        flat(layers.Embedding(12, 2), codes),
        layers.CategoryEncoding(5, output_mode="one_hot")(ops.expand_dims(single, -1)),
        ops.one_hot(single, 4),
    ]
    assert told([words, numbers, codes, single], layers.Concatenate()(parts)) == {
        "words": [("StringLookup", frozenset([*CITIES, "?"]), None)],
        "numbers": [("IntegerLookup", frozenset([7, 9]), None)],
        "codes": [("Embedding", range(12), None)],
        "single": [("CategoryEncoding", range(5), None), ("OneHot", range(4), None)],
    }


def test_what_is_picked_from_a_matrix_is_known_by_its_places():
    codes, place = keras.Input((5,), name="codes", dtype="int32"), keras.Input((1,), name="place", dtype="int32")
    parts = [
        flat(layers.Embedding(3, 2), codes[:, 1]),
        flat(layers.Embedding(4, 2), layers.Reshape((2, 1))(codes[:, 3:5])),
        flat(layers.Embedding(9, 2), layers.Concatenate()([ops.cast(codes[:, ::4], "int32"), place])),
        ops.cast(codes, "float32"),
    ]
    found = told([codes, place], layers.Concatenate()(parts))
    assert {places: known for _, known, places in found["codes"]} == {
        (1,): range(3),
        (3, 4): range(4),
        (0, 4): range(9),
    }
    assert found["place"] == [("Embedding", range(9), None)]


def test_a_network_inside_and_a_series_of_any_length_are_looked_into():
    inner = keras.Input((2,), dtype="int32")
    part = keras.Model(inner, flat(layers.Embedding(6, 3), inner))
    pair, items = keras.Input((2,), name="pair", dtype="int32"), keras.Input((None,), name="items", dtype="int32")
    parts = [part(pair), layers.LSTM(2)(layers.Embedding(8, 2)(items))]
    assert told([pair, items], layers.Concatenate()(parts)) == {
        "pair": [("Embedding", range(6), None)],
        "items": [("Embedding", range(8), None)],
    }


def test_nothing_is_said_where_values_are_computed_first_or_unknown_ones_are_spread():
    words, codes = keras.Input((1,), name="words", dtype="string"), keras.Input((1,), name="codes", dtype="int32")
    parts = [
        flat(layers.Embedding(3, 2), codes - 1),
        layers.StringLookup(vocabulary=CITIES, num_oov_indices=4, output_mode="one_hot")(words),
        layers.Hashing(8, output_mode="one_hot")(words),
        layers.Discretization([2.0], output_mode="one_hot")(codes),
    ]
    assert told([words, codes], layers.Concatenate()(parts)) == {"words": [], "codes": []}


class ByHand(keras.Model):
    def call(self, inputs):
        return inputs


def test_a_network_without_a_graph_tells_nothing():
    specs = [InputSpec("codes", (2,), np.dtype("int32"))]
    assert keras_predictor(ByHand(), specs).inputs == tuple(specs)


# Data that hold something else


def network(**more):
    """A network of a word, looked up, and a number."""
    words, age = keras.Input((1,), name="city_input", dtype="string"), keras.Input((1,), name="age")
    looked_up = layers.StringLookup(vocabulary=CITIES, output_mode="one_hot", name="cities", **more)(words)
    keras.utils.set_random_seed(3)
    return keras.Model([words, age], layers.Dense(1)(layers.Concatenate()([looked_up, age])))


def bind(model, **columns):
    return bind_inputs(keras_predictor(model).inputs, dataset_from(pd.DataFrame(columns)), {})


def warnings_of(caplog, model, **columns):
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        bind(model, **columns)
    return [record.getMessage() for record in caplog.records]


def test_words_that_are_known_need_no_word(caplog):
    assert warnings_of(caplog, network(), city=CITIES, age=[1.0, 2.0, 3.0]) == []


def test_integers_for_names_are_refused_and_why():
    """Each was out of the vocabulary: "no measurable effect", and every number of wrong predictions."""
    with pytest.raises(DataError) as caught:
        bind(network(), city=[0, 1, 2], age=[1.0, 2.0, 3.0])
    message = str(caught.value)
    assert (
        "'city' holds not one value that StringLookup 'cities', behind the model's input 'city_input', knows" in message
    )
    assert "Its numbers were turned into text" in message
    assert "Ulm" not in message


def test_numbers_that_reach_a_model_as_text_are_told(caplog):
    words = keras.Input((1,), name="grade_input", dtype="string")
    model = keras.Model(words, layers.StringLookup(vocabulary=["1", "2"], output_mode="one_hot")(words))
    assert warnings_of(caplog, model, grade=[1, 2, 2]) == [
        "the numbers of 'grade' reach the model as text, as in '1' or '1.0': it takes text there"
    ]
    with pytest.raises(DataError, match="'grade' holds not one value"):
        bind(model, grade=[1.0, 2.0, 2.0])


def test_the_share_of_what_is_not_known_is_told(caplog):
    told = warnings_of(caplog, network(), city=["Ulm", "Bern", "Bonn", "Genf"] * 50, age=np.zeros(200))
    assert told == [
        "50 % of the values of 'city' (100 of 200) are none that StringLookup 'cities', behind the model's input "
        "'city_input', knows: the network takes them for one another, or fails"
    ]


@pytest.mark.parametrize(
    ("values", "dtype", "strange"),
    [
        ([0, 1, 2, 2], "int32", 0),
        ([0, 1, 2, -1], "int32", 1),
        ([3, 1, 2, -1], "float32", 2),
        ([2.9, 0.0, 1.0, -0.5], "float32", 0),
    ],
)
def test_codes_beyond_an_embedding_are_told(caplog, values, dtype, strange):
    """Of them -1 is to Keras the last code, and no error."""
    codes = keras.Input((1,), name="code", dtype=dtype)
    model = keras.Model(codes, flat(layers.Embedding(3, 2), codes))
    told = warnings_of(caplog, model, code=values)
    assert [f"({strange} of 4)" in line for line in told] == [True] * bool(strange)
    with pytest.raises(DataError, match=r"Embedding.* made for the codes 0 to 2 \(3 of them\)"):
        bind(model, code=[3, -1, 7, 9])


def test_of_a_matrix_of_codes_the_column_is_told(caplog):
    codes = keras.Input((3,), name="codes", dtype="int32")
    parts = [flat(layers.Embedding(3, 2), codes[:, 0:2]), flat(layers.Embedding(9, 2), codes[:, 2])]
    model = keras.Model(codes, layers.Concatenate()(parts))
    assert warnings_of(caplog, model, a=[0, 1], b=[2, 0], c=[8, 3]) == []
    (told,) = warnings_of(caplog, model, a=[0, 1], b=[2, 3], c=[8, 3])
    assert "of 'b' (1 of 2)" in told
    with pytest.raises(DataError, match="'c' holds not one value"):
        bind(model, a=[0, 1], b=[2, 0], c=[9, 9])


def test_a_value_to_set_that_the_network_does_not_know_is_told(caplog):
    bound = bind(network(), city=CITIES, age=[1.0, 2.0, 3.0])
    with caplog.at_level(logging.WARNING):
        plan_perturbations(bound, "models:/cities/1", AnalysisConfig(set={"city": ["Ulm"], "age": [99]}))
    assert not caplog.records
    plan_perturbations(bound, "models:/cities/1", AnalysisConfig(set={"city": ["ulm", "Bonn"]}))
    assert [record.getMessage() for record in caplog.records] == [
        "'city' is set to 'ulm', which StringLookup 'cities' does not know: the network takes it for any other unknown "
        "value, or fails"
    ]


def test_integers_for_names_end_an_audit(tracked, tmp_path):
    model = network()
    given = {"city_input": np.array([["Ulm"], ["Bonn"]], dtype=object), "age": np.zeros((2, 1), "float32")}
    with mlflow.start_run():
        mlflow.tensorflow.log_model(
            model, name="cities", signature=infer_signature(given, np.zeros((2, 1), "float32")),
            pip_requirements=["keras"], registered_model_name="cities",
        )  # fmt: skip
    pd.DataFrame({"city": [0, 1, 2] * 10, "age": np.linspace(0, 1, 30)}).to_csv(tmp_path / "t.csv", index=False)
    config = {"data": {"static": str(tmp_path / "t.csv")}}
    with pytest.raises(DataError, match="'city' holds not one value that StringLookup 'cities'"):
        audit(config, model_uri="models:/cities/latest")
    pd.DataFrame({"city": CITIES * 10, "age": np.linspace(0, 1, 30)}).to_csv(tmp_path / "t.csv", index=False)
    assert audit(config, model_uri="models:/cities/latest").summary.set_index("perturbation").loc["city", "max"] > 0
