"""Where a feature sits in the model's inputs: reading its values for some rows, writing others in their place.

A static number, an embedding input, a temporal channel, a group and a DataFrame column differ only in their slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from nnperm_mlflow.basics.errors import ShapeError

Index = tuple[int | slice, ...]
Kind = Literal["number", "category", "series", "window", "group"]


class RowSource(Protocol):
    """Rows of one model input, read on demand; a table's columns and a memory-mapped array are both one."""

    @property
    def dtype(self) -> np.dtype:
        """What the model takes."""

    def take(self, rows: np.ndarray, index: Index = ()) -> np.ndarray:
        """Return `array[rows][:, *index]` of the input as the model takes it, as an array of its own."""


@dataclass(frozen=True)
class Slot:
    """One place in the model's inputs.

    Attributes
    ----------
    input : str
        Name of the input.
    index : tuple of int or slice
        Where in it, behind the row axis: `(3,)` in a block of numbers, `(slice(None), 2)` for channel 2 of a history
        of shape (n_rows, n_steps, n_channels), `()` for the whole input.
    """

    input: str
    index: Index = ()


@dataclass(frozen=True)
class Feature:
    """Something to disturb: a name and the slots that hold it.

    Attributes
    ----------
    name : str
    slots : tuple of Slot
        All places that hold the feature; they are disturbed together, with one donor for all.
    kind : {"number", "category", "series", "window", "group"}
    members : tuple of str
        Of a group the names of its features, of a window the name of its channel.
    steps : tuple of int, or None
        Of a window its first and last step, counted from 1.
    """

    name: str
    slots: tuple[Slot, ...]
    kind: Kind
    members: tuple[str, ...] = ()
    steps: tuple[int, int] | None = None


@dataclass(frozen=True)
class Change:
    """Other values in some slots of a block of rows.

    Attributes
    ----------
    slots : tuple of Slot
    values : tuple of ndarray of shape (n_rows, ...)
        What each slot shall hold.
    donors : ndarray of shape (n_rows,), or None
        Where all values of a row came from one other row: its position among the rows that were begun together.
    """

    slots: tuple[Slot, ...]
    values: tuple[np.ndarray, ...]
    donors: np.ndarray | None = None

    @classmethod
    def of(cls, inputs: Mapping[str, np.ndarray]) -> Change:
        """Return the change that gives whole inputs other values, of shape (n_rows, ...) each."""
        return cls(tuple(Slot(name) for name in inputs), tuple(inputs.values()))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that change."""
        return tuple(dict.fromkeys(slot.input for slot in self.slots))

    def replaces(self, name: str, shape: tuple[int, ...]) -> bool:
        """Tell whether nothing of the input of that name, of that shape behind the row axis, stays as it is."""
        stays = np.ones(shape, dtype=bool)
        for slot in self.slots:
            if slot.input == name:
                stays[slot.index] = False
        return not stays.any()

    def write(self, name: str, array: np.ndarray) -> None:
        """Put the change's values into `array`, which holds the input of that name and is of shape (n_rows, ...).

        Raises
        ------
        ShapeError
            If values do not fit their slot; the message names both shapes.
        """
        for slot, values in zip(self.slots, self.values, strict=True):
            if slot.input == name:
                _check_fit(array, slot.index, values)
                array[in_all_rows(slot.index)] = values

    def on(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the inputs that change, as they then are; `inputs` of shape (n_rows, ...) are not modified.

        >>> Change((Slot("x", (0,)),), (np.array([3, 1]),)).on({"x": np.array([[1, 2], [3, 4]])})
        {'x': array([[3, 2],
               [1, 4]])}
        """
        changed = {name: inputs[name].copy() for name in self.inputs}
        for name, array in changed.items():
            self.write(name, array)
        return changed


def in_all_rows(index: Index) -> Index:
    """Return the index of a slot in a whole array: all rows, and `index` behind the row axis."""
    return (slice(None), *index)


def read_slot(sources: Mapping[str, RowSource], slot: Slot, rows: np.ndarray) -> np.ndarray:
    """Return what `slot` holds in `rows`.

    Parameters
    ----------
    sources : mapping of str to RowSource
        The model's inputs by name.
    slot : Slot
    rows : ndarray of shape (n_rows,), int64
        Positions in the data, in any order.

    Returns
    -------
    ndarray of shape (n_rows, ...)
        In the model's dtype; a copy, free to change.
    """
    return sources[slot.input].take(rows, slot.index)


def count_steps(sources: Mapping[str, RowSource], series: Feature) -> int:
    """Return how many steps a series has."""
    return int(read_slot(sources, series.slots[0], np.arange(1)).shape[1])


def window_of(series: Feature, label: str, first: int, last: int) -> Feature:
    """Return some steps of a series as a feature of its own.

    Parameters
    ----------
    series : Feature
        A temporal channel.
    label : str
        What the window is called behind the channel's name.
    first, last : int
        Steps, counted from 1, both included.

    Returns
    -------
    Feature
    """
    slots = tuple(Slot(slot.input, _with_steps(slot.index, slice(first - 1, last))) for slot in series.slots)
    return Feature(f"{series.name} {label}", slots, "window", (series.name,), (first, last))


def _with_steps(index: Index, steps: slice) -> Index:
    """Return the index of a channel cut to some of its steps; where it names no axis for them, that is the last one."""
    if slice(None) in index:
        return tuple(steps if part == slice(None) else part for part in index)
    return (*index, steps)


def _check_fit(array: np.ndarray, index: Index, values: np.ndarray) -> None:
    slot = array[in_all_rows(index)]
    if slot.shape != values.shape:
        raise ShapeError(f"values of shape {values.shape} do not fit a slot of shape {slot.shape}.")
