"""Networks of PyTorch that take the same data in the ways in which networks do."""

from collections.abc import Sequence
from typing import Any

import torch


class One(torch.nn.Module):
    """Takes one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        return self.layers(numbers)


class Several(torch.nn.Module):
    """Takes two tensors by position."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Linear(2, 3)
        self.codes = torch.nn.Embedding(4, 2)
        self.last = torch.nn.Linear(5, 1)

    def forward(self, numbers: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        both = [torch.tanh(self.one(numbers)), self.codes(code[:, 0])]
        return torch.sigmoid(self.last(torch.cat(both, dim=1)))


class Dictionary(Several):
    """Takes a dict."""

    def forward(self, given: dict[str, torch.Tensor]) -> torch.Tensor:
        return super().forward(given["numbers"], given["code"])


class Pair(Several):
    """Takes a tuple."""

    def forward(self, given: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return super().forward(*given)


def taken(takes: str, given: Sequence[torch.Tensor]) -> tuple[Any, ...]:
    """Return the arguments of a call, of a class called so."""
    if takes == "One":
        return (given[0],)
    return {"Several": tuple(given), "Dictionary": (dict(zip(["numbers", "code"], given, strict=True)),)}.get(
        takes, (tuple(given),)
    )
