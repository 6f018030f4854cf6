"""Models made to run code when they are loaded: nothing runs without trust, and with it what belongs to the model.

Each trap leaves the file `pwned`.
"""

import json
import pickle
import runpy
import shutil
import subprocess
import sys
import zipfile

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from nnperm_mlflow import audit
from nnperm_mlflow.basics.errors import ModelError, UntrustedModelError
from nnperm_mlflow.models.foreign_code import reaching_layers
from tests.support.python_models import Harmless
from tests.support.stored import (
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


@pytest.fixture
def pwned(tmp_path):
    """The file that a trap leaves."""
    return tmp_path / "pwned"


@pytest.fixture
def intruder(pwned, monkeypatch):
    """Text of a module that leaves the file as soon as it is imported; forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield f"import pathlib\npathlib.Path({str(pwned)!r}).touch()\n"
    sys.modules.pop("intruder", None)


def assert_refused(path, pwned, why):
    with pytest.raises(UntrustedModelError, match=rf"{why}.*allow it with --trust-model"):
        load(path)
    assert not pwned.exists()


def assert_sprung(pwned):
    assert pwned.exists(), "the trap is none"


# Networks with code in their file


def with_lambda(pwned):
    name = str(pwned)
    x = keras.Input((3,), name="num_input")
    doubled = keras.layers.Lambda(lambda given: (__import__("pathlib").Path(name).touch(), given * 2)[1])(x)
    return keras.Model(x, dense()(doubled))


@keras.saving.register_keras_serializable("elsewhere")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return x * 2


def with_a_class():
    """A network with a layer whose class only the network's own files can bring."""

    class Tripled(keras.layers.Layer):
        def call(self, x):
            return x * 3

    Tripled.__module__ = "elsewhere"
    x = keras.Input((3,), name="num_input")
    return keras.Model(x, dense()(Tripled()(x))), {"Tripled": Tripled}


@pytest.mark.parametrize("kwargs", [{}, {"keras_model_kwargs": {"save_format": "h5"}}], ids=["keras", "h5"])
def test_a_lambda_layer_is_refused_without_trust_and_right_with_it(tmp_path, pwned, kwargs):
    network = with_lambda(pwned)
    expected = network(numbers(3), training=False)
    path = save(network, tmp_path / "model", **kwargs)
    pwned.unlink()
    assert_refused(path, pwned, "'Lambda', '__lambda__', which would run code")
    np.testing.assert_allclose(predicted(load(path, trust_model=True), {"num_input": numbers(3)}), expected, rtol=1e-5)
    assert_sprung(pwned)


def test_trust_in_one_model_is_no_trust_in_the_next(tmp_path, pwned):
    path = save(with_lambda(pwned), tmp_path / "model")
    load(path, trust_model=True)
    with pytest.raises(UntrustedModelError):
        load(path)
    with pytest.raises(ValueError, match="Lambda"):
        keras.saving.load_model(path / "data" / "model.keras", compile=False)


def test_a_class_of_its_own_is_refused_without_trust_and_right_with_it(tmp_path, pwned):
    network, classes = with_a_class()
    path = save(network, tmp_path / "model", custom_objects=classes)
    assert_refused(path, pwned, r"'data/custom_objects\.cloudpickle', which would run")
    found = predicted(load(path, trust_model=True), {"num_input": numbers(3)})
    np.testing.assert_allclose(found, network(numbers(3), training=False), rtol=1e-5)


def test_a_trusted_network_whose_class_is_nowhere_is_refused_in_words(tmp_path):
    path = save(with_a_class()[0], tmp_path / "model")
    with pytest.raises(ModelError, match=r"cannot be loaded with its own code either \(TypeError\).*code_paths"):
        load(path, trust_model=True)


def test_a_class_that_the_caller_has_registered_needs_no_trust(tmp_path):
    x = keras.Input((3,), name="num_input")
    network = keras.Model(x, dense()(Doubled()(x)))
    found = predicted(load(save(network, tmp_path / "model")), {"num_input": numbers(3)})
    np.testing.assert_allclose(found, network(numbers(3), training=False), rtol=1e-5)


def test_a_trusted_network_that_does_not_name_its_inputs_takes_those_of_its_signature(tmp_path):
    class Difference(keras.Model):
        def __init__(self, **more):
            super().__init__(**more)
            self.last = keras.layers.Dense(1)

        def call(self, given):
            return self.last(given["zeta"] - 10 * given["alpha"])

        def build(self, shapes):
            self.last.build(shapes["zeta"])

    Difference.__module__ = "elsewhere"
    network, given = Difference(), {"zeta": numbers(2, seed=1), "alpha": numbers(2, seed=2)}
    expected = network(given, training=False).numpy()
    objects = {"custom_objects": {"Difference": Difference}}
    path = save(network, tmp_path / "model", signature=infer_signature(given, expected), **objects)
    with pytest.raises(UntrustedModelError):
        load(path)
    found = predicted(load(path, trust_model=True), {"more": numbers(2), **given})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def layer(module, name, /, **config):
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


FOREIGN = [
    (function("os", "system"), r"'os\.system'"),
    (function("builtins", "eval"), "classes of its own"),
    (function("intruder", "anything"), r"'intruder\.anything'"),
    (function("keras.utils", "get_file"), r"'keras\.utils\.get_file'"),
    (function("keras", "utils.get_file"), r"'keras\.utils\.get_file'"),
    (function("keras.legacy.saving", "deserialize_keras_object"), "'keras.legacy.saving"),
    (function("keras.config", "enable_unsafe_deserialization"), "'keras.config"),
    (layer("subprocess", "Popen", args=["true"]), r"'subprocess\.Popen'"),
    (layer("builtins", "eval", source="1"), r"'builtins\.eval'"),
    (layer("intruder", "Layer"), r"'intruder\.Layer'"),
    (layer("keras_hub.models", "Tokenizer", vocabulary=[]), "'keras_hub.models"),
    (layer("keras", "layers.Lambda", function="relu"), r"'layers\.Lambda'"),
    (layer("keras.layers", "TFSMLayer", filepath="elsewhere"), "'TFSMLayer'"),
    (layer("keras.layers", "TorchModuleWrapper", module="gASV"), "'TorchModuleWrapper'"),
    (layer("keras.layers", "StringLookup", vocabulary="/etc/hostname"), "with its vocabulary in a file"),
    ({"class_name": "__lambda__", "config": {"code": "", "defaults": None, "closure": None}}, "'__lambda__'"),
]


@pytest.mark.parametrize(("foreign", "why"), FOREIGN, ids=[why for _, why in FOREIGN])
def test_a_network_that_names_what_is_no_part_of_networks_is_refused(tmp_path, pwned, intruder, foreign, why):
    path = save(single()[0], tmp_path / "model")
    (tmp_path / "on_path").mkdir()
    (tmp_path / "on_path" / "intruder.py").write_text(intruder)
    sys.path.insert(0, str(tmp_path / "on_path"))
    rewrite(path / "data" / "model.keras", foreign)
    assert_refused(path, pwned, why)
    assert "intruder" not in sys.modules


def rewrite(file, activation):
    """Give the dense layer of a stored network another activation."""
    with zipfile.ZipFile(file) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(held["config.json"])
    (last,) = [part for part in config["config"]["layers"] if part["class_name"] == "Dense"]
    last["config"]["activation"] = activation
    held["config.json"] = json.dumps(config)
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)


def test_what_networks_are_made_of_is_told_from_what_reads_files():
    """Some versions of Keras load these in safe mode, too."""
    vocabulary = {"class_name": "StringLookup", "config": {"vocabulary": "/etc/hostname"}}
    foreign = {"class_name": "TFSMLayer", "config": {"filepath": "elsewhere"}}
    network = {
        "class_name": "Functional",
        "config": {"layers": [vocabulary, {"class_name": "Dense", "config": {}}, foreign]},
    }
    assert reaching_layers(network) == ["StringLookup with its vocabulary in a file", "TFSMLayer"]
    assert reaching_layers({"class_name": "StringLookup", "config": {"vocabulary": ["a", "b"]}}) == []


def test_every_layer_and_function_that_keras_writes_is_known_as_its_own():
    """Of a class of each kind; the activations all."""
    rnn = keras.layers.Bidirectional(keras.layers.LSTM(2, kernel_regularizer="l2", bias_constraint="non_neg"))
    parts = [
        rnn,
        keras.layers.Dense(1, activation=keras.ops.relu, kernel_initializer=keras.initializers.Orthogonal(seed=1)),
        keras.layers.Dense(1, dtype=keras.DTypePolicy("mixed_float16")),
        keras.layers.Embedding(2, 2, embeddings_initializer="uniform"),
        *[
            keras.layers.Activation(getattr(keras.activations, name))
            for name in ("relu", "softmax", "sigmoid", "tanh", "gelu", "silu", "elu", "linear", "hard_sigmoid")
        ],
    ]
    assert [reaching_layers(keras.saving.serialize_keras_object(part)) for part in parts] == [[]] * len(parts)
    x = keras.Input((3,))
    network = keras.Model(x, keras.ops.exp(x) + keras.ops.mean(x, axis=1, keepdims=True))
    network.compile("adam", "binary_crossentropy", metrics=["auc"])
    assert reaching_layers(keras.saving.serialize_keras_object(network)) == []


# Networks with code beside their file


@pytest.mark.parametrize("told_in", ["MLmodel", "keras_module.txt"])
def test_a_network_that_another_module_than_keras_reads_is_refused(tmp_path, pwned, intruder, told_in):
    """MLflow reads the module's name in one of two places."""
    path = save(single()[0], tmp_path / "model")
    (path / "code").mkdir()
    (path / "code" / "intruder.py").write_text(intruder)
    told = {"code": "code"}
    if told_in == "MLmodel":
        told["keras_module"] = "intruder"
    else:
        (path / "data" / "keras_module.txt").write_text("intruder")
    change_mlmodel(path, lambda mlmodel: [conf.update(told) for conf in mlmodel["flavors"].values()])
    for trust_model in (False, True):
        with pytest.raises(ModelError, match=r"read by Keras.*names the module 'intruder'.*Log the network again"):
            load(path, trust_model)
    assert not pwned.exists()
    serve = mlflow.tensorflow.load_model if told_in == "MLmodel" else mlflow.pyfunc.load_model
    with pytest.raises(ModuleNotFoundError):
        serve(str(path))
    assert_sprung(pwned)


def test_a_folder_of_code_beside_a_network_needs_trust(tmp_path, pwned, intruder):
    """Modules are looked for in it before all others, where MLflow serves the network."""
    network, given, named = single()
    path = save(network, tmp_path / "model")
    (path / "code").mkdir()
    (path / "code" / "intruder.py").write_text(intruder)
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["python_function"].update(code="code"))
    assert_refused(path, pwned, "beside the network lies 'code', which would run where MLflow serves it")
    np.testing.assert_allclose(predicted(load(path, True), named), network(given, training=False), rtol=1e-5)


@pytest.mark.parametrize("name", ["custom_objects", "global_custom_objects"])
def test_a_pickle_of_custom_objects_is_opened_with_trust_alone(tmp_path, pwned, name):
    network, given, named = single()
    path = save(network, tmp_path / "model")
    (path / "data" / f"{name}.cloudpickle").write_bytes(pickle.dumps(Trap(pwned)))
    assert_refused(path, pwned, rf"'data/{name}\.cloudpickle', which would run where MLflow serves it")
    np.testing.assert_allclose(predicted(load(path, True), named), network(given, training=False), rtol=1e-5)
    assert_sprung(pwned)


def test_the_code_beside_a_network_runs_where_it_is_trusted_and_needed(tmp_path, pwned, intruder):
    """The pickle of its classes comes with the code: both are what was trusted."""
    network, classes = with_a_class()
    (tmp_path / "intruder.py").write_text(intruder)
    path = save(network, tmp_path / "model", custom_objects=classes, code_paths=[str(tmp_path / "intruder.py")])
    held = path / "data" / "global_custom_objects.cloudpickle"
    held.write_bytes(b"cintruder\n__name__\n0" + held.read_bytes())  # a pickle that imports the module first
    assert_refused(path, pwned, r"'code', 'data/custom_objects\.cloudpickle'")
    found = predicted(load(path, trust_model=True), {"num_input": numbers(3)})
    np.testing.assert_allclose(found, network(numbers(3), training=False), rtol=1e-5)
    assert_sprung(pwned)


# Python models


AGES = pd.DataFrame({"age": [1.0, 2.0, 3.0]})
SIGNATURE = infer_signature(AGES, AGES["age"])


def save_python(path, **what):
    mlflow.pyfunc.save_model(str(path), signature=SIGNATURE, pip_requirements=["pandas"], **what)
    return path


def assert_doubles(path, pwned):
    pwned.unlink(missing_ok=True)
    assert predicted(load(path, trust_model=True), by_column(AGES)).ravel().tolist() == [2, 4, 6]
    assert_sprung(pwned)


def test_a_pickled_python_model_is_refused_without_trust_and_right_with_it(tmp_path, pwned):
    path = save_python(tmp_path / "model", python_model=Harmless(Trap(pwned)))
    assert_refused(path, pwned, r"loaded by 'mlflow\.pyfunc\.model' from pickles or code")
    assert_doubles(path, pwned)


def test_a_python_model_from_code_is_refused_without_trust_and_right_with_it(tmp_path, pwned, intruder):
    source = tmp_path / "doubling.py"
    source.write_text(f"{intruder}import mlflow\nfrom tests.models.test_hostile_models import Harmless\n"
                      "mlflow.models.set_model(Harmless())\n")  # fmt: skip
    path = save_python(tmp_path / "model", python_model=str(source))
    pwned.unlink()
    assert_refused(path, pwned, r"loaded by 'mlflow\.pyfunc\.loaders\.code_model' from pickles or code")
    assert_doubles(path, pwned)


def test_a_loader_of_its_own_is_refused_without_trust_and_right_with_it(tmp_path, pwned, intruder):
    source = tmp_path / "intruder.py"
    source.write_text(f"{intruder}from tests.models.test_hostile_models import Loaded\n"
                      "def _load_pyfunc(path):\n    return Loaded()\n")  # fmt: skip
    path = save_python(tmp_path / "model", loader_module="intruder", code_paths=[str(source)])
    sys.modules.pop("intruder", None)
    assert_refused(path, pwned, "loaded by 'intruder' from pickles or code")
    assert_doubles(path, pwned)


class Loaded:
    def predict(self, table):
        return table["age"] * 2


@pytest.mark.parametrize("raised", ["RuntimeError()", "ZeroDivisionError()", "SyntaxError()"])
def test_a_trusted_model_that_fails_is_refused_in_words(tmp_path, intruder, raised):
    source = tmp_path / "intruder.py"
    source.write_text(f"raise {raised}\n")
    path = save_python(tmp_path / "model", loader_module="intruder", code_paths=[str(source)])
    with pytest.raises(ModelError, match=f"cannot be loaded \\({raised.strip('()')}\\)"):
        load(path, trust_model=True)


# scikit-learn


def linear_in_skops(tmp_path):
    table, outcome = clients()
    return save_pipeline(encoded(LinearRegression()).fit(table, outcome), tmp_path / "model", table, outcome)


def test_the_pickle_of_a_refused_model_is_not_read(tmp_path, pwned):
    table, outcome = clients()
    forest = encoded(RandomForestClassifier(2)).fit(table, outcome)
    path = save_pipeline(forest, tmp_path / "model", table, outcome, serialization_format="cloudpickle")
    (path / "model.pkl").write_bytes(pickle.dumps(Trap(pwned)))
    assert_refused(path, pwned, r"loaded by 'mlflow\.sklearn' from pickles or code")
    load(path, trust_model=True)
    assert_sprung(pwned)


def test_a_pickle_that_calls_itself_skops_is_not_read(tmp_path, pwned):
    path = linear_in_skops(tmp_path)
    (path / "model.skops").write_bytes(pickle.dumps(Trap(pwned)))
    for trust_model in (False, True):
        with pytest.raises(ModelError):
            load(path, trust_model)
        assert not pwned.exists()


@pytest.mark.parametrize("key", ["data", "code", "config", "unheard_of"])
def test_a_skops_model_that_names_more_to_load_is_refused(tmp_path, pwned, key):
    """MLflow reads a directory `data` instead of the file that was looked into, with its own MLmodel and pickle."""
    path = linear_in_skops(tmp_path)
    inner = path / "inner"
    inner.mkdir()
    flavours = {
        "sklearn": {"serialization_format": "pickle", "pickled_model": "model.pkl"},
        "python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"},
    }
    (inner / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours}))
    (inner / "model.pkl").write_bytes(pickle.dumps(Trap(pwned)))
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["python_function"].update({key: "inner"}))
    assert_refused(path, pwned, r"loaded by 'mlflow\.sklearn' from pickles or code")
    if key == "data":
        load(path, trust_model=True)
        assert_sprung(pwned)


def test_what_a_skops_file_calls_trusted_itself_is_not_trusted_for_it(tmp_path, pwned):
    """Trees follow indices that they were stored with, unchecked: scikit-learn's own class, and not harmless."""
    table, outcome = clients()
    forest = encoded(RandomForestClassifier(2, random_state=0)).fit(table, outcome)
    types = ["numpy.dtype", "sklearn.tree._tree.Tree"]
    more = {"pyfunc_predict_fn": "predict_proba", "skops_trusted_types": types}
    path = save_pipeline(forest, tmp_path / "model", table, forest.predict_proba(table), **more)
    assert_refused(path, pwned, r"loaded by 'mlflow\.sklearn'")
    found = predicted(load(path, trust_model=True), by_column(table))
    np.testing.assert_allclose(found, forest.predict_proba(table))


def test_a_skops_that_does_not_tell_all_types_is_not_relied_on(tmp_path, pwned, monkeypatch):
    path = linear_in_skops(tmp_path)
    load(path)
    monkeypatch.setattr("skops.__version__", "0.12.0")
    assert_refused(path, pwned, r"loaded by 'mlflow\.sklearn'")


# The files of a model


def test_an_mlmodel_file_with_a_call_in_it_is_refused(tmp_path, pwned):
    call = f"!!python/object/apply:os.mkdir [{json.dumps(str(pwned))}]"
    path = save(single()[0], tmp_path / "model")
    with (path / "MLmodel").open("a") as file:
        file.write(f"metadata: {call}\n")
    for trust_model in (False, True):
        with pytest.raises(ModelError, match="is no valid YAML"):
            load(path, trust_model)
    assert not pwned.exists()
    yaml.unsafe_load(call)
    assert_sprung(pwned)


@pytest.mark.parametrize("flavour", ["tensorflow", "python_function"])
def test_what_a_model_asks_to_install_is_not_installed(tmp_path, pwned, monkeypatch, flavour):
    network, given, named = single()
    signature = infer_signature(named, network(given, training=False).numpy())
    path = save(network, tmp_path / "model", signature=signature)
    if flavour == "python_function":
        path = save_python(tmp_path / "python", python_model=Harmless())
        named = by_column(AGES)
    package = path / "package"
    package.mkdir()
    (package / "setup.py").write_text(f"import pathlib\npathlib.Path({str(pwned)!r}).touch()\n")
    (path / "requirements.txt").write_text(f"{package}\n")
    dependencies = ["python", "pip", {"pip": [str(package)]}]
    (path / "conda.yaml").write_text(yaml.safe_dump({"dependencies": dependencies}))
    (path / "python_env.yaml").write_text(yaml.safe_dump({"dependencies": [str(package)]}))
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse_to_start)
    predicted(load(path, trust_model=True), named)
    assert not pwned.exists()
    runpy.run_path(str(package / "setup.py"))
    assert_sprung(pwned)


def refuse_to_start(*command, **options):
    raise AssertionError(f"a process was started: {command}")


@pytest.mark.parametrize("way", ["upwards", "absolute", "link", "link inside"])
def test_a_network_outside_of_the_model_is_not_followed(tmp_path, way):
    path = save(single()[0], tmp_path / "a" / "model")
    elsewhere = path / "inner" if way == "link inside" else tmp_path / "elsewhere"
    shutil.move(path / "data", elsewhere)
    said = {"upwards": "../../elsewhere", "absolute": str(elsewhere)}.get(way, "data")
    if way.startswith("link"):
        (path / "data").symlink_to(elsewhere)
    change_mlmodel(path, lambda mlmodel: mlmodel["flavors"]["tensorflow"].update(data=said))
    why = r"holds the links 'data'.*cp -rL" if way.startswith("link") else "names '.*elsewhere', outside of the model"
    for trust_model in (False, True):
        with pytest.raises(ModelError, match=why):
            load(path, trust_model)


@pytest.mark.parametrize(
    "named",
    [
        {"sklearn": {"pickled_model": "../model.pkl"}},
        {"python_function": {"model_path": "inner/../../model.pkl"}},
        {"python_function": {"code": "../code"}},
        {"python_function": {"artifacts": {"weights": {"path": "../weights", "uri": "file:///elsewhere"}}}},
        {"pytorch": {"model_data": "/elsewhere"}},
        {"onnx": {"data": "a\0b"}},
    ],
    ids=str,
)
def test_whatever_an_mlmodel_file_names_lies_in_the_model(tmp_path, named):
    path = save_python(tmp_path / "model", python_model=Harmless())
    change_mlmodel(path, lambda mlmodel: [mlmodel["flavors"].setdefault(flavour, {}).update(more)
                                          for flavour, more in named.items()])  # fmt: skip
    for trust_model in (False, True):
        with pytest.raises(ModelError, match="outside of the model's directory"):
            load(path, trust_model)


def test_a_file_that_is_a_link_out_of_the_model_is_refused_and_one_inside_is_not(tmp_path):
    path = save(single()[0], tmp_path / "model")
    file = path / "data" / "model.keras"
    file.rename(file.with_name("inner.keras"))
    file.symlink_to("inner.keras")
    load(path)
    shutil.move(file.with_name("inner.keras"), tmp_path / "inner.keras")
    file.unlink()
    file.symlink_to(tmp_path / "inner.keras")
    with pytest.raises(ModelError, match=r"holds the links 'data/model\.keras'"):
        load(path)
    file.unlink()
    file.symlink_to("model.keras")
    with pytest.raises(ModelError):
        load(path)


# What a run tells


@pytest.mark.slow
def test_a_run_tells_that_its_model_was_trusted(tmp_path, tracked):
    mlflow.set_experiment("tests")
    logged = mlflow.pyfunc.log_model(
        name="doubling", python_model=Harmless(), signature=SIGNATURE, pip_requirements=["pandas"]
    )
    AGES.to_csv(tmp_path / "ages.csv", index=False)
    config = {"data": {"static": str(tmp_path / "ages.csv")}}
    with pytest.raises(UntrustedModelError):
        audit(config, model_uri=logged.model_uri)
    result = audit(config, model_uri=logged.model_uri, trust_model=True)
    params = tracked.get_run(result.run_id).data.params
    assert (params["model_trusted"], params["model_code"]) == ("True", "isolated")
    here = audit(config, model_uri=logged.model_uri, trust_model=True, isolate=False)
    assert here.table.equals(result.table)
    assert tracked.get_run(here.run_id).data.params["model_code"] == "in process"


def test_a_run_whose_model_was_not_trusted_tells_that_too(house, tracked):
    result = audit(house.settings(), model_uri="models:/house/1")
    params = tracked.get_run(result.run_id).data.params
    assert (params["model_trusted"], params["model_code"]) == ("False", "none")
