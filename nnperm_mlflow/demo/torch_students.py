"""The students' network in PyTorch, logged in MLflow's own format for it."""

from __future__ import annotations

from dataclasses import dataclass

import mlflow
import numpy as np
import torch
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn

from nnperm_mlflow.demo.example import Inputs
from nnperm_mlflow.demo.students import HAIR_COLOURS

_EPOCHS, _BATCH, _RATE = 12, 128, 0.005
_EXAMPLE_ROWS = 5


class StudentsNetwork(nn.Module):
    """A network with static, categorical and temporal inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.hair, self.study = nn.Embedding(HAIR_COLOURS, 2), nn.LSTM(1, 8, batch_first=True)
        self.hidden, self.chance = nn.Linear(2 + 2 + 8, 16), nn.Linear(16, 1)

    def forward(self, num_input: Tensor, hair_colour_input: Tensor, temporal_input: Tensor) -> Tensor:
        """Return chances of passing, of shape (n_rows, 1)."""
        _, (state, _) = self.study(0.2 * temporal_input)
        joined = torch.cat([num_input, self.hair(hair_colour_input[:, 0]), state[-1]], dim=1)
        return torch.sigmoid(self.chance(torch.relu(self.hidden(joined))))


@dataclass(frozen=True)
class TorchNetwork:
    """A trained PyTorch network.

    Attributes
    ----------
    module : torch.nn.Module
    """

    module: nn.Module

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Return chances of shape (n_rows, 1)."""
        with torch.inference_mode():
            return self.module(*(torch.from_numpy(array) for array in inputs.values())).numpy()

    def log(self, name: str, inputs: Inputs, predicted: np.ndarray) -> ModelInfo:
        """Log the network in the active run, with the signature of these rows, and register it under its name."""
        specs = [TensorSpec(array.dtype, (-1, *array.shape[1:]), key) for key, array in inputs.items()]
        return mlflow.pytorch.log_model(
            self.module,
            name=name,
            input_example=tuple(array[:_EXAMPLE_ROWS] for array in inputs.values()),
            signature=ModelSignature(Schema(specs)),
            pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
            registered_model_name=name,
        )


def train_network(inputs: Inputs, passed: np.ndarray) -> TorchNetwork:
    """Train a network with static, categorical and temporal inputs; returns it with weights."""
    torch.manual_seed(0)
    module = StudentsNetwork()
    optimizer, loss = torch.optim.Adam(module.parameters(), _RATE), nn.BCELoss()
    rows = [torch.from_numpy(array) for array in inputs.values()]
    outcome = torch.from_numpy(passed.astype(np.float32))[:, None]
    for _ in range(_EPOCHS):
        order = torch.randperm(len(outcome))
        for first in range(0, len(order), _BATCH):
            batch = order[first : first + _BATCH]
            optimizer.zero_grad()
            loss(module(*(array[batch] for array in rows)), outcome[batch]).backward()
            optimizer.step()
    return TorchNetwork(module.eval())
