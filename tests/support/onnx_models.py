"""ONNX models for the tests, written operator by operator or exported from PyTorch and scikit-learn, and logged."""

import contextlib
import io
import warnings
from functools import cache
from pathlib import Path

import mlflow
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from nnperm_mlflow.models.onnx.model_file import every_message

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
N_ROWS = 40


def model_of(nodes, inputs, outputs, weights=None, opset=17, **more):
    """Make a model; inputs and outputs are (name, type, axes behind the rows), weights arrays by name."""
    values = [
        [helper.make_tensor_value_info(name, kind, ["rows", *axes]) for name, kind, axes in them]
        for them in (inputs, outputs)
    ]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()]
    graph = helper.make_graph(nodes, "net", *values, tensors)
    domains = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=[*domains, *more.pop("domains", [])], ir_version=9, **more)


def scaled(**more):
    """Return a model that doubles three numbers and adds them up."""
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["doubled"]),
        helper.make_node("ReduceSum", ["doubled", "axes"], ["y"], keepdims=1),
    ]
    weights = {"two": np.float32([2]), "axes": np.array([1])}
    return model_of(nodes, [("x", FLOAT, [3])], [("y", FLOAT, [1])], weights, **more)


def save(model, path, **more):
    """Save a model as MLflow logs it."""
    mlflow.onnx.save_model(model, str(path), pip_requirements=["onnxruntime"], **more)
    return path


def served(model, rows):
    """Return what ONNX Runtime gives for the whole model as MLflow calls it, by the output's name."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(rows)), strict=True))


EXPORTED = Path(__file__).parents[1] / "models" / "onnx" / "exported"
"""A network of numbers, codes and a history, as exporters of PyTorch wrote it; `python -m tests.support.onnx_models`
writes it again, from the same seed."""


@cache
def exported_network(exporter="dynamo"):
    """Return the network as one of the two exporters of PyTorch wrote it."""
    return onnx.load(EXPORTED / f"{exporter}.onnx")


def network_rows(n_rows=N_ROWS, seed=0):
    """Return rows for the exported network."""
    rng = np.random.default_rng(seed)
    return {
        "numbers": rng.normal(size=(n_rows, 5)).astype("float32"),
        "codes": rng.integers(0, 7, (n_rows, 4)),
        "history": rng.normal(size=(n_rows, 6, 3)).astype("float32"),
    }


def make_network():
    """Return a network of PyTorch that reads numbers, codes (each looked up by itself) and a history (LSTM)."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(5)
            self.codes = torch.nn.ModuleList(torch.nn.Embedding(7, 3) for _ in range(4))
            self.static = torch.nn.Linear(17, 8)
            self.lstm = torch.nn.LSTM(3, 6, batch_first=True)
            self.joint = torch.nn.Linear(14, 1)

        def forward(self, numbers, codes, history):
            looked_up = [code(codes[:, place]) for place, code in enumerate(self.codes)]
            static = torch.relu(self.static(torch.cat([self.norm(numbers), *looked_up], dim=1)))
            read = self.lstm(history)[1][0][-1]
            return torch.sigmoid(self.joint(torch.cat([static, read], dim=1)))

    torch.manual_seed(0)
    return Network().eval()


def export(network, rows, path, dynamo=True):
    """Export a network of PyTorch with any number of rows."""
    import torch

    tensors = tuple(torch.from_numpy(array) for array in rows.values())
    any_rows = {"dynamic_shapes": tuple({0: torch.export.Dim("rows")} for _ in rows)} if dynamo else {}
    any_rows |= (
        {} if dynamo else {"dynamic_axes": {name: {0: "rows"} for name in rows}, "output_names": ["probability"]}
    )
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, tensors, path, dynamo=dynamo, input_names=list(rows), external_data=False, **any_rows
        )
    model = onnx.load(path)
    for message in every_message(model):
        if isinstance(message, (onnx.NodeProto, onnx.ValueInfoProto, onnx.GraphProto)):
            del message.metadata_props[:]  # where on a disk the network was written
    onnx.save(model, path)


if __name__ == "__main__":
    for exporter in ("dynamo", "torchscript"):
        export(make_network(), network_rows(4), EXPORTED / f"{exporter}.onnx", exporter == "dynamo")
