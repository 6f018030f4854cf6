"""Where a feature sits in the model's inputs: reading its values for some rows, writing others in their place.

A static number, an embedding input, a temporal channel, a group and a DataFrame column differ only in their slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from nnperm_mlflow.errors import ShapeError

Index = tuple[int | slice, ...]
Kind = Literal["number", "category", "series", "group"]


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
    kind : {"number", "category", "series", "group"}
    """

    name: str
    slots: tuple[Slot, ...]
    kind: Kind


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


def set_slot(array: np.ndarray, index: Index, values: np.ndarray) -> np.ndarray:
    """Return a copy of `array` in which one slot holds other values.

    Parameters
    ----------
    array : ndarray of shape (n_rows, ...)
        One model input, in the units the model was trained on. Not modified.
    index : tuple
        The slot's index behind the row axis.
    values : ndarray of shape (n_rows, ...)
        What the slot shall hold, of the shape of `array[:, *index]` and its unit.

    Returns
    -------
    ndarray of the shape and dtype of `array`

    Raises
    ------
    ShapeError
        If `values` do not fit the slot; the message names both shapes.

    Examples
    --------
    >>> set_slot(np.array([[1, 2], [3, 4]]), (0,), np.array([3, 1]))
    array([[3, 2],
           [1, 4]])
    """
    _check_fit(array, index, values)
    disturbed = array.copy()
    disturbed[in_all_rows(index)] = values
    return disturbed


def set_slots(
    inputs: Mapping[str, np.ndarray], slots: Sequence[Slot], values: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the inputs that `slots` touch, with `values` in the slots; other inputs are left out.

    Parameters
    ----------
    inputs : mapping of str to ndarray of shape (n_rows, ...)
        A block of the model's inputs by name. Not modified.
    slots : sequence of Slot
    values : sequence of ndarray, one per slot

    Returns
    -------
    dict of str to ndarray
        The changed inputs only; copies, or the values themselves where a slot is a whole input.
    """
    changed: dict[str, np.ndarray] = {}
    for slot, slot_values in zip(slots, values, strict=True):
        array = inputs[slot.input]
        _check_fit(array, slot.index, slot_values)
        if slot.index == ():
            changed[slot.input] = slot_values
            continue
        if slot.input not in changed:
            changed[slot.input] = array.copy()
        changed[slot.input][in_all_rows(slot.index)] = slot_values
    return changed


def _check_fit(array: np.ndarray, index: Index, values: np.ndarray) -> None:
    slot = array[in_all_rows(index)]
    if slot.shape != values.shape:
        raise ShapeError(f"values of shape {values.shape} do not fit a slot of shape {slot.shape}.")
