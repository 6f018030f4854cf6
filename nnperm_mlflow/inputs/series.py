"""Temporal data of all rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from nnperm_mlflow.basics.display import in_a_line
from nnperm_mlflow.basics.errors import name_list


@dataclass(frozen=True)
class Series:
    """Temporal data of all rows, in a stored array or in columns of the table.

    Attributes
    ----------
    channels : tuple of str
        What is measured at each step, in stored order.
    array : ndarray of shape (n_rows, a, b) or (n_rows, n_steps), or None
        Stored array; None where the history is made of columns.
    columns : mapping of str to tuple of str
        For each channel the table's columns, oldest step first; empty where there is an array.
    channel_axis : {1, 2} or None
        Axis of `array` that runs over the channels.
    model_channel_axis : {1, 2} or None
        The same axis in the model's input, where the shapes do not tell.
    is_of_cells : bool
        Whether it stood in the cells of a table, which a model of columns takes as they are.
    """

    channels: tuple[str, ...]
    array: np.ndarray | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    channel_axis: int | None = None
    model_channel_axis: int | None = None
    is_of_cells: bool = False

    @property
    def n_steps(self) -> int:
        """Steps of each row's history."""
        if self.array is None:
            return len(self.columns[self.channels[0]])
        return int(self.array.shape[1 if self.channel_axis is None else 3 - self.channel_axis])

    def __repr__(self) -> str:
        place = "columns" if self.array is None else f"an array of shape {self.array.shape}"
        return in_a_line("Series", f"{len(self.channels)} channels ({name_list(self.channels)}) in {place}")
