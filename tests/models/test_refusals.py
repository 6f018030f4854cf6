"""What is said where a model is not audited: the cause, and what helps."""

import os
import shutil
import subprocess
import sys

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml
from keras import layers
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier

from nnperm_mlflow import audit
from nnperm_mlflow.basics.errors import ModelError, TrackingError, UntrustedModelError
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.registry.error_explanation import explained
from tests.support.stored import change_mlmodel, clients, encoded, load, numbers, predicted, save, save_pipeline, single

# Files that are neither code nor pickles

COLUMN = '[{"type": "double", "name": "a"}]'


def flavoured(path, own, python, file):
    """Store a model of another flavour, as MLflow describes it, with a file of nonsense."""
    path.mkdir()
    (path / file).parent.mkdir(exist_ok=True)
    (path / file).write_bytes(b"nonsense")
    flavours = {python["loader_module"].rpartition(".")[2]: own, "python_function": python}
    (path / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours, "signature": {"inputs": COLUMN}}))
    return path


NATIVE = {
    "XGBoost": (
        {"data": "model.ubj", "model_class": "xgboost.sklearn.XGBClassifier", "model_format": "ubj", "code": None},
        {"loader_module": "mlflow.xgboost", "data": "model.ubj"},
    ),
    "LightGBM": (
        {"data": "model.lgb", "model_class": "lightgbm.basic.Booster", "code": None},
        {"loader_module": "mlflow.lightgbm", "data": "model.lgb", "code": None},
    ),
    "CatBoost": (
        {"data": "model.cb", "model_type": "CatBoostClassifier", "save_format": "cbm"},
        {"loader_module": "mlflow.catboost", "data": "model.cb"},
    ),
}


@pytest.mark.parametrize("reader", NATIVE)
def test_a_file_of_neither_code_nor_pickles_is_not_called_so(tmp_path, reader):
    own, python = NATIVE[reader]
    path = flavoured(tmp_path / "model", own, python, own["data"])
    told = rf"which holds neither pickles nor code; but {reader}, a native library.*allow it with --trust-model"
    with pytest.raises(UntrustedModelError, match=told):
        load(path)


@pytest.mark.parametrize(
    ("reader", "more"), [("LightGBM", {"code": "code"}), ("XGBoost", {"model_class": "os.path"})], ids=["code", "class"]
)
def test_a_file_beside_which_code_would_run_is_one_of_code(tmp_path, reader, more):
    own, python = NATIVE[reader]
    path = flavoured(tmp_path / "model", {**own, **more}, python, own["data"])
    with pytest.raises(UntrustedModelError, match="from pickles or code, which would run"):
        load(path)


def test_a_pickle_of_a_flavour_that_has_files_of_its_own_is_one_of_pickles(tmp_path):
    own = {"data": "model.pkl", "model_class": "lightgbm.sklearn.LGBMClassifier"}
    path = flavoured(tmp_path / "model", own, {"loader_module": "mlflow.lightgbm", "data": "model.pkl"}, "model.pkl")
    with pytest.raises(UntrustedModelError, match="from pickles or code, which would run"):
        load(path)


def test_a_model_of_two_flavours_of_which_none_is_said_to_be_served_is_refused(tmp_path):
    """One of them would be audited, and the other be what somebody serves."""
    path = tmp_path / "model"
    path.mkdir()
    flavours = {"pytorch": {"model_data": "data"}, "onnx": {"data": "model.onnx"}}
    (path / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours, "signature": {"inputs": COLUMN}}))
    for trust_model in (False, True):
        with pytest.raises(ModelError, match="expected to say which flavour is served, and has several .*pytorch"):
            load(path, trust_model)


def test_a_model_that_mlflow_does_not_serve_is_told_by_its_flavours(tmp_path):
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"flavors": {"diviner": {"model_data": "data"}}}))
    with pytest.raises(ModelError, match=r"none of the flavours keras.*but 'diviner'.*so that MLflow can serve it"):
        load(tmp_path)


@pytest.mark.slow
def test_a_forest_in_skops_is_refused_for_its_trees(tmp_path):
    table, outcome = clients()
    forest = encoded(RandomForestClassifier(2, random_state=0)).fit(table, outcome)
    types = ["numpy.dtype", "sklearn.tree._tree.Tree"]
    path = save_pipeline(forest, tmp_path / "model", table, forest.predict_proba(table), skops_trusted_types=types)
    with pytest.raises(UntrustedModelError, match=r"from a skops file with types that are not known.*trees are not"):
        load(path)


def test_a_network_that_is_served_by_code_of_its_own_is_not_audited_without_that(tmp_path):
    """What predicts is then that code, and the network only a part of it."""
    path = save(single()[0], tmp_path / "model", signature=infer_signature({"num_input": numbers(3)}))
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["python_function"].update(loader_module="scaled_network"))
    with pytest.raises(UntrustedModelError, match="its flavour is loaded by 'scaled_network' from pickles or code"):
        load(path)


# Networks


def stateful():
    given = keras.Input(batch_shape=(8, 5, 2), name="temporal_input")
    return keras.Model(given, layers.Dense(1)(layers.LSTM(3, stateful=True, name="remembers")(given)))


def inside():
    given = keras.Input(batch_shape=(8, 5, 2), name="temporal_input")
    return keras.Model(given, keras.Sequential([layers.Bidirectional(layers.GRU(3, stateful=True))])(given))


@pytest.mark.parametrize("build", [stateful, inside])
def test_a_stateful_network_is_refused_for_what_it_remembers(tmp_path, build):
    path = save(build(), tmp_path / "model")
    with pytest.raises(ModelError, match=r"is stateful \('.*depends on the rows predicted before.*stateful=False"):
        load(path)


def test_a_network_of_a_fixed_number_of_rows_is_not_stateful_for_that(tmp_path):
    given = keras.Input(batch_shape=(8, 5, 2), name="temporal_input")
    load(save(keras.Model(given, layers.Dense(1)(layers.LSTM(3)(given))), tmp_path / "model"))


class Counting(tf.Module):
    """Predicts something else each time."""

    def __init__(self):
        super().__init__()
        self.count = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def __call__(self, x):
        return x + self.count.assign_add(1.0)


def test_a_saved_model_that_remembers_is_told_that_it_may(tmp_path, tracked):
    module = Counting()
    path = save(module, tmp_path / "model", saved_model_kwargs={"signatures": {"serving_default": module.__call__}})
    data = dataset_from(pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [2.0, 1.0, 0.0]}))
    with pytest.raises(ModelError, match=r"the same rows predicted twice differ.*a recurrent network not stateful"):
        audit({"inputs": {"x": ["a", "b"]}, "analysis": {"output": 0}}, model_uri=str(path), data=data)


class Subclassed(keras.Model):
    """A class that no file of the network brings."""

    def __init__(self, **more):
        super().__init__(**more)
        self.last = layers.Dense(1)

    def call(self, x):
        return self.last(x)


Subclassed.__module__ = "elsewhere"


def subclassed():
    network = Subclassed()
    return network, network(numbers(2)).numpy()


def test_advice_for_mlflow_keras_names_what_that_takes(tmp_path):
    network, expected = subclassed()
    path = save(network, tmp_path / "model", "keras", signature=infer_signature({"x": numbers(2)}, expected))
    with pytest.raises(
        UntrustedModelError, match=r"mlflow.keras stores no classes; its save_exported_model=True"
    ) as told:
        load(path)
    with pytest.raises(ModelError, match=r"mlflow.keras stores no code.*save_exported_model=True") as trusted:
        load(path, trust_model=True)
    assert "code_paths" not in f"{told.value} {trusted.value}"
    assert "custom_objects" not in f"{told.value} {trusted.value}"


def test_the_advice_for_mlflow_keras_works(tmp_path):
    network, expected = subclassed()
    signature = infer_signature({"x": numbers(2)}, expected)
    path = save(network, tmp_path / "model", "keras", signature=signature, save_exported_model=True)
    np.testing.assert_allclose(predicted(load(path), {"x": numbers(2)}), expected, rtol=1e-5)


def exported(folder, **functions):
    """Save a network of one input by mlflow.keras, as what it computes, with other functions in its place."""
    signature = infer_signature(numbers(3), numbers(1))
    path = save(single()[0], folder / "model", "keras", signature=signature, save_exported_model=True)
    module, network = tf.Module(), path / "data" / "model"
    for name, factor in functions.items():
        takes = [tf.TensorSpec((None, 3), tf.float32, name="num_input")]
        setattr(module, name, tf.function(lambda num_input, factor=factor: num_input * factor, input_signature=takes))
    shutil.rmtree(network)
    tf.saved_model.save(module, str(network), signatures={"serving_default": module.signed})
    return path


def test_of_an_exported_network_the_endpoint_is_audited_that_mlflow_serves(tmp_path):
    """Another function stands under the signature, which other servers than MLflow's would call."""
    path = exported(tmp_path, signed=2.0, serve=3.0)
    rows = {"num_input": numbers(3)}
    (block,) = load(path).fitted(rows).begin([rows])
    np.testing.assert_allclose(block.baseline, rows["num_input"] * 3)
    np.testing.assert_allclose(mlflow.pyfunc.load_model(str(path)).predict(rows["num_input"]), block.baseline)


def test_an_exported_network_without_the_endpoint_that_mlflow_calls_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"by the endpoint 'serve' with one input.*1 inputs and no such endpoint"):
        load(exported(tmp_path, signed=2.0))


def test_advice_for_mlflow_tensorflow_names_what_that_takes(tmp_path):
    network, expected = subclassed()
    path = save(network, tmp_path / "model", signature=infer_signature({"x": numbers(2)}, expected))
    with pytest.raises(ModelError, match=r"code_paths=\[...\] or custom_objects"):
        load(path, trust_model=True)


def test_how_a_network_was_trained_needs_no_trust(tmp_path):
    """Its loss is never loaded."""
    network, given, named = single()
    network.compile("adam", loss=lambda truth, predicted: keras.ops.mean((truth - predicted) ** 2))
    network.fit(given, numbers(1), verbose=0)
    expected = network(given, training=False)
    np.testing.assert_allclose(predicted(load(save(network, tmp_path / "model")), named), expected, rtol=1e-5)


def test_how_a_part_of_a_network_was_trained_does(tmp_path):
    """Keras compiles it as it is loaded."""
    inner = single()[0]
    inner.compile("adam", loss=lambda truth, predicted: keras.ops.mean((truth - predicted) ** 2))
    x = keras.Input((3,), name="num_input")
    with pytest.raises(UntrustedModelError, match="'__lambda__'"):
        load(save(keras.Model(x, inner(x)), tmp_path / "model"))


def in_half_precision(x):
    return layers.Dense(1, dtype="float32")(layers.Dense(4, dtype="mixed_float16", activation="relu")(x))


def of_operations(x):
    return keras.ops.sum(keras.ops.abs(-x) ** 2 / 3 + keras.ops.where(x > 0, x, 0) + x[:, ::-1], axis=1, keepdims=True)


@pytest.mark.parametrize("body", [in_half_precision, of_operations])
@pytest.mark.parametrize("save_format", ["keras", "h5"])
def test_what_keras_itself_is_made_of_is_never_called_code(tmp_path, body, save_format):
    x = keras.Input((3,), name="num_input")
    network = keras.Model(x, body(x))
    expected = network(numbers(3), training=False)
    path = save(network, tmp_path / "model", keras_model_kwargs={"save_format": save_format})
    if save_format == "h5" and body is of_operations:
        told = r"HDF5 file of Keras 3 with operations \('Absolute', .*does not read back.*without keras_model_kwargs"
        for trust_model in (False, True):
            with pytest.raises(ModelError, match=told) as caught:
                load(path, trust_model)
            assert not isinstance(caught.value, UntrustedModelError)
        with pytest.raises(ValueError, match="Unknown layer"):
            mlflow.tensorflow.load_model(str(path))
    else:
        np.testing.assert_allclose(predicted(load(path), {"num_input": numbers(3)}), expected, rtol=1e-3, atol=1e-3)


def test_axes_that_keras_forgets_in_hdf5_are_not_forgotten_in_silence(tmp_path):
    x = keras.Input((2, 3), name="temporal_input")
    network = keras.Model(x, layers.Flatten()(layers.Softmax(axis=[1, 2])(x)))
    path = save(network, tmp_path / "model", keras_model_kwargs={"save_format": "h5"})
    with pytest.raises(ModelError, match=r"with layers over several axes \('Softmax'\)"):
        load(path)
    again = mlflow.tensorflow.load_model(str(path))
    assert not np.allclose(again(numbers(2, 3)), network(numbers(2, 3))), "Keras reads them by now"


# Keras on something else than TensorFlow

OTHERWISE = """
import sys
from pathlib import Path
from nnperm_mlflow.basics.errors import ModelError
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.loaders import load_predictor
from nnperm_mlflow.models.model_uri import ModelReference

reference = ModelReference(sys.argv[1], sys.argv[1])
try:
    load_predictor(download_model(reference, Path(sys.argv[1])), reference)
except ModelError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("by", ["environment", "keras.json"])
def test_keras_on_another_backend_is_told_in_a_sentence(tmp_path, by):
    path = save(single()[0], tmp_path / "model")
    (tmp_path / "keras.json").write_text('{"backend": "no_such"}')
    environment = {"KERAS_BACKEND": "no_such"} if by == "environment" else {"KERAS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", OTHERWISE, str(path)],
        env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("Keras is set to run on a backend that it does not know in this process")
    assert "KERAS_BACKEND=tensorflow, which goes before keras.json" in done.stdout


def test_a_saved_model_needs_no_keras(tmp_path, monkeypatch):
    module = tf.Module()
    module.serve = tf.function(lambda x: x * 2, input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    path = save(module, tmp_path / "model", saved_model_kwargs={"signatures": {"serving_default": module.serve}})
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    np.testing.assert_allclose(predicted(load(path), {"x": numbers(2)}), numbers(2) * 2)


# What MLflow says


def test_a_store_of_files_is_refused_with_what_to_do(monkeypatch, tmp_path):
    """MLflow's own words go on for longer than an error here."""
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    told = (
        r"takes no directory of files.*migrate-filestore.*--tracking-uri sqlite:.*MLFLOW_ALLOW_FILE_STORE=true in the"
    )
    with pytest.raises(TrackingError, match=told), explained():
        mlflow.MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri()).search_experiments()


def test_what_mlflow_says_at_length_is_cut_after_a_sentence():
    told = "It is so. " * 60
    with pytest.raises(TrackingError, match=r"It is so\.$") as caught, explained():
        raise MlflowException(told)
    assert len(str(caught.value)) < 560
