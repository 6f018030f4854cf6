"""What an input can be filled with, by its shape and type."""

from __future__ import annotations

from collections.abc import Sequence

from nnperm_mlflow.auditor.proposal.draft import NUMBERS, TEXT
from nnperm_mlflow.inputs.specs import InputSpec


def takes_one(spec: InputSpec) -> bool:
    """Tell whether an input takes one value a row."""
    return all(length == 1 for length in spec.shape)


def kinds_of(spec: InputSpec) -> str:
    """Return the kinds of column that an input can be filled with."""
    return TEXT if spec.dtype.kind == TEXT else NUMBERS


def fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    """Tell whether an array of a shape is what an input takes, None standing for any length."""
    return len(shape) == len(wanted) and all(want in (None, have) for have, want in zip(shape, wanted, strict=True))
