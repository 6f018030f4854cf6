"""Networks of one framework need no other: each is loaded and fitted where the others cannot be imported."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.support.onnx_models import exported_network, network_rows, save, served
from tests.support.stored import save as save_network
from tests.support.stored import single

pytestmark = pytest.mark.slow

FIT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[3].split():
            raise ModuleNotFoundError(f"No module named '{name}'", name=name.partition(".")[0])

sys.meta_path.insert(0, Missing())

import numpy as np
from pathlib import Path
from nnperm_mlflow.models.download import download_model
from nnperm_mlflow.models.loaders import load_predictor
from nnperm_mlflow.models.model_uri import ModelReference

folder, rows = sys.argv[1:3]
given = dict(np.load(rows))
reference = ModelReference(folder, folder)
predictor = load_predictor(download_model(reference, Path(folder)), reference).fitted(given)
np.save(rows + ".npy", predictor.begin([given])[0].baseline)
"""


def fitted_without(missing, folder, rows, tmp_path):
    """Return what a process predicts in which some packages are missing."""
    np.savez(tmp_path / "rows.npz", **rows)
    subprocess.run([sys.executable, "-c", FIT, str(folder), str(tmp_path / "rows.npz"), missing], check=True)
    return np.load(tmp_path / "rows.npz.npy")


def test_an_onnx_model_needs_neither_tensorflow_nor_keras_nor_torch(tmp_path):
    path, rows = save(exported_network(), tmp_path / "model"), network_rows()
    found = fitted_without("tensorflow keras tf_keras torch", path, rows, tmp_path)
    assert np.array_equal(found, *served(exported_network(), rows).values())


def test_a_keras_network_needs_neither_onnx_nor_onnx_runtime(tmp_path):
    network, rows, named = single()
    path = save_network(network, tmp_path / "model")
    found = fitted_without("onnx onnxruntime", path, named, tmp_path)
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(network(rows)), rtol=1e-6)


def test_an_onnx_model_says_what_to_install_where_onnx_runtime_is_missing(tmp_path):
    path, rows = save(exported_network(), tmp_path / "model"), network_rows()
    np.savez(tmp_path / "rows.npz", **rows)
    command = [sys.executable, "-c", FIT, str(path), str(tmp_path / "rows.npz"), "onnx onnxruntime"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "needs the package 'onnx" in done.stderr
    assert "pip install 'nnperm_mlflow[onnx]'" in done.stderr
