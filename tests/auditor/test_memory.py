"""Rows in memory, in each form that a user of Python has them: the same rows give the same audit as files do."""

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow import Dataset, audit, plan_audit
from nnperm_mlflow.auditor.memory import rows_given
from nnperm_mlflow.basics.errors import ConfigError, DataError, ShapeError
from tests.support.cases import slow
from tests.support.house import House, register

HOUSE = "models:/house/1"
NUMBERS, CHANNELS = ["age", "income", "flag"], ["balance", "payment"]
SEED = {"analysis": {"seed": 3}}


@pytest.fixture(scope="module")
def from_files(house, store):
    mlflow.set_tracking_uri(store)
    return audit(house.config, model_uri=HOUSE).table.drop(columns="row_id")


def in_network_order(house):
    return {**house.inputs, "region_input": house.table["region"].to_numpy()}


FORMS = {
    "arrays by the names of inputs": lambda house: {
        "data": in_network_order(house),
        "channels": {"num_input": NUMBERS, "region_input": ["region"], "temporal_input": CHANNELS},
        "config": SEED,
    },
    "arrays called as the configuration calls them": lambda house: {
        "data": house.inputs,
        "config": {**house.settings(), "inputs": {**house.settings()["inputs"], "region_input": "region",
                                                  "temporal_input": "history"}},
    },
    "tables by the names of inputs": lambda house: {
        "data": {
            "num_input": house.table[NUMBERS], "region_input": house.table["region"],
            "temporal_input": house.inputs["temporal_input"],
        },
        "channels": {"temporal_input": CHANNELS},
        "config": SEED,
    },
    "a table and an array, steps before channels": lambda house: {
        "data": (house.table[[*NUMBERS, "region"]], house.inputs["temporal_input"]),
        "channels": {"temporal_input": CHANNELS},
        "config": SEED,
    },
    "a table and an array, channels before steps": lambda house: {
        "data": (house.table[[*NUMBERS, "region"]], house.history),
        "channels": {"temporal_input": CHANNELS},
        "config": SEED,
    },
    "a table and an array in place of the files of a configuration": lambda house: {
        "data": (house.table, house.history),
        "config": {**house.settings(), "inputs": {**house.settings()["inputs"], "temporal_input": "history"}},
    },
    "a table in place of the file of a configuration": lambda house: {"data": house.table, "config": house.config},
}  # fmt: skip


QUICK = ("arrays by the names of inputs", "a table in place of the file of a configuration")


@pytest.mark.parametrize("form", [*QUICK, *slow(*(form for form in FORMS if form not in QUICK))])
def test_the_same_rows_give_the_same_deviations_as_from_files(form, house, from_files, tracked):
    table = audit(HOUSE, **FORMS[form](house)).table.drop(columns="row_id", errors="ignore")
    pd.testing.assert_frame_equal(table[from_files.columns], from_files)
    assert len(table.columns) == len(from_files.columns)


@pytest.fixture(scope="module")
def unnamed(house, store):
    """The audit of arrays of which nothing says what their numbers are, and the arrays as they were before."""
    mlflow.set_tracking_uri(store)
    before = {name: array.copy() for name, array in house.inputs.items()}
    return audit(HOUSE, data=house.inputs), before


def test_without_names_features_are_called_by_their_input_and_their_place(unnamed):
    features = set(unnamed[0].summary["feature"])
    numbers, channels = {f"num_input {n}" for n in (1, 2, 3)}, {f"temporal_input channel {n}" for n in (1, 2)}
    assert features == {*numbers, *channels, "region_input"}


def test_what_was_audited_is_told_as_rows_in_memory(unnamed):
    assert unnamed[0].subtitle == f"{HOUSE} on 400 rows in memory"


def test_nothing_that_was_given_is_changed(house, unnamed):
    _, before = unnamed
    for name, array in house.inputs.items():
        assert np.array_equal(array, before[name])


@pytest.mark.slow
def test_labels_give_the_drops_that_a_column_of_labels_gives(house, tracked):
    scores = {"analysis": {"seed": 3, "scores": ["roc_auc"]}}
    labels = house.table["label"].to_numpy()
    expected = audit({**house.settings(), **scores}, model_uri=HOUSE).metrics["roc_auc_drop/age"]
    data = {"num_input": house.table[NUMBERS], "region_input": house.inputs["region_input"],
            "temporal_input": house.inputs["temporal_input"]}  # fmt: skip
    assert audit(HOUSE, data=data, labels=labels, config=scores).metrics["roc_auc_drop/age"] == expected
    for given in (pd.Series(labels), pd.Series(labels, name="late"), labels.tolist(), labels[:, None]):
        rows = rows_given(data, given)
        assert (rows.labels.tolist(), rows.data) == (labels.tolist(), data)
    assert plan_audit(HOUSE, data=data, labels=labels, config=scores).plan.scores.names == ("roc_auc",)


@pytest.fixture(scope="module")
def lone(store, tmp_path_factory):
    """A network of one input, y = a + 2 b, in the registry and in a directory."""
    mlflow.set_tracking_uri(store)
    inputs = keras.Input((2,), name="input_layer")
    network = keras.Sequential([inputs, keras.layers.Dense(1, use_bias=False)])
    network.set_weights([np.array([[1.0], [2.0]])])
    rows = np.random.default_rng(0).integers(0, 9, (30, 2)).astype("float32")
    register(House("lone", network, rows, pd.DataFrame(), rows, None))
    folder = tmp_path_factory.mktemp("lone")
    signature = mlflow.models.infer_signature(rows, rows[:, :1])
    mlflow.tensorflow.save_model(network, folder / "model", signature=signature, pip_requirements=["keras"])
    return folder / "model", rows


@pytest.mark.parametrize("path_as", [str, lambda path: path, lambda _: "models:/lone/1"])
def test_the_first_argument_may_be_the_uri_or_the_directory_of_a_model(lone, path_as, tracked):
    path, rows = lone
    table = audit(path_as(path), data=rows).table
    assert table["input_layer 2"].max() > 0
    assert (table["input_layer 2"] % 2 == 0).all()
    assert plan_audit(path_as(path), data=rows).plan.dataset.n_rows == 30


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"data": "clients.csv"}, DataError, "must be a DataFrame, a dict of arrays .* a str came. Files are named in"),
        ({"data": [[1, 2]]}, DataError, "a list came"),
        ({"data": (pd.DataFrame({"a": [1]}), np.zeros(1))}, DataError, r"\(DataFrame, ndarray\) came. Labels go"),
        ({"data": (np.zeros((2, 2)), np.zeros((2, 3, 3)))}, DataError, r"\(ndarray, ndarray\) came"),
        ({"labels": [0, 1]}, ConfigError, "'labels' and 'channels' go with rows in memory"),
        ({"data": Dataset({}, {}, 2), "labels": [0, 1]}, ConfigError, "not with a Dataset, which names its own"),
        ({"data": pd.DataFrame({"a": [1]}), "labels": np.zeros((1, 2))}, ShapeError, r"have|has the shape \(1, 2\)"),
    ],
)  # fmt: skip
def test_what_no_rows_can_be_is_refused_before_anything_is_loaded(given, error, message):
    with pytest.raises(error, match=message):
        audit("models:/nobody/1", **given)
    with pytest.raises(error, match=message):
        rows_given(**{"data": None, **given})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda data: data | {"labels": np.zeros(400)}, DataError, "'labels' is no input .* Labels go behind labels="),
        (lambda data: data | {"num_inputs": 0}, DataError, "'num_inputs' is no input.*Did you mean 'num_input'"),
        (lambda data: data | {"num_input": np.zeros((400, 2, 3, 4))}, ShapeError, r"shape \(400, 2, 3, 4\); expected"),
        (lambda data: data | {"num_input": np.zeros((9, 3))}, DataError, "all data must have the same rows"),
        (lambda data: data | {"num_input": [[1], [1, 2]]}, ShapeError, "no array: its rows have different lengths"),
        (lambda data: {name: data[name] for name in ("num_input", "region_input")}, ConfigError, "'temporal_input'"),
        (lambda data: data["num_input"], DataError, "an array of shape .* for a model of 3 inputs.*Give a dict"),
    ],
)  # fmt: skip
def test_what_is_not_what_the_model_takes_is_refused(change, error, message, house, tracked):
    with pytest.raises(error, match=message):
        audit(HOUSE, data=change(house.inputs))


def test_a_pair_is_for_a_model_with_one_history(lone, house, tracked):
    with pytest.raises(DataError, match="has 0 .none.. Give a dict with an array for each input: 'input_layer'"):
        audit("models:/lone/1", data=(house.table, house.history))
    with pytest.raises(ConfigError, match="'nums' is no array"):
        audit(HOUSE, data=house.inputs, channels={"nums": ["a"]})


def test_labels_and_a_column_of_labels_are_one_too_many(house, tracked):
    with pytest.raises(ConfigError, match="labels are given, and 'data: label' names 'label'"):
        audit(HOUSE, data=house.table, labels=house.table["flag"], config=house.config)


def test_two_models_or_two_configurations_are_refused(house, tmp_path):
    with pytest.raises(ConfigError, match="two models are named, 'models:/a/1' and 'models:/b/1'"):
        audit("models:/a/1", model_uri="models:/b/1")
    with pytest.raises(ConfigError, match="two configurations are given"):
        plan_audit(house.config, config=house.config)
    with pytest.raises(ConfigError, match="is a directory: a configuration is a YAML file, and a model's directory"):
        audit(tmp_path)
