"""What a model takes: the name, shape and type of each input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class InputSpec:
    """One named input of a model.

    Attributes
    ----------
    name : str
    shape : tuple of int or None
        Behind the row axis; None where any length will do. A DataFrame column has shape ().
    dtype : numpy dtype
        `object` stands for strings.
    is_column : bool
        Whether it is a column of a DataFrame, and not a tensor.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype
    is_column: bool = False

    def __str__(self) -> str:
        axes = ", ".join(["rows", *("any" if length is None else str(length) for length in self.shape)])
        return f"'{self.name}' ({axes}; {'text' if self.dtype.kind == 'O' else self.dtype})"
