"""No framework is needed for another's models: audits in processes in which the others cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest
from mlflow.models import infer_signature

from tests.models.torch.test_loading import save_archive
from tests.support.onnx_models import exported_network, network_rows, save
from tests.support.torch_networks import OneTensor, made, rows

pytestmark = pytest.mark.slow

AUDIT = """
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {without!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name.partition(".")[0])

sys.meta_path.insert(0, Refusing())
import mlflow, numpy as np
mlflow.set_tracking_uri("{store}")
from nnperm_mlflow import audit
result = audit("{folder}/model", data=dict(np.load("{folder}/rows.npz")), config={{"analysis": {{"output": 0}}}})
print("audited:", len(result.table), "rows")
"""


def audit_without(without, store, folder, rows):
    """Audit in a process in which some packages cannot be imported."""
    np.savez(folder / "rows.npz", **rows)
    command = [sys.executable, "-c", AUDIT.format(store=store, folder=folder, without=without)]
    paths = {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, cwd=folder, env={**os.environ, **paths}, capture_output=True, text=True, check=False)


def audited(store, folder, rows, without):
    """Return what an audit says in such a process."""
    done = audit_without(without, store, folder, rows)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pytorch_network_is_audited_without_tensorflow(store, tmp_path):
    data = {"row": rows(60)["row"]}
    save_archive(tmp_path / "model", made(OneTensor), data)
    assert (
        audited(store, tmp_path, data, without=("tensorflow", "keras", "onnx", "onnxruntime")) == "audited: 60 rows\n"
    )


def test_a_keras_network_is_audited_without_pytorch(store, tmp_path):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((7,), name="row"), keras.layers.Dense(1)])
    data = rows(60)["row"]
    signature = infer_signature(data, network.predict(data, verbose=0))
    mlflow.tensorflow.save_model(network, str(tmp_path / "model"), signature=signature, pip_requirements=["keras"])
    assert audited(store, tmp_path, {"row": data}, without=("torch", "onnx", "onnxruntime")) == "audited: 60 rows\n"


def test_an_onnx_model_is_audited_without_tensorflow_and_pytorch(store, tmp_path):
    save(exported_network(), tmp_path / "model")
    data = network_rows()
    n_rows = len(next(iter(data.values())))
    told = audited(store, tmp_path, data, without=("tensorflow", "keras", "tf_keras", "torch"))
    assert told == f"audited: {n_rows} rows\n"


def test_an_onnx_model_says_what_to_install_where_onnx_runtime_is_missing(store, tmp_path):
    save(exported_network(), tmp_path / "model")
    done = audit_without(("onnx", "onnxruntime"), store, tmp_path, network_rows())
    assert "needs the package 'onnx" in done.stderr
    assert "pip install 'nnperm_mlflow[onnx]'" in done.stderr
