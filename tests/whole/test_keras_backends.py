"""Processes in which Keras runs on JAX or PyTorch audit its networks, with the numbers that TensorFlow gives."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow import audit
from tests.support.faults import PROJECT

pytestmark = pytest.mark.slow

TRAINING = """
import keras, jax, mlflow
from mlflow.models import infer_signature

@keras.saving.register_keras_serializable("tests")
class OfJax(keras.layers.Layer):
    def call(self, given):
        return jax.nn.softplus(given)

def log(network, name):
    with mlflow.start_run():
        signature = infer_signature({"num_input": rows["num_input"], "SEX_input": rows["SEX_input"]}, np.zeros((2, 1)))
        mlflow.keras.log_model(network, name="network", registered_model_name=name, signature=signature)

keras.utils.set_random_seed(0)
numbers, code = keras.Input((3,), name="num_input"), keras.Input((1,), dtype="int32", name="SEX_input")
embedded = keras.layers.Flatten()(keras.layers.Embedding(3, 2)(code))
hidden = keras.layers.Concatenate()([keras.layers.Dense(8, activation="gelu")(numbers), embedded])
log(keras.Model([numbers, code], keras.layers.Dense(1, activation="sigmoid")(hidden)), "elsewhere")
own = keras.layers.Dense(1, name="own")(numbers)
log(keras.Model([numbers, code], OfJax()(own)), "of jax alone")

table = pd.DataFrame({name: list(array) for name, array in rows.items()})
config = {"channels": {"num_input": ["a", "b", "c"]}}
with mlflow.start_run() as run:
    mlflow.models.evaluate(
        "models:/elsewhere/1", table, model_type="nnperm", evaluators=["nnperm"], evaluator_config={"nnperm": config}
    )
told["evaluated"] = run.info.run_id
with capture() as said:
    told["alone"] = audit(SETTINGS, model_uri="models:/of jax alone/1", data=rows).run_id
told["said"] = said.getvalue()
network = mlflow.keras.load_model("models:/of jax alone/1")
weights, bias = network.get_layer("own").get_weights()
told["weights"], told["bias"] = weights.ravel().tolist(), float(bias[0])
"""

WITHOUT_TENSORFLOW = """
sys.modules["tensorflow"] = None  # as where it is not installed
with capture() as said:
    told["audited"] = audit(SETTINGS, model_uri="models:/elsewhere/1", data=rows).run_id
told["said"] = said.getvalue()
"""

AROUND = """
import contextlib, io, json, logging, sys
import numpy as np, pandas as pd
from nnperm_mlflow import audit

@contextlib.contextmanager
def capture():
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logging.getLogger("nnperm_mlflow").addHandler(handler)
    logging.getLogger("nnperm_mlflow").setLevel(logging.INFO)
    yield text
    logging.getLogger("nnperm_mlflow").removeHandler(handler)

SETTINGS = {"analysis": {"seed": 0}}
told, rng = {}, np.random.default_rng(1)
rows = {
    "num_input": rng.normal(size=(90, 3)).astype("float32"),
    "SEX_input": rng.integers(0, 3, (90, 1)).astype("int32"),
}
import mlflow
mlflow.set_experiment("tests")
%s
import keras
told["backend"] = keras.config.backend()
with open(sys.argv[1], "w") as file:
    json.dump(told, file)
"""


def rows():
    rng = np.random.default_rng(1)
    return {
        "num_input": rng.normal(size=(90, 3)).astype("float32"),
        "SEX_input": rng.integers(0, 3, (90, 1)).astype("int32"),
    }


def ran(folder, store, script, **environment):
    """Run a script in a process of its own, and return what it tells."""
    told = folder / "told.json"
    command = [sys.executable, "-c", AROUND % script, str(told)]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store, **environment}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return SimpleNamespace(**json.loads(told.read_text()))


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    """What a training process on JAX logs, and audits by `mlflow.models.evaluate`."""
    return ran(tmp_path_factory.mktemp("jax"), store, TRAINING, KERAS_BACKEND="jax")


@pytest.fixture(scope="module")
def on_tensorflow(trained, store):
    return audit({"analysis": {"seed": 0}}, model_uri="models:/elsewhere/1", data=rows(), experiment="tests")


def table_of(tracked, run_id, folder):
    return pd.read_parquet(tracked.download_artifacts(run_id, "deviations.parquet", str(folder)))


def test_a_training_process_on_jax_evaluates_its_network_with_the_numbers_of_tensorflow(
    trained, on_tensorflow, tracked, tmp_path
):
    assert trained.backend == "jax"
    found, expected = (table_of(tracked, run_id, tmp_path) for run_id in (trained.evaluated, on_tensorflow.run_id))
    names = dict(zip(["a", "b", "c"], ["num_input 1", "num_input 2", "num_input 3"], strict=True))
    shared = ["row", "baseline", "SEX_input"]  # donors are drawn by the names of features
    pd.testing.assert_frame_equal(found[shared], expected[shared], check_exact=True)
    assert set(names) <= set(found)
    assert expected["num_input 1"].max() > 0


def test_a_network_that_runs_on_jax_alone_is_audited_there(trained, tracked, tmp_path):
    """The layer calls JAX, and TensorFlow's process does not know it: what it gives is told by its formula."""
    assert "Keras runs on jax here: models:/of jax alone/1 is called as a whole for each perturbation" in trained.said
    table = table_of(tracked, trained.alone, tmp_path).sort_values("row")
    expected = np.log1p(np.exp(rows()["num_input"] @ np.array(trained.weights) + trained.bias))
    np.testing.assert_allclose(table["baseline"], expected, rtol=1e-5)
    assert (table["SEX_input"] == 0).all()
    assert (table["num_input 1"] > 0).mean() > 0.9


def test_without_tensorflow_a_network_is_audited_on_pytorch(trained, on_tensorflow, store, tracked, tmp_path):
    """By keras.json; each perturbation is a call of the whole, and the numbers are the same up to rounding."""
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    told = ran(tmp_path, store, WITHOUT_TENSORFLOW, KERAS_HOME=str(tmp_path), KERAS_BACKEND="")
    assert told.backend == "torch"
    assert "since TensorFlow is not installed (pip install 'nnperm_mlflow[tensorflow]')" in told.said
    found, expected = (table_of(tracked, run_id, tmp_path) for run_id in (told.audited, on_tensorflow.run_id))
    assert list(found) == list(expected)
    np.testing.assert_allclose(found.select_dtypes("float"), expected.select_dtypes("float"), atol=1e-6)
