"""The network that is audited is the one that MLflow serves: what might be served in its place is refused."""

import shutil
from pathlib import Path

import cloudpickle
import keras
import mlflow
import numpy as np
import pytest

from nnperm_mlflow.basics.errors import ModelError, UntrustedModelError
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.loaders import load_as_needed
from nnperm_mlflow.models.model_uri import ModelReference
from tests.support.stored import change_mlmodel, load, predicted, save, single

OTHER = 100.0
"""What the second network adds."""


@pytest.fixture
def path(tmp_path):
    """A network as MLflow logs it."""
    return save(NETWORK, tmp_path / "model")


NETWORK, GIVEN, NAMED = single()


def other():
    network = keras.models.clone_model(NETWORK)
    kernel, bias = NETWORK.get_weights()
    network.set_weights([kernel, bias + OTHER])
    return network


def told(path, flavour, **more):
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"].setdefault(flavour, {}).update(more))


def beside_in_another_format(path):
    other().save(path / "data" / "model.h5")
    (path / "data" / "save_format.txt").write_text("h5")


def in_a_folder_for_pyfunc_alone(path):
    shutil.copytree(path / "data", path / "data2")
    other().save(path / "data2" / "model.keras")
    told(path, "python_function", data="data2")


def in_another_place_for_the_flavour(path):
    shutil.copytree(path / "data", path / "data2")
    other().save(path / "data" / "model.keras")
    told(path, "tensorflow", data="data2")


def with_a_second_flavour(path):
    in_another_place_for_the_flavour(path)
    told(path, "tensorflow", data="data")
    told(path, "keras", data="data2", save_format="keras", model_type="keras")


def under_the_name_for_a_saved_model(path):
    in_another_place_for_the_flavour(path)
    told(path, "tensorflow", data="data", saved_model_dir="data2")


def where_pyfunc_begins_without_data(path):
    other().save(path / "model.keras")
    (path / "save_format.txt").write_text("tf")
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["python_function"].pop("data"))


@pytest.mark.parametrize(
    "put",
    [
        beside_in_another_format,
        in_a_folder_for_pyfunc_alone,
        in_another_place_for_the_flavour,
        with_a_second_flavour,
        under_the_name_for_a_saved_model,
        where_pyfunc_begins_without_data,
    ],
)
def test_a_second_network_that_mlflow_serves_is_refused(path, put):
    put(path)
    served = mlflow.pyfunc.load_model(str(path)).predict(GIVEN)
    np.testing.assert_allclose(served, NETWORK(GIVEN) + OTHER, rtol=1e-5)
    for trust_model in (False, True):
        with pytest.raises(
            ModelError, match=r"expected to hold one network, and has '.*', '.*'.*Log the network again"
        ):
            load(path, trust_model)


def test_an_inner_mlmodel_file_is_refused(path):
    """MLflow reads what kind of model it is from the one in the folder of data."""
    shutil.copy(path / "MLmodel", path / "data" / "MLmodel")
    with pytest.raises(ModelError, match="one MLmodel file, and has 'MLmodel', 'data/MLmodel'"):
        load(path)


def test_a_saved_model_that_keras_would_take_for_its_own_network_is_refused(path):
    (path / "data" / "model.keras").unlink()
    folder = path / "data" / "model"
    NETWORK.export(folder, verbose=False)
    np.testing.assert_allclose(predicted(load(path), NAMED), NETWORK(GIVEN), rtol=1e-5)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"holds 'config\.json', which no SavedModel has"):
        load(path)


def test_a_class_in_place_of_one_of_keras_is_code_of_the_model(tmp_path):
    path = save(NETWORK, tmp_path / "model", keras_model_kwargs={"save_format": "h5"})

    class Dense(keras.layers.Dense):
        def call(self, x, training=None):
            return super().call(x) + OTHER

    (path / "data" / "custom_objects.cloudpickle").write_bytes(cloudpickle.dumps({"Dense": Dense}))
    with pytest.raises(UntrustedModelError, match=r"'data/custom_objects\.cloudpickle'"):
        load(path)
    reference = ModelReference(str(path), str(path))
    predictor, runs_code = load_as_needed(download_model(reference, path), reference)
    served = mlflow.pyfunc.load_model(str(path)).predict(GIVEN)
    np.testing.assert_allclose(served, NETWORK(GIVEN) + OTHER, rtol=1e-5)
    np.testing.assert_allclose(predicted(predictor, NAMED), served, rtol=1e-5)
    assert runs_code


NAMES = {
    "registered": ({"house>Path": Path}, False),
    "by another name": ({"house>Dense": Path}, True),
    "in place of Keras's": ({"Path": Path}, True),
    "something called": ({"house>Path": Path("x")}, True),
    "no names": ([Path], True),
}


@pytest.mark.parametrize(("objects", "is_code"), NAMES.values(), ids=NAMES)
def test_a_pickle_of_names_as_keras_registers_them_is_no_code(path, objects, is_code):
    (path / "data" / "global_custom_objects.cloudpickle").write_bytes(cloudpickle.dumps(objects))
    if is_code:
        with pytest.raises(UntrustedModelError):
            load(path)
    else:
        np.testing.assert_allclose(predicted(load(path), NAMED), NETWORK(GIVEN), rtol=1e-5)


@pytest.mark.parametrize(
    "name", ["keras", "tf_keras", "tensorflow.keras", "keras._tf_keras.keras", "tensorflow.python.keras.api._v2.keras"]
)
def test_keras_by_all_its_names_is_keras(path, name):
    (path / "data" / "keras_module.txt").write_text(name)
    np.testing.assert_allclose(predicted(load(path), NAMED), NETWORK(GIVEN), rtol=1e-5)


@pytest.mark.parametrize("name", ["keraslike", "my.tensorflow.keras", "tensorflow", "keras.models;os"])
def test_modules_that_only_sound_like_keras_are_not(path, name):
    (path / "data" / "keras_module.txt").write_text(name)
    with pytest.raises(ModelError, match="names the module"):
        load(path)
