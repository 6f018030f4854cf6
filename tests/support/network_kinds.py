"""Kinds of logged network: Keras, TensorFlow, PyTorch and ONNX."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow.models import infer_signature

from tests.support.logged_kinds import LABELS, TABLE, Own, arrays

# Keras


def keras_network(kind: str) -> Any:
    import keras

    keras.utils.set_random_seed(1)
    numbers = keras.Input((2,), name="numbers")
    if kind == "sequential":
        return keras.Sequential([numbers, keras.layers.Dense(3, activation="tanh"), keras.layers.Dense(1)])
    if kind == "subclass":
        from tests.support.own_network import Own

        network = Own()
        network(arrays(TABLE)["numbers"])
        return network
    code = keras.Input((1,), name="code", dtype="int64")
    both = [
        keras.layers.Dense(3, activation="tanh")(numbers),
        keras.layers.Flatten()(keras.layers.Embedding(4, 2)(code)),
    ]
    joined = keras.layers.Concatenate()(both)
    if kind == "lambda":
        joined = keras.layers.Lambda(lambda x: x * 2)(joined)
    return keras.Model({"numbers": numbers, "code": code}, keras.layers.Dense(1, activation="sigmoid")(joined))


def of_keras(kind: str, flavour: str = "tensorflow", **more: Any) -> Callable[[Path], Own]:
    def make(path: Path) -> Own:
        network, takes_one = keras_network(kind), kind in ("sequential", "subclass")

        def predict(table: pd.DataFrame) -> np.ndarray:
            given = arrays(table)
            return np.asarray(network(given["numbers"] if takes_one else given, training=False))[:, 0]

        given = arrays(TABLE)["numbers"] if takes_one else arrays(TABLE)
        signature = infer_signature(given, predict(TABLE)[:, None])
        if kind == "subclass":
            more["custom_objects"] = {"Own": type(network)}
        getattr(mlflow, flavour).save_model(network, str(path), signature=signature, pip_requirements=["keras"], **more)
        return predict

    return make


def of_keras_2(path: Path) -> Own:
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    numbers = tf_keras.Input((2,), name="numbers")
    network = tf_keras.Model(numbers, tf_keras.layers.Dense(1)(tf_keras.layers.Dense(3, "tanh")(numbers)))
    (path / "data").mkdir(parents=True)
    network.save(path / "data" / "model.h5")
    flavours = {
        "keras": {"data": "data", "keras_module": "keras", "keras_version": "2.15.0", "save_format": "h5"},
        "python_function": {"loader_module": "mlflow.keras", "data": "data", "python_version": "3.9.1"},
    }
    (path / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours}))
    (path / "data" / "keras_module.txt").write_text("keras")
    (path / "data" / "save_format.txt").write_text("h5")
    return lambda table: np.asarray(network(arrays(table)["numbers"]))[:, 0]


def of_tensorflow(path: Path) -> Own:
    import tensorflow as tf

    class Weighing(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable([[1.0], [10.0]])

        @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="numbers")])
        def __call__(self, numbers: Any) -> Any:
            return numbers @ self.weights

    module = Weighing()
    signature = infer_signature(arrays(TABLE)["numbers"], np.zeros((len(TABLE), 1), "float32"))
    mlflow.tensorflow.save_model(module, str(path), signature=signature, pip_requirements=["tensorflow"])
    return lambda table: module(tf.constant(arrays(table)["numbers"])).numpy()[:, 0]


# PyTorch


def of_torch(takes: str, serialization_format: str) -> Callable[[Path], Own]:
    """Return what saves a network that takes one tensor, several by position, a dict or a tuple."""

    def make(path: Path) -> Own:
        import torch

        from tests.support import torch_ways

        torch.manual_seed(1)
        network = getattr(torch_ways, takes)().eval()

        def predict(table: pd.DataFrame) -> np.ndarray:
            given = [torch.from_numpy(array) for array in arrays(table).values()]
            with torch.no_grad():
                return network(*torch_ways.taken(takes, given)).numpy()[:, 0]

        given = arrays(TABLE)["numbers"] if takes == "One" else arrays(TABLE)
        more: dict[str, Any] = {"signature": infer_signature(given, predict(TABLE)[:, None])}
        if serialization_format == "pt2":
            more["input_example"] = given if takes == "One" else tuple(given.values())
        mlflow.pytorch.save_model(
            network, str(path), serialization_format=serialization_format, pip_requirements=["torch"], **more
        )
        return predict

    return make


# ONNX


def of_onnx(exported: str, is_signed: bool = True) -> Callable[[Path], Own]:
    """Return what saves a graph: of PyTorch with two inputs, or of scikit-learn's classifier."""

    def make(path: Path) -> Own:
        graph, given, predict = _graph_of_torch(path) if exported == "torch" else _graph_of_sklearn()
        signature = infer_signature(given, np.zeros((len(TABLE), 1), "float32")) if is_signed else None
        mlflow.onnx.save_model(graph, str(path), signature=signature, pip_requirements=["onnxruntime"])
        return predict

    return make


def _graph_of_torch(path: Path) -> tuple[Any, Any, Own]:
    import onnx
    import torch

    from tests.support.torch_ways import Several

    torch.manual_seed(1)
    network = Several().eval()
    given = {name: torch.from_numpy(array) for name, array in arrays(TABLE).items()}
    rows = torch.export.Dim("rows")
    torch.onnx.export(
        network, tuple(given.values()), str(path.parent / "graph.onnx"), input_names=list(given), dynamo=True,
        dynamic_shapes=({0: rows}, {0: rows}), external_data=False, verbose=False,
    )  # fmt: skip

    def predict(table: pd.DataFrame) -> np.ndarray:
        with torch.no_grad():
            return network(*map(torch.from_numpy, arrays(table).values())).numpy()[:, 0]

    return onnx.load(str(path.parent / "graph.onnx")), arrays(TABLE), predict


def _graph_of_sklearn() -> tuple[Any, Any, Own]:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    rows = TABLE[["a", "b"]].to_numpy("float32")
    model = LogisticRegression().fit(rows, LABELS)
    graph = to_onnx(model, rows[:1], options={"zipmap": False})
    return graph, rows, lambda table: model.predict_proba(table[["a", "b"]].to_numpy("float32"))[:, 1]
