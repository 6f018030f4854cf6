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


def audited(store, folder, rows, without):
    """Return what an audit says in a process in which some packages cannot be imported."""
    np.savez(folder / "rows.npz", **rows)
    command = [sys.executable, "-c", AUDIT.format(store=store, folder=folder, without=without)]
    paths = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=folder, env={**os.environ, **paths}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pytorch_network_is_audited_without_tensorflow(store, tmp_path):
    data = {"row": rows(60)["row"]}
    save_archive(tmp_path / "model", made(OneTensor), data)
    assert audited(store, tmp_path, data, without=("tensorflow", "keras")) == "audited: 60 rows\n"


def test_a_keras_network_is_audited_without_pytorch(store, tmp_path):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((7,), name="row"), keras.layers.Dense(1)])
    data = rows(60)["row"]
    signature = infer_signature(data, network.predict(data, verbose=0))
    mlflow.tensorflow.save_model(network, str(tmp_path / "model"), signature=signature, pip_requirements=["keras"])
    assert audited(store, tmp_path, {"row": data}, without=("torch",)) == "audited: 60 rows\n"
