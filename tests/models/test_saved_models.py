"""SavedModels are called as their MLmodel file says, and need nothing that only training needed."""

import shutil
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
import tensorflow as tf
import yaml

from nnperm_mlflow.basics.errors import ModelError
from nnperm_mlflow.inputs.slots import Change
from tests.support.stored import change_mlmodel, load, numbers, predicted, save

LEGACY = Path(__file__).parent / "legacy"
ROWS = {"x": numbers(3)}
ONE_BY_ONE, REVERSED = np.array([1.0, 10.0, 100.0]), np.array([100.0, 10.0, 1.0])


def weighted(weights):
    """Return a function of named columns, with the weights as constants."""
    weights = tf.constant(weights, tf.float32)
    return tf.function(
        lambda x: {"y": tf.linalg.matvec(x, weights)[:, None]},
        input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")],
    )


def stored(path, **told):
    """Store a SavedModel with two signatures, and what MLflow 1.x told of such a one."""
    module = tf.Module()
    signatures = {"serving_default": weighted(ONE_BY_ONE), "predict": weighted(REVERSED)}
    tf.saved_model.save(module, str(path / "data" / "model"), signatures=signatures)
    return described(path, saved_model_dir="data/model", **told)


def described(path, **told):
    flavours = {"tensorflow": told, "python_function": {"loader_module": "mlflow.tensorflow"}}
    (path / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours}))
    return path


@pytest.mark.parametrize(("key", "weights"), [("predict", REVERSED), ("serving_default", ONE_BY_ONE)])
def test_the_signature_that_an_mlmodel_names_is_called(tmp_path, key, weights):
    path = stored(tmp_path, meta_graph_tags=["serve"], signature_def_key=key)
    found = predicted(load(path), ROWS)
    np.testing.assert_allclose(found[:, 0], ROWS["x"] @ weights, rtol=1e-5)
    served = mlflow.pyfunc.load_model(str(path)).predict(ROWS)["y"]
    np.testing.assert_allclose(found[:, 0], served, rtol=1e-6)


def test_without_a_name_the_signature_for_serving_is_called(tmp_path):
    np.testing.assert_allclose(predicted(load(stored(tmp_path)), ROWS)[:, 0], ROWS["x"] @ ONE_BY_ONE, rtol=1e-5)


def test_a_signature_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    path = stored(tmp_path, signature_def_key="predicts")
    with pytest.raises(
        ModelError, match=r"'predicts' \(signature_def_key\).*has 'predict', 'serving_default'.*Did you"
    ):
        load(path)


def test_tags_that_are_not_there_are_refused_with_those_that_are(tmp_path):
    path = stored(tmp_path, meta_graph_tags=["serve", "gpu"])
    with pytest.raises(ModelError, match=r"tags 'serve', 'gpu' \(meta_graph_tags\), and its SavedModel has 'serve'"):
        load(path)


def with_two_graphs(path):
    """Store a SavedModel of TensorFlow 1 with a graph for serving and one for training, of other weights."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(path / "data" / "model"))
    for tags, weights in ((["train"], REVERSED), (["serve"], ONE_BY_ONE)):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, (None, 3), name="x")
            y = tf.linalg.matvec(x, tf.constant(weights, tf.float32))[:, None]
            called = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
            if tags == ["train"]:
                builder.add_meta_graph_and_variables(session, tags, {"serving_default": called})
            else:
                builder.add_meta_graph(tags, {"serving_default": called})
    builder.save()


@pytest.mark.parametrize(("tags", "weights"), [(["train"], REVERSED), ("serve", ONE_BY_ONE)])
def test_the_graph_whose_tags_an_mlmodel_names_is_loaded(tmp_path, tags, weights):
    with_two_graphs(tmp_path)
    path = described(tmp_path, saved_model_dir="data/model", meta_graph_tags=tags, signature_def_key="serving_default")
    np.testing.assert_allclose(predicted(load(path), ROWS)[:, 0], ROWS["x"] @ weights, rtol=1e-5)


def test_where_several_graphs_are_stored_their_tags_are_asked_for(tmp_path):
    with_two_graphs(tmp_path)
    path = described(tmp_path, saved_model_dir="data/model")
    with pytest.raises(ModelError, match=r"several graphs, with the tags 'serve', 'train'.*meta_graph_tags: \[serve\]"):
        load(path)


class TwoWays(tf.Module):
    """A module that does another thing when it is called than its signature does."""

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def __call__(self, x):
        return tf.linalg.matvec(x, tf.constant(REVERSED, tf.float32))[:, None]


def test_a_module_is_called_as_mlflow_calls_it(tmp_path, caplog):
    kwargs = {"signatures": {"serving_default": weighted(ONE_BY_ONE)}}
    path = save(TwoWays(), tmp_path / "model", saved_model_kwargs=kwargs)
    block = load(path).fitted(ROWS).begin([ROWS])[0]
    served = mlflow.pyfunc.load_model(str(path))
    np.testing.assert_allclose(block.baseline, served.predict(ROWS["x"]), rtol=1e-6)
    turned = ROWS["x"][::-1].copy()
    (found,) = block.predict([Change.of({"x": turned})])
    np.testing.assert_allclose(found, served.predict(turned), rtol=1e-6)
    assert "gives other numbers" in caplog.text


def test_a_module_whose_signature_is_itself_is_called_by_that(tmp_path, caplog):
    module = TwoWays()
    path = save(module, tmp_path / "model", saved_model_kwargs={"signatures": {"serving_default": module.__call__}})
    predictor = load(path).fitted(ROWS)
    np.testing.assert_allclose(predicted(predictor, ROWS)[:, 0], ROWS["x"] @ REVERSED, rtol=1e-5)
    assert predictor.outputs.names == ("output_0",)
    assert "gives other numbers" not in caplog.text


# What training left behind


@pytest.fixture
def without_keras_2(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf_keras", None)


def test_adapted_layers_and_an_optimizer_need_no_trust_and_no_keras_2(tmp_path, without_keras_2):
    path = Path(shutil.copytree(LEGACY / "adapted", tmp_path / "model"))
    with np.load(path / "expected.npz") as kept:
        rows = {name: kept[name] for name in ("num_input", "age_input", "city_input")}
        expected = kept["prediction"]
    rows["city_input"] = rows["city_input"].astype(object)
    np.testing.assert_allclose(predicted(load(path), rows), expected, rtol=0, atol=1e-6)


class Trained(tf.Module):
    """Looks a name up, and keeps what it was trained by."""

    def __init__(self, names):
        super().__init__()
        self.weights = tf.Variable([[1.0], [10.0], [100.0]])
        self.optimizer = tf.compat.v1.train.AdamOptimizer(0.1)
        self.optimizer.minimize(lambda: tf.reduce_sum(self.weights**2))
        self.names = tf.saved_model.Asset(names)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def __call__(self, x):
        return x @ self.weights


def test_slots_of_an_optimizer_are_not_loaded(tmp_path, without_keras_2):
    """What has no class here cannot take them; parts of the model that are files are there all the same."""
    (tmp_path / "names.txt").write_text("one\n")
    module = Trained(str(tmp_path / "names.txt"))
    expected = module(ROWS["x"])
    path = save(module, tmp_path / "model", saved_model_kwargs={"signatures": {"serving_default": module.__call__}})
    with pytest.raises(AttributeError, match="add_slot"):
        tf.saved_model.load(str(path / "tf2model"))
    before = sorted(file.relative_to(path) for file in path.rglob("*"))
    predictor = load(path).fitted(ROWS)
    np.testing.assert_allclose(predicted(predictor, ROWS), expected, rtol=1e-6)
    assert sorted(file.relative_to(path) for file in path.rglob("*")) == before


def test_a_damaged_saved_model_with_an_optimizer_is_refused(tmp_path):
    path = Path(shutil.copytree(LEGACY / "adapted", tmp_path / "model"))
    shutil.rmtree(path / "data" / "model" / "variables")
    with pytest.raises(ModelError, match=r"the SavedModel of .* cannot be read"):
        load(path)


class Helped(tf.Module):
    """Learns from files, augments at random, and predicts without either."""

    def __init__(self):
        super().__init__()
        self.noise = tf.random.Generator.from_seed(1)
        self.mean = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)])
    def learn(self, path):
        count = tf.data.TextLineDataset(path).reduce(0.0, lambda found, _: found + 1.0)
        self.mean.assign(count + tf.numpy_function(lambda: np.float32(1), [], tf.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x"), tf.TensorSpec((), tf.bool)])
    def augmented(self, x, training):
        return tf.cond(training, lambda: x + self.noise.normal(tf.shape(x)), lambda: x)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def __call__(self, x):
        return self.augmented(x, False) - self.mean


def test_what_only_a_helper_of_the_model_does_needs_no_trust(tmp_path):
    module = Helped()
    path = save(module, tmp_path / "model", saved_model_kwargs={"signatures": {"serving_default": module.__call__}})
    np.testing.assert_allclose(predicted(load(path), ROWS), ROWS["x"] - 2, rtol=1e-6)


def test_an_mlmodel_that_tells_nonsense_of_its_signature_is_refused(tmp_path):
    path = stored(tmp_path)
    for told in ({"signature_def_key": 3}, {"signature_def_key": ["predict"]}, {"meta_graph_tags": [1]}):
        change_mlmodel(path, lambda mlmodel, told=told: mlmodel["flavors"]["tensorflow"].update(told))
        with pytest.raises(ModelError, match="the MLmodel file of"):
            load(path)
