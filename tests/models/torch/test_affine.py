"""Which inputs of a PyTorch network never interact: told by its graph, and never where a call would tell otherwise."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from nnperm_mlflow.inputs.slots import Feature, Slot
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.separability import never_interact
from nnperm_mlflow.models.torch.archive import read_archive
from nnperm_mlflow.models.torch.predictor import NetworkPredictor
from nnperm_mlflow.models.torch.program import read_program
from tests.support.torch_networks import exported, made, rows

ROWS = {name: rows(64)[name] for name in ("numbers", "codes", "history")}


class Apart(nn.Module):
    """Numbers, two codes and a history that meet in a sum, a mean, constants and a linear layer."""

    def __init__(self):
        super().__init__()
        self.own, self.codes = nn.Linear(5, 4), nn.ModuleList([nn.Embedding(6, 4) for _ in range(2)])
        self.lstm, self.norm, self.last = nn.LSTM(3, 4, batch_first=True), nn.BatchNorm1d(12), nn.Linear(12, 1)

    def joined(self, numbers, codes, history):
        looked_up = self.codes[0](codes[:, 0]) - self.codes[1](codes[:, 1]) / 3
        read = self.lstm(history)[1][0][-1]
        mean = torch.stack([2 * looked_up, read]).mean(dim=0)
        return self.norm(torch.cat([torch.tanh(self.own(numbers)), mean, read], dim=1))

    def forward(self, numbers, codes, history):
        return self.last(self.joined(numbers, codes, history)).squeeze(1)


class Bent(Apart):
    """With a layer and its ReLU behind the meeting."""

    def __init__(self):
        super().__init__()
        self.mixed = nn.Linear(12, 12)

    def forward(self, numbers, codes, history):
        return self.last(torch.relu(self.mixed(self.joined(numbers, codes, history))))


class Multiplied(Apart):
    """With a product of what meets."""

    def forward(self, numbers, codes, history):
        joined = self.joined(numbers, codes, history)
        return self.last(joined * joined.mean(dim=1, keepdim=True))


class Likely(Apart):
    """A probability, turned into a vector behind its sigmoid."""

    def forward(self, numbers, codes, history):
        return torch.sigmoid(self.last(self.joined(numbers, codes, history))).squeeze(1)


class LikelyBelow(Apart):
    """A sigmoid with something behind it."""

    def forward(self, numbers, codes, history):
        return 1 - torch.sigmoid(self.last(self.joined(numbers, codes, history)))


class Saturated(Apart):
    """Another activation of the output."""

    def forward(self, numbers, codes, history):
        return torch.tanh(self.last(self.joined(numbers, codes, history)))


def feature(name, index=()):
    return Feature(f"{name}{index}", (Slot(name, index),), "number")


NUMBERS, HISTORY, FIRST, SECOND = feature("numbers"), feature("history"), feature("codes", (0,)), feature("codes", (1,))
PAIRS = [(NUMBERS, HISTORY), (NUMBERS, FIRST), (FIRST, SECOND), (SECOND, HISTORY)]


def fitted(kind):
    specs = [InputSpec(name, array.shape[1:], array.dtype) for name, array in ROWS.items()]
    archive = exported(made(kind), *(array[:4] for array in ROWS.values()))
    return NetworkPredictor(read_program(read_archive(io.BytesIO(archive))), specs).fitted(ROWS)


def second_difference(predictor, first, second):
    """By how much two features of the rows turned round move predictions together beyond each alone, at most."""

    def predict(*features):
        inputs = {name: array.copy() for name, array in ROWS.items()}
        for each in features:
            (slot,) = each.slots
            inputs[slot.input][(slice(None), *slot.index)] = ROWS[slot.input][::-1][(slice(None), *slot.index)]
        return predictor.begin([inputs])[0].baseline

    return np.abs(predict(first, second) - predict(first) - predict(second) + predict()).max()


def test_what_meets_in_affine_operators_alone_never_interacts():
    """Columns that are only picked out of a matrix are told apart, too."""
    predictor = fitted(Apart)
    for first, second in PAIRS:
        assert never_interact(predictor, first, second, scale="prediction"), (first.name, second.name)
        assert second_difference(predictor, first, second) < 1e-6
    assert not never_interact(predictor, feature("numbers", (0,)), feature("numbers", (1,)), scale="prediction")
    assert not never_interact(predictor, NUMBERS, NUMBERS, scale="prediction")


@pytest.mark.parametrize("kind", [Bent, Multiplied, Likely, LikelyBelow, Saturated])
def test_what_meets_before_an_activation_or_in_a_product_may_interact(kind):
    predictor = fitted(kind)
    assert not any(never_interact(predictor, first, second, scale="prediction") for first, second in PAIRS)
    assert second_difference(predictor, NUMBERS, HISTORY) > 1e-6


@pytest.mark.parametrize(
    ("kind", "expected"), [(Likely, True), (LikelyBelow, False), (Saturated, False), (Bent, False)]
)
def test_before_the_activation_a_sigmoid_that_gives_the_output_is_looked_past_and_no_other(kind, expected):
    assert never_interact(fitted(kind), NUMBERS, HISTORY, scale="logit") == expected
