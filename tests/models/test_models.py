"""Models as MLflow stores them, loaded without the code beside them: right predictions, or a refusal that says why."""

import pickle
import shutil
from pathlib import Path

import cloudpickle
import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import yaml
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from nnperm_mlflow import audit
from nnperm_mlflow.basics.errors import ModelError, ModelNotFoundError, PredictionError, UntrustedModelError
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.model_uri import ModelReference
from nnperm_mlflow.models.output_numbers import as_columns
from tests.support.stored import (
    N_ROWS,
    Trap,
    by_column,
    change_mlmodel,
    clients,
    dense,
    encoded,
    load,
    numbers,
    predicted,
    save,
    save_pipeline,
    single,
)

LEGACY = Path(__file__).parent / "legacy"


# Networks: (network, what it is called with, the same by the names of the inputs)


def sequential():
    given = numbers(3)
    layers = [keras.Input((3,), name="num_input"), dense(4, activation="tanh"), keras.layers.Dropout(0.9), dense(2)]
    return keras.Sequential(layers), given, {"num_input": given}


def two_inputs():
    """Both of one shape, so that an exchange would go unnoticed by shapes; their names are in no order."""
    return keras.Input((2,), name="zeta"), keras.Input((2,), name="alpha"), numbers(2, seed=1), numbers(2, seed=2)


def listed():
    zeta, alpha, first, second = two_inputs()
    network = keras.Model([zeta, alpha], dense()(keras.layers.Concatenate()([zeta, alpha])))
    return network, [first, second], {"zeta": first, "alpha": second}


def by_key():
    """The keys are not the names of the tensors; those, exchanged, are the keys of the other."""
    zeta, alpha, first, second = two_inputs()
    network = keras.Model({"alpha": zeta, "zeta": alpha}, dense()(keras.layers.Concatenate()([zeta, alpha])))
    given = {"alpha": first, "zeta": second}
    return network, given, given


def nested():
    """One part of the network is a network itself and is used twice; it has an LSTM and batch statistics."""
    x = keras.Input((4, 2), name="inner")
    part = keras.Model(x, dense(3)(keras.layers.BatchNormalization()(keras.layers.LSTM(3)(x))))
    first, second = keras.Input((4, 2), name="old"), keras.Input((4, 2), name="new")
    network = keras.Model([first, second], dense()(keras.layers.Subtract()([part(first), part(second)])))
    given = [numbers(4, 2, seed=1), numbers(4, 2, seed=2)]
    return network, given, {"old": given[0], "new": given[1]}


def several_outputs():
    x = keras.Input((3,), name="num_input")
    given = numbers(3)
    network = keras.Model(x, [dense(1, name="late")(x), dense(2, name="early")(x)])
    return network, given, {"num_input": given}


def with_codes():
    codes, values = keras.Input((1,), name="SEX_input", dtype="int32"), keras.Input((2,), name="num_input")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(3, 2, embeddings_initializer="normal")(codes))
    network = keras.Model([codes, values], dense()(keras.layers.Concatenate()([embedded, values])))
    given = [np.array([[0], [1], [2], [0], [1], [2], [2]], dtype="int32"), numbers(2)]
    return network, given, {"SEX_input": given[0], "num_input": given[1]}


def with_text():
    text = keras.Input((1,), name="city_input", dtype="string")
    looked_up = keras.layers.StringLookup(vocabulary=["Ulm", "Köln"], output_mode="one_hot")(text)
    network = keras.Model(text, dense()(looked_up))
    given = np.array([["Ulm"], ["Köln"], ["Ulm"], ["Bonn"], ["Köln"], ["Ulm"], ["Bonn"]], dtype=object)
    return network, tf.constant(given), {"city_input": given}


NETWORKS = [single, sequential, listed, by_key, nested, several_outputs, with_codes, with_text]


@pytest.mark.parametrize("flavour", ["tensorflow", "keras"])
@pytest.mark.parametrize("build", NETWORKS)
def test_a_stored_network_predicts_what_it_predicted_before(tmp_path, flavour, build):
    keras.utils.set_random_seed(1)
    network, given, named = build()
    predictor = load(save(network, tmp_path / "model", flavour))
    outputs = network(given, training=False)
    expected = np.concatenate(
        [np.asarray(part) for part in outputs] if isinstance(outputs, list) else [outputs], axis=1
    )
    assert {spec.name for spec in predictor.inputs} == set(named)
    assert len(np.unique(expected[:, 0])) >= 3
    np.testing.assert_allclose(predicted(predictor, named), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("is_fitted", [False, True])
@pytest.mark.parametrize("build", [listed, by_key, nested])
def test_a_changed_input_is_predicted_with_the_others_as_they_were(tmp_path, build, is_fitted):
    network, _, named = build()
    predictor = load(save(network, tmp_path / "model"))
    block = (predictor.fitted(named) if is_fitted else predictor).begin([named])[0]
    first, other = named
    changed = {**named, first: named[first][::-1]}
    expected = network(changed if build is by_key else [changed[first], changed[other]], training=False)
    for found in block.predict(map(Change.of, [{first: changed[first]}] * 3)):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(expected, block.baseline)


def test_the_shapes_and_types_of_inputs_are_the_networks(tmp_path):
    specs = {spec.name: spec for spec in load(save(with_codes()[0], tmp_path / "model")).inputs}
    assert (specs["SEX_input"].shape, specs["SEX_input"].dtype) == ((1,), np.dtype("int32"))
    assert (specs["num_input"].shape, specs["num_input"].dtype) == ((2,), np.dtype("float32"))
    (text,) = load(save(with_text()[0], tmp_path / "text")).inputs
    assert text.dtype == np.dtype(object)


def test_outputs_have_the_names_of_their_layers_in_the_order_of_the_columns(tmp_path):
    network, given, named = several_outputs()
    predictor = load(save(network, tmp_path / "model"))
    assert predictor.outputs.names == ("late", "early_0", "early_1")
    late, early = network(given, training=False)
    np.testing.assert_allclose(predicted(predictor, named)[:, :1], late, rtol=1e-5)
    np.testing.assert_allclose(predicted(predictor, named)[:, 1:], early, rtol=1e-5)


@pytest.mark.parametrize("names", [("late", "early"), ("early", "late"), ("first", "second")])
def test_outputs_given_by_key_are_called_by_their_keys_whatever_the_layers_are_called(tmp_path, names):
    x = keras.Input((3,), name="num_input")
    network = keras.Model(x, {"late": dense(1, name=names[0])(x), "early": dense(2, name=names[1])(x)})
    predictor = load(save(network, tmp_path / "model"))
    assert predictor.outputs.names == ("early_0", "early_1", "late")
    expected = network(numbers(3), training=False)
    found = predicted(predictor, {"num_input": numbers(3)})
    np.testing.assert_allclose(found[:, :2], expected["early"], rtol=1e-5)
    np.testing.assert_allclose(found[:, 2:], expected["late"], rtol=1e-5)


@pytest.mark.parametrize(
    ("activation", "unit"), [("sigmoid", "probability"), ("softmax", "probability"), ("linear", None)]
)
def test_the_unit_is_a_probability_where_the_last_layer_says_so(tmp_path, activation, unit):
    x = keras.Input((3,), name="num_input")
    network = keras.Model(x, dense(2, activation=activation)(x))
    assert load(save(network, tmp_path / "model")).outputs.unit == unit


def test_a_network_is_traced_once_whatever_the_size_of_a_block(tmp_path):
    network, _, named = nested()
    predictor = load(save(network, tmp_path / "model"))
    for n_rows in (7, 1, 5):
        block = predictor.begin([{name: array[:n_rows] for name, array in named.items()}])[0]
        list(block.predict(map(Change.of, [{"old": named["new"][:n_rows]}])))
    predictor.begin([{name: np.concatenate([array] * 3) for name, array in named.items()}])[0]
    assert predictor._function.n_traces == 1


def test_the_order_and_number_of_names_in_a_block_do_not_reach_the_network(tmp_path):
    """Keras, given a dict with one more key of a fitting shape, would take its inputs from the wrong keys."""
    for build in (listed, by_key):
        network, given, named = build()
        predictor = load(save(network, tmp_path / build.__name__))
        fitted = load(tmp_path / build.__name__).fitted(named)
        block = {"aaa": numbers(2, seed=9), **dict(reversed(named.items())), "beta": numbers(2, seed=8)}
        expected = network(given, training=False)
        np.testing.assert_allclose(predicted(predictor, block), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(predicted(fitted, block), expected, rtol=1e-5, atol=1e-6)


def test_a_code_that_an_embedding_does_not_know_is_a_failed_prediction(tmp_path):
    network, _, named = with_codes()
    predictor = load(save(network, tmp_path / "model"))
    with pytest.raises(PredictionError, match="A code outside of what an embedding knows does that"):
        predictor.begin([{**named, "SEX_input": np.full((N_ROWS, 1), 9, dtype="int32")}])[0]


@pytest.mark.parametrize("flavour", ["tensorflow", "keras"])
def test_a_network_needs_no_signature(tmp_path, flavour):
    path = save(single()[0], tmp_path / "model", flavour)
    assert "signature" not in yaml.safe_load((path / "MLmodel").read_text())
    assert [spec.name for spec in load(path).inputs] == ["num_input"]


def test_a_network_stored_as_hdf5_predicts_what_it_predicted_before(tmp_path):
    network, given, named = nested()
    path = save(network, tmp_path / "model", keras_model_kwargs={"save_format": "h5"})
    assert (path / "data" / "model.h5").is_file()
    np.testing.assert_allclose(predicted(load(path), named), network(given, training=False), rtol=1e-5, atol=1e-6)


def with_columns(network, path, table, flavour="tensorflow"):
    """Store a network with the signature of a DataFrame, as MLflow did before version 2."""
    told = infer_signature(table, numbers(1)).to_dict()
    change_mlmodel(save(network, path, flavour), lambda mlmodel: mlmodel.update(signature=told))
    return path


@pytest.mark.parametrize("flavour", ["tensorflow", "keras"])
def test_columns_reach_a_network_in_the_order_of_its_signature(tmp_path, tracked, flavour):
    """As they do where MLflow serves it; the table may have them in another order, and more beside them."""
    x = keras.Input((2,), name="dense_input")
    network = keras.Model(x, keras.layers.Dense(1, kernel_initializer=keras.initializers.Constant([[1.0], [10.0]]))(x))
    trained = pd.DataFrame(numbers(2).astype("float64"), columns=["second", "first"])
    path = with_columns(network, tmp_path / "model", trained, flavour)
    table = trained[["first"]].assign(unused=1.0, second=trained["second"])
    served = mlflow.pyfunc.load_model(str(path)).predict(table)
    result = audit({}, model_uri=str(path), data=dataset_from(table))
    np.testing.assert_allclose(result.table["baseline"], np.asarray(served)[:, 0], rtol=1e-5)
    assert not np.allclose(served, network(table[["first", "second"]].to_numpy()))
    other = audit({"inputs": {"dense_input": ["first", "second"]}}, model_uri=str(path), data=dataset_from(table))
    np.testing.assert_allclose(other.table["baseline"], network(table[["first", "second"]].to_numpy())[:, 0], rtol=1e-5)


def test_columns_that_the_data_do_not_have_are_not_looked_for(tmp_path, tracked):
    x = keras.Input((2,), name="dense_input")
    trained = pd.DataFrame(numbers(2), columns=["second", "first"])
    network = keras.Model(x, dense()(x))
    path = with_columns(network, tmp_path / "model", trained)
    table = trained.set_axis(["a", "b"], axis=1)
    result = audit({}, model_uri=str(path), data=dataset_from(table))
    np.testing.assert_allclose(result.table["baseline"], network(table.to_numpy())[:, 0], rtol=1e-5)


# SavedModels


class Weighted(tf.Module):
    """Two inputs of one shape, with different weights."""

    def __init__(self):
        super().__init__()
        self.weights = tf.Variable([[1.0], [10.0]])

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name=name) for name in ("zeta", "alpha")])
    def __call__(self, zeta, alpha):
        return zeta @ self.weights - 100 * alpha @ self.weights


@pytest.mark.parametrize("signatures", [None, "serving_default"])
def test_a_tensorflow_module_predicts_what_it_predicted_before(tmp_path, signatures):
    module = Weighted()
    kwargs = {"signatures": {signatures: module.__call__}} if signatures else {}
    zeta, alpha = numbers(2, seed=1), numbers(2, seed=2)
    signature = infer_signature({"zeta": zeta, "alpha": alpha}, module(zeta, alpha).numpy())
    path = save(module, tmp_path / "model", signature=signature, saved_model_kwargs=kwargs)
    predictor = load(path)
    assert {spec.name: spec.shape for spec in predictor.inputs} == {"zeta": (2,), "alpha": (2,)}
    found = predicted(predictor, {"alpha": alpha, "zeta": zeta, "more": zeta})
    np.testing.assert_allclose(found, module(zeta, alpha), rtol=1e-6)


class TwoHeads(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
    def __call__(self, x):
        return {"late": x[:, :1] * 2, "early": x[:, 1:] * 3}


def test_the_name_of_a_saved_models_output_stands_for_its_own_column(tmp_path):
    module, x = TwoHeads(), numbers(2)
    path = save(module, tmp_path / "model", saved_model_kwargs={"signatures": {"serving_default": module.__call__}})
    predictor = load(path)
    columns = dict(zip(predictor.outputs.names, predicted(predictor, {"x": x}).T, strict=True))
    np.testing.assert_allclose(columns["late"], x[:, 0] * 2)
    np.testing.assert_allclose(columns["early"], x[:, 1] * 3)


# An older registry


@pytest.fixture(params=["tf", "h5"])
def legacy(request, tmp_path):
    """A copy of a model that MLflow 2.12 logged from Keras 2."""
    return Path(shutil.copytree(LEGACY / request.param, tmp_path / "legacy"))


def expected_of_legacy():
    with np.load(LEGACY / "expected.npz") as stored:
        return {name: stored[name] for name in ("num_input", "SEX_input", "temporal_input")}, stored["prediction"]


def without_own_objects(legacy):
    """Put beside a network what Keras 2 registers by itself, and MLflow stores beside each: names, and no code."""
    named = {f"Custom>{name}": getattr(keras.optimizers, name) for name in ("Adam", "SGD")}
    (legacy / "data" / "global_custom_objects.cloudpickle").write_bytes(cloudpickle.dumps(named))
    return legacy


def assert_predicts_what_keras_2_predicted(predictor):
    inputs, expected = expected_of_legacy()
    assert {spec.name: spec.shape for spec in predictor.inputs} == {
        "num_input": (2,),
        "SEX_input": (1,),
        "temporal_input": (6, 2),
    }
    np.testing.assert_allclose(predicted(predictor, inputs), expected, rtol=0, atol=1e-6)


def test_a_network_of_keras_2_predicts_what_keras_2_predicted(legacy):
    """The pickle beside it holds a function of its own, of another Python."""
    with pytest.raises(UntrustedModelError, match=r"'data/global_custom_objects\.cloudpickle', which would run"):
        load(legacy)
    assert_predicts_what_keras_2_predicted(load(legacy, trust_model=True))


def test_a_network_of_keras_2_whose_pickle_holds_names_alone_needs_no_trust(legacy):
    assert_predicts_what_keras_2_predicted(load(without_own_objects(legacy)))


def test_a_pickle_beside_a_network_of_keras_2_is_never_opened_without_trust(legacy, tmp_path):
    proof, trap = tmp_path / "ran", legacy / "data" / "global_custom_objects.cloudpickle"
    trap.write_bytes(pickle.dumps(Trap(proof)))
    with pytest.raises(UntrustedModelError):
        load(legacy)
    assert not proof.exists()
    pickle.loads(trap.read_bytes())
    assert proof.exists(), "the trap is none"


def test_what_stays_unread_is_told(legacy, caplog):
    with caplog.at_level("INFO"):
        load(without_own_objects(legacy))
    assert "left unread: data/global_custom_objects.cloudpickle" in caplog.text


def test_loading_an_hdf5_network_leaves_its_file_as_it_was(tmp_path):
    path = Path(shutil.copytree(LEGACY / "h5", tmp_path / "legacy"))
    before = (path / "data" / "model.h5").read_bytes()
    load(path, trust_model=True)
    assert (path / "data" / "model.h5").read_bytes() == before


def test_a_network_whose_file_is_missing_is_not_a_matter_of_trust(tmp_path):
    network, given, named = single()
    signature = infer_signature(named, network(given, training=False).numpy())
    path = save(network, tmp_path / "model", signature=signature)
    (path / "data" / "model.keras").unlink()
    with pytest.raises(ModelError) as caught:
        load(path)
    assert not isinstance(caught.value, UntrustedModelError)


# scikit-learn


def test_a_random_forest_is_refused_without_trust_and_right_with_it(tmp_path):
    table, outcome = clients()
    forest = encoded(RandomForestClassifier(12, random_state=0)).fit(table, outcome)
    expected = forest.predict_proba(table)
    more = {"pyfunc_predict_fn": "predict_proba", "serialization_format": "cloudpickle"}
    path = save_pipeline(forest, tmp_path / "model", table, expected, **more)
    with pytest.raises(UntrustedModelError, match=r"loaded by 'mlflow\.sklearn' from pickles or code.*--trust-model"):
        load(path)
    predictor = load(path, trust_model=True)
    assert [(spec.name, spec.shape, spec.dtype.kind, spec.is_column) for spec in predictor.inputs] == [
        ("city", (), "O", True),
        ("age", (), "f", True),
        ("income", (), "f", True),
    ]
    block = predictor.begin([{"income": table["age"], **by_column(table), "more": numbers(3)}])[0]
    np.testing.assert_allclose(block.baseline, expected)
    changed = table.assign(city=table["city"].to_numpy()[::-1])
    (found,) = block.predict(map(Change.of, [{"city": changed["city"].to_numpy(dtype=object)}]))
    np.testing.assert_allclose(found, forest.predict_proba(changed))
    assert not np.allclose(found, expected)


def test_a_linear_pipeline_stored_by_skops_needs_no_trust(tmp_path):
    table, outcome = clients()
    linear = encoded(LinearRegression()).fit(table, outcome)
    path = save_pipeline(linear, tmp_path / "model", table, linear.predict(table))
    found = predicted(load(path), by_column(table))
    assert found.shape == (60, 1)
    np.testing.assert_allclose(found[:, 0], linear.predict(table))


def test_labels_are_no_predictions(tmp_path):
    table, outcome = clients()
    labels = np.where(outcome, "bad", "good")
    classifier = encoded(LogisticRegression()).fit(table, labels)
    predictor = load(save_pipeline(classifier, tmp_path / "model", table, labels))
    with pytest.raises(PredictionError, match=r"no numbers but labels.*Ask for probabilities"):
        predictor.begin([by_column(table)])[0]


def test_a_failing_model_tells_nothing_of_the_data(tmp_path):
    table, outcome = clients()
    predictor = load(save_pipeline(encoded(LinearRegression()).fit(table, outcome), tmp_path / "model", table, outcome))
    with pytest.raises(PredictionError, match="the model failed") as caught:
        predictor.begin([{**by_column(table), "city": np.array(["Atlantis"] * 60, dtype=object)}])[0]
    assert "Atlantis" not in str(caught.value)


def test_a_model_of_columns_needs_a_signature(tmp_path):
    table, outcome = clients()
    linear = encoded(LinearRegression()).fit(table, outcome)
    path = save_pipeline(linear, tmp_path / "model", table, None)
    with pytest.raises(ModelError, match=r"logged without a signature.*infer_signature"):
        load(path, trust_model=True)


def test_predictions_of_another_number_of_rows_are_refused():
    with pytest.raises(PredictionError, match=r"was given 3 rows and returned an array of shape \(2,\)"):
        as_columns(np.zeros(2), 3)
    with pytest.raises(PredictionError, match=r"returned an array of shape \(\)"):
        as_columns(np.float64(2), 3)


def test_predictions_of_several_axes_and_parts_are_columns():
    parts = {"risk": np.array([1, 2]), "steps": np.arange(8.0).reshape(2, 2, 2), "sure": np.array([[True], [False]])}
    np.testing.assert_array_equal(as_columns(parts, 2), [[1, 0, 1, 2, 3, 1], [2, 4, 5, 6, 7, 0]])


# Files that are not what they should be


def stored_network(folder):
    return save(single()[0], folder / "model")


def test_a_directory_that_is_not_there_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("missing", "file"):
        with pytest.raises(ModelNotFoundError, match=f"there is no model directory '.*{name}'"):
            load(tmp_path / name)


def test_a_directory_without_mlmodel_is_no_model(tmp_path):
    with pytest.raises(ModelNotFoundError, match="has no MLmodel file"):
        load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b"flavors: [",
        b"- a\n- list\n",
        b"flavors: 3\n",
        b"flavors: {}\n",
        b"flavors: {tensorflow: data}\n",
        b"flavors: {tensorflow: {data: 3}}\n",
        b"flavors: {spark: {}}\n",
        b"flavors: {python_function: {loader_module: mlflow.sklearn}}\nsignature: {inputs: no json}\n",
        b"flavors: {python_function: {loader_module: mlflow.sklearn}}\nsignature: text\n",
        b"flavors: {}\nutc_time_created: 2024-13-45\n",
        b"flavors: !!python/object/apply:os.getcwd []\n",
    ],
)
def test_an_mlmodel_file_that_names_no_model_is_refused(tmp_path, content):
    (tmp_path / "MLmodel").write_bytes(content)
    for trust_model in (False, True):
        with pytest.raises(ModelError):
            load(tmp_path, trust_model)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.7, 0.999])
def test_a_truncated_network_file_is_refused(tmp_path, part):
    path = stored_network(tmp_path)
    file = path / "data" / "model.keras"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * part)])
    with pytest.raises(ModelError, match=r"model\.keras of .* cannot be read by Keras"):
        load(path)


@pytest.mark.parametrize("inside", ["config.json", "model.weights.h5"])
def test_a_network_file_with_a_flipped_byte_is_refused(tmp_path, inside):
    path = stored_network(tmp_path)
    file = path / "data" / "model.keras"
    content = bytearray(file.read_bytes())
    content[content.index(inside.encode()) + len(inside) + 90] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.keras of .* cannot be read by Keras"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"text"])
def test_a_damaged_hdf5_file_is_refused(tmp_path, content):
    path = without_own_objects(Path(shutil.copytree(LEGACY / "h5", tmp_path / "legacy")))
    (path / "data" / "model.h5").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.h5 of .* cannot be read by Keras"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"text"])
def test_a_damaged_saved_model_is_refused(tmp_path, content):
    path = without_own_objects(Path(shutil.copytree(LEGACY / "tf", tmp_path / "legacy")))
    (path / "data" / "model" / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError, match=r"the SavedModel of .* cannot be read"):
        load(path)


def test_a_saved_model_without_its_variables_is_refused(tmp_path):
    path = without_own_objects(Path(shutil.copytree(LEGACY / "tf", tmp_path / "legacy")))
    shutil.rmtree(path / "data" / "model" / "variables")
    with pytest.raises(ModelError, match=r"the SavedModel of .* cannot be read"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"text"])
def test_a_damaged_pickle_of_a_trusted_model_is_refused(tmp_path, content):
    table, outcome = clients()
    linear = encoded(LinearRegression()).fit(table, outcome)
    path = save_pipeline(linear, tmp_path / "model", table, outcome, serialization_format="cloudpickle")
    (path / "model.pkl").write_bytes(content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(path, trust_model=True)


def test_a_package_that_is_not_installed_is_named(tmp_path):
    table, outcome = clients()
    path = save_pipeline(encoded(LinearRegression()).fit(table, outcome), tmp_path / "model", table, outcome)
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["python_function"].update(loader_module="not_installed"))
    with pytest.raises(ModelError, match="needs the package 'not_installed'"):
        load(path, trust_model=True)


# The digest


def digest(path):
    return download_model(ModelReference(str(path), str(path)), path).digest()


def test_the_digest_changes_with_one_byte_and_with_a_name(tmp_path):
    path = Path(shutil.copytree(LEGACY / "h5", tmp_path / "model"))
    before = digest(path)
    file = path / "data" / "model.h5"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert digest(path) != before
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert digest(path) == before
    file.rename(file.with_name("other.h5"))
    assert digest(path) != before


def test_the_digest_is_of_the_files_and_not_of_where_they_lie_or_how_they_came(tmp_path):
    path = Path(shutil.copytree(LEGACY / "h5", tmp_path / "elsewhere" / "model"))
    (path / "registered_model_meta").write_text("model_name: credit\nmodel_version: '3'\n")
    assert digest(path) == digest(LEGACY / "h5")


def test_a_network_called_as_what_a_download_adds_is_part_of_the_digest(tmp_path):
    path = Path(shutil.copytree(LEGACY / "h5", tmp_path / "model"))
    (path / "data" / "registered_model_meta").write_text("hidden")
    assert digest(path) != digest(LEGACY / "h5")
