"""Files that Keras 2 wrote long ago, and files made to run code when it reads them: its reader has no safe mode."""

import json
import shutil
import sys
import zipfile
from pathlib import Path

import cloudpickle
import h5py
import numpy as np
import pytest

from nnperm_mlflow.basics.errors import ModelError, UntrustedModelError
from nnperm_mlflow.models.keras2._trust import reaching_parts, uncompiled
from nnperm_mlflow.models.network_files import is_of_keras_2, keras_version
from tests.support.stored import load, predicted, stored_as

tf_keras = pytest.importorskip(
    "tf_keras", reason="needs Keras 2: pip install --no-deps tf-keras, of the version of TensorFlow"
)

LEGACY = Path(__file__).parent / "legacy"
KERAS_224 = LEGACY / "keras224"
OLD = {
    "sequence_of_numbers": {"dense_1_input": "num"},
    "sequence_of_steps": {"masking_1_input": "x"},
    "sequence_of_codes": {"embedding_1_input": "item"},
    "functional": {"item": "item", "x": "x"},
    "nested": {"num": "num"},
}
"""Networks of Keras 2.2.4: where the rows of each input are in `expected.npz`."""


# Old files


@pytest.mark.parametrize("name", OLD)
def test_a_network_of_keras_2_2_predicts_what_it_predicted(tmp_path, name):
    with np.load(KERAS_224 / "expected.npz") as stored:
        given, served = {key: stored[of] for key, of in OLD[name].items()}, stored[name]
    predictor = load(stored_as(tmp_path, KERAS_224 / f"{name}.h5"))
    assert {spec.name: spec.shape for spec in predictor.inputs} == {key: rows.shape[1:] for key, rows in given.items()}
    for each in (predictor, predictor.fitted(given)):
        np.testing.assert_allclose(predicted(each, given), served, rtol=0, atol=1e-6 * np.ptp(served))


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("sequence_of_numbers", "'no InputLayer'"),
        ("sequence_of_steps", "'no InputLayer', 'hard_sigmoid'"),
        ("nested", r"'a network in it \(model_1\)'"),
        ("functional", r"'a mask that reaches concatenate_1 \(Concatenate\)', 'hard_sigmoid'"),
    ],
)
def test_without_keras_2_an_old_network_is_refused_with_what_it_holds(tmp_path, monkeypatch, name, holds):
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(ModelError, match=rf"was written by Keras 2\.2\.4 and holds {holds}.*nnperm_mlflow\[keras2\]"):
        load(stored_as(tmp_path, KERAS_224 / f"{name}.h5"))


def test_who_wrote_a_file_is_told_from_it(tmp_path):
    assert keras_version(KERAS_224 / "nested.h5") == "2.2.4"
    assert is_of_keras_2(LEGACY / "h5" / "data" / "model.h5")
    (tmp_path / "model.h5").write_bytes(b"text")
    (tmp_path / "model.keras").write_bytes(b"text")
    assert not is_of_keras_2(tmp_path / "model.h5")
    assert not is_of_keras_2(tmp_path / "model.keras")


def test_a_file_without_its_weights_is_refused_in_words(tmp_path):
    path = stored_as(tmp_path, KERAS_224 / "nested.h5")
    with h5py.File(path / "data" / "model.h5", "r+") as file:
        del file["model_weights"]
    with pytest.raises(ModelError, match=r"model\.h5 of .* cannot be read by Keras 2\."):
        load(path)


# Hostile files


@pytest.fixture
def pwned(tmp_path):
    """The file that a trap leaves."""
    return tmp_path / "pwned"


@pytest.fixture
def unread(monkeypatch):
    """Fail where Keras 2 is handed a file."""

    def reader(*_, **__):
        raise AssertionError("the file was read")

    monkeypatch.setattr(tf_keras.saving, "load_model", reader)


def rewritten(folder, change):
    """A network of Keras 2.2.4 of which the configuration of the first layer has been changed."""
    path = stored_as(folder, KERAS_224 / "sequence_of_numbers.h5")
    with h5py.File(path / "data" / "model.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config["config"]["layers"][0])
        file.attrs["model_config"] = json.dumps(config)
    return path


def function(module, name, registered=None):
    return {"module": module, "class_name": "function", "config": name, "registered_name": registered or name}


def operator(name):
    return {"class_name": "TFOpLambda", "config": {"name": "operator", "function": name}}


def operation(name):
    return {"class_name": "TensorFlowOpLayer", "config": {"name": "op", "node_def": {"name": "op", "op": name}}}


HOSTILE = [
    ({"class_name": "Lambda", "config": {"function": ["4wEA", None, None], "function_type": "lambda"}}, "'Lambda'"),
    ({"class_name": "Lambda", "config": {"function": "system", "module": "os"}}, "'Lambda'"),
    ({"class_name": "Doubled", "config": {}}, "'Doubled'"),
    ({"module": "subprocess", "class_name": "Popen", "config": {"args": ["true"]}}, r"'subprocess\.Popen'"),
    ({"module": "os", "class_name": "Dense", "config": {}}, r"'os\.Dense'"),
    ({"module": "keras_elsewhere", "class_name": "Dense", "config": {}}, r"'keras_elsewhere\.Dense'"),
    ({"module": "keras.utils", "class_name": "get_file", "config": {}}, r"'keras\.utils\.get_file'"),
    ({"class_name": "Dense", "registered_name": "get", "config": {}}, "'Dense'"),
    ({"class_name": "DenseFeatures", "config": {"feature_columns": []}}, "'DenseFeatures'"),
    ({"class_name": "ResidualWrapper", "config": {"residual_fn": "4wEA"}}, "'ResidualWrapper'"),
    ({"class_name": "InstanceMethod", "config": {"attr_name": "numpy"}}, "'InstanceMethod'"),
    ({"class_name": "ClassMethod", "config": {"cls_symbol": "io.TFRecordWriter"}}, "'ClassMethod'"),
    ({"class_name": "TypeSpec", "type_spec": "tf.TensorSpec", "serialized": []}, "'TypeSpec'"),
    ({"class_name": "__lambda__", "config": {"value": "4wEA"}}, "'__lambda__'"),
    ({"class_name": "StringLookup", "config": {"vocabulary": "/etc/hostname"}}, "with its vocabulary in a file"),
    *[
        (operator(name), f"'TFOpLambda of {name}'")
        for name in (
            "io.read_file", "io.write_file", "raw_ops.ReadFile", "py_function", "numpy_function", "compat.v1.py_func",
            "keras.utils.get_file", "debugging.set_log_device_placement", "saved_model.load", "map_fn", "Variable",
        )
    ],
    ({"class_name": "SlicingOpLambda", "config": {"function": "io.read_file"}}, "'SlicingOpLambda of io.read_file'"),
    ({"class_name": "TFOpLambda", "config": {"function": ["math", "add"]}}, "'TFOpLambda of "),
    (operation("ReadFile"), "'TensorFlowOpLayer of ReadFile'"),
    (operation("PyFunc"), "'TensorFlowOpLayer of PyFunc'"),
    (operation("NoSuchOperation"), "'TensorFlowOpLayer of NoSuchOperation'"),
    ({"class_name": "TensorFlowOpLayer", "config": {"node_def": "\x00"}}, "'TensorFlowOpLayer of an unknown"),
]  # fmt: skip
"""Parts that run code or read files, or may do so for all that is known."""

FUNCTIONS = [
    (function("os", "system"), r"'os\.system'"),
    (function("builtins", "eval"), "'eval'"),
    (function("builtins", "relu", registered="deserialize"), "'relu'"),
    (function("keras.utils", "get_file"), r"'keras\.utils\.get_file'|'get_file'"),
    ({"class_name": "deserialize_keras_object", "config": {"config": function("os", "system")}}, "'deserialize_keras"),
    ({"class_name": "function", "config": "deserialize"}, "'deserialize'"),
    ("deserialize", "'deserialize'"),
    ("keras_export", "'keras_export'"),
]
"""What may stand in the place of an activation, a regulariser, an initialiser or a constraint, and is none."""


@pytest.mark.parametrize("place", ["itself", "wrapped", "in a call"])
@pytest.mark.parametrize(("part", "why"), HOSTILE, ids=[why for _, why in HOSTILE])
def test_what_would_run_code_or_read_files_is_refused_before_keras_2_sees_it(tmp_path, unread, part, why, place):
    """Wherever it stands: as a layer, as the layer in another one, among the arguments of a call."""

    def change(layer):
        if place == "itself":
            layer.update(part)
        elif place == "wrapped":
            layer["config"]["layer"] = part
        else:
            layer["inbound_nodes"] = [[["x", 0, 0, {"y": part}]]]

    with pytest.raises(UntrustedModelError, match=rf"the network has .*{why}.*which would run code or read files"):
        load(rewritten(tmp_path, change))


@pytest.mark.parametrize("key", ["activation", "kernel_regularizer", "bias_initializer", "kernel_constraint"])
@pytest.mark.parametrize(("part", "why"), FUNCTIONS, ids=[why for _, why in FUNCTIONS])
def test_a_function_that_is_none_of_networks_is_refused_before_keras_2_sees_it(tmp_path, unread, key, part, why):
    with pytest.raises(UntrustedModelError, match=why):
        load(rewritten(tmp_path, lambda layer: layer["config"].update({key: part})))


def test_what_a_network_was_compiled_with_is_not_read():
    compiled = {"module": "keras", "class_name": "Sequential", "config": {"layers": []}}
    nested = {**compiled, "compile_config": {"loss": function("os", "system")}}
    assert uncompiled({**compiled, "config": {"layers": [nested]}}) == {**compiled, "config": {"layers": [compiled]}}


def test_a_network_in_the_format_keras_is_looked_at_likewise(tmp_path, pwned, unread):
    network = tf_keras.Sequential([tf_keras.layers.Input((3,), name="num"), tf_keras.layers.Dense(1)])
    network.save(tmp_path / "network.keras")
    with zipfile.ZipFile(tmp_path / "network.keras") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(held["config.json"])
    config["config"]["layers"][1]["config"]["activation"] = function("os", "system")
    with zipfile.ZipFile(tmp_path / "hostile.keras", "w") as archive:
        for name, content in {**held, "config.json": json.dumps(config)}.items():
            archive.writestr(name, content)
    with pytest.raises(UntrustedModelError, match=r"'os\.system'"):
        load(stored_as(tmp_path / "model", tmp_path / "hostile.keras"))


def test_an_operation_of_an_old_graph_that_computes_is_none_of_them():
    assert reaching_parts(operation("AddV2")) == []


def with_lambda(pwned):
    name = str(pwned)
    num = tf_keras.layers.Input((3,), name="num")
    doubled = tf_keras.layers.Lambda(lambda given: (__import__("pathlib").Path(name).touch(), given * 2)[1])(num)
    return tf_keras.Model(num, tf_keras.layers.Dense(1)(doubled))


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_lambda_layer_of_keras_2_is_refused_without_trust_and_right_with_it(tmp_path, pwned, suffix):
    network, rows = with_lambda(pwned), np.ones((4, 3), dtype="float32")
    expected = network(rows).numpy()
    network.save(tmp_path / f"network{suffix}")
    path = stored_as(tmp_path / "model", tmp_path / f"network{suffix}")
    pwned.unlink()
    with pytest.raises(UntrustedModelError, match="'Lambda'.*allow it with --trust-model"):
        load(path)
    assert not pwned.exists()
    np.testing.assert_allclose(predicted(load(path, trust_model=True), {"num": rows}), expected, rtol=1e-6)
    assert pwned.exists(), "the trap is none"


def test_a_class_beside_a_network_of_keras_2_is_read_where_the_model_is_trusted(tmp_path):
    class Tripled(tf_keras.layers.Layer):
        def call(self, x):
            return x * 3

    num = tf_keras.layers.Input((3,), name="num")
    network, rows = tf_keras.Model(num, tf_keras.layers.Dense(1)(Tripled()(num))), np.ones((4, 3), dtype="float32")
    network.save(tmp_path / "network.h5")
    path = stored_as(tmp_path / "model", tmp_path / "network.h5")
    with pytest.raises(UntrustedModelError, match="'Tripled'"):
        load(path)
    with pytest.raises(ModelError, match="cannot be loaded with its own code either"):
        load(path, trust_model=True)
    (path / "data" / "custom_objects.cloudpickle").write_bytes(cloudpickle.dumps({"Tripled": Tripled}))
    found = predicted(load(path, trust_model=True), {"num": rows})
    np.testing.assert_allclose(found, network(rows), rtol=1e-6)


def test_a_class_that_the_caller_has_registered_with_keras_2_needs_no_trust(tmp_path):
    @tf_keras.saving.register_keras_serializable("elsewhere")
    class Halved(tf_keras.layers.Layer):
        def call(self, x):
            return x / 2

    num = tf_keras.layers.Input((3,), name="num")
    network, rows = tf_keras.Model(num, tf_keras.layers.Dense(1)(Halved()(num))), np.ones((4, 3), dtype="float32")
    for suffix in (".h5", ".keras"):
        network.save(tmp_path / f"network{suffix}")
        path = stored_as(tmp_path / suffix, tmp_path / f"network{suffix}")
        np.testing.assert_allclose(predicted(load(path), {"num": rows}), network(rows), rtol=1e-6)
    hiding = {"class_name": "Lambda", "registered_name": "elsewhere>Halved", "module": None, "config": {}}
    assert reaching_parts(hiding) == ["Lambda"]
    assert reaching_parts(function("os", "system", registered="elsewhere>Halved")) == ["os.system"]


def test_loading_leaves_the_file_as_it_was(tmp_path):
    path = Path(shutil.copytree(LEGACY / "h5", tmp_path / "legacy"))
    before = (path / "data" / "model.h5").read_bytes()
    load(path, trust_model=True)
    assert (path / "data" / "model.h5").read_bytes() == before
