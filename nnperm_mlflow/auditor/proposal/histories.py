"""Histories for the inputs of steps and channels: arrays from files, and columns that are numbered alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nnperm_mlflow.auditor.proposal.draft import NUMBERS, TEXT, Assumption, Columns, Draft, Question
from nnperm_mlflow.auditor.proposal.families import Family, Order, find_families
from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.inputs.assignment import fits
from nnperm_mlflow.inputs.dataset import Series
from nnperm_mlflow.inputs.specs import InputSpec

_TOLD_BY = {"dates": "dates in their names", "steps": "the steps in their names", "lags": "the lags in their names"}


def pair_arrays(specs: Sequence[InputSpec], arrays: Mapping[str, np.ndarray], draft: Draft) -> None:
    """Give each array to the only input that it fits."""
    for name, array in arrays.items():
        fitting = [spec for spec in draft.waiting(specs) if _orientations(array, spec)]
        if len(fitting) == 1:
            spec = fitting[0]
            draft.temporal[name] = _series_of(name, array, _orientations(array, spec))
            draft.give(spec.name, name, f"the only input that an array of shape {array.shape} fits")
            if len(draft.temporal[name].channels) > 1:
                what = f"what the channels of '{name}' are called in tables and pictures: write their names"
                draft.questions.append(Question(f"{what} behind 'channels:', in stored order"))
        else:
            which = name_list([spec.name for spec in fitting]) if fitting else "none"
            takes = "; ".join(str(spec) for spec in specs)
            draft.questions.append(
                Question(f"which input the array '{name}' of shape {array.shape} is for (it fits {which} of {takes})")
            )


def _orientations(array: np.ndarray, spec: InputSpec) -> list[int]:
    """Return on which axes an array may have its channels to fit an input; 0 where it is a single one."""
    if array.ndim == 2:
        n_steps = array.shape[1]
        return [0] if any(fits(shape, spec.shape) for shape in ((n_steps,), (n_steps, 1), (1, n_steps))) else []
    if array.ndim != 3 or len(spec.shape) != 2:
        return []
    return [axis for axis, shape in ((2, array.shape[1:]), (1, array.shape[:0:-1])) if fits(shape, spec.shape)]


def _series_of(name: str, array: np.ndarray, axes: Sequence[int]) -> Series:
    """Return an array as temporal data: as it is stored where that fits, with names for its channels."""
    axis = axes[0]
    if axis == 0:
        return Series((name,), array)
    n_channels = array.shape[axis]
    names = (name,) if n_channels == 1 else tuple(f"{name} channel {number}" for number in range(1, n_channels + 1))
    return Series(names, array, channel_axis=axis, model_channel_axis=2 if len(axes) > 1 else None)


def pair_families(specs: Sequence[InputSpec], columns: Columns, draft: Draft) -> None:
    """Give families of columns to an input of so many channels of so many steps, where there is one choice."""
    for spec in specs:
        if spec.name in draft.inputs or len(spec.shape) != 2 or spec.dtype.kind == TEXT:
            continue
        choices = []
        for alike in _by_length(find_families(draft.left(columns, NUMBERS))):
            axes = [axis for axis, shape in _shapes(alike).items() if fits(shape, spec.shape)]
            if axes:
                choices.append((alike, axes))
        if len(choices) == 1:
            _give_families(spec, *choices[0], columns, draft)


def _by_length(families: Sequence[Family]) -> list[list[Family]]:
    """Return families of as many columns together, in their order."""
    found: dict[int, list[Family]] = {}
    for family in families:
        found.setdefault(len(family.columns), []).append(family)
    return list(found.values())


def _shapes(families: Sequence[Family]) -> dict[int, tuple[int, int]]:
    """Return what a row of families is like with the channels on each axis, the last one first."""
    n_steps, n_channels = len(families[0].columns), len(families)
    return {2: (n_steps, n_channels), 1: (n_channels, n_steps)}


def _give_families(
    spec: InputSpec, families: Sequence[Family], axes: Sequence[int], columns: Columns, draft: Draft
) -> None:
    name = draft.free_name("history", columns)
    orders = {family.order for family in families}
    told = orders.pop() if len(orders) == 1 else None
    channels = {_channel_name(family, columns): _in_order(family, told, list(columns)) for family in families}
    axis = None if len(axes) == 1 else 2
    draft.temporal[name] = Series(tuple(channels), columns=channels, model_channel_axis=axis)
    n_steps = len(families[0].columns)
    draft.give(spec.name, name, f"columns that are numbered alike: {n_steps} steps of {len(families)} channels")
    if n_steps > 1:
        draft.assumptions.append(Assumption("steps", name, "" if told is None else _TOLD_BY[told]))
    if len(families) > 1:
        draft.assumptions.append(Assumption("channels", name, "the order of the file"))


def _in_order(family: Family, told: Order | None, places: Sequence[str]) -> tuple[str, ...]:
    """Return a family's columns as steps: the oldest first; as in the file where names do not tell which that is."""
    first, last = family.columns[0], family.columns[-1]
    is_turned = told == "lags" if told else places.index(first) > places.index(last)
    return family.columns[::-1] if is_turned else family.columns


def _channel_name(family: Family, columns: Columns) -> str:
    return f"{family.name} history" if family.name in columns else family.name
