"""Which data each input of a model may receive: by names, by shapes, and where one way alone is left."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from nnperm_mlflow.auditor.proposal.draft import NO_INPUT, NUMBERS, TEXT, Assumption, Columns, Draft, Question, Section
from nnperm_mlflow.auditor.proposal.families import Family, Order, find_families
from nnperm_mlflow.auditor.proposal.questions import ask, kinds_of, takes_one
from nnperm_mlflow.auditor.proposal.roles import is_row_id, sounds_like_label
from nnperm_mlflow.auditor.proposal.yaml_text import in_a_line
from nnperm_mlflow.basics.errors import name_list
from nnperm_mlflow.inputs.dataset import Series
from nnperm_mlflow.inputs.specs import InputSpec

_SIGNS = re.compile(r"[^0-9a-z]")
_TOLD_BY = {"dates": "dates in their names", "steps": "the steps in their names", "lags": "the lags in their names"}


def pair(
    specs: Sequence[InputSpec], columns: Columns, arrays: Mapping[str, np.ndarray], n_outputs: int | None = None
) -> Draft:
    """Find data for each input, and roles for what is left.

    Parameters
    ----------
    specs : sequence of InputSpec
        What the model takes.
    columns : mapping of str to ndarray of shape (n_rows,)
        The static table.
    arrays : mapping of str to ndarray of shape (n_rows, a, b) or (n_rows, n_steps)
        Histories from files, by what they shall be called.
    n_outputs : int, optional
        Of the model, where that is known before it is called: an outcome may have as many values.

    Returns
    -------
    Draft
        With a question for each input that nothing was found for.
    """
    draft = Draft()
    _pair_by_name(specs, columns, draft)
    _pair_arrays(specs, arrays, draft)
    _pair_families(specs, columns, draft)
    _find_row_id(columns, draft)
    labels = [name for name in draft.left(columns, NUMBERS + TEXT) if sounds_like_label(name)]
    _pair_blocks(specs, columns, draft, labels, {2, n_outputs or 2})
    _find_label(columns, draft, labels)
    _tell_what_is_left(columns, draft)
    ask(specs, columns, draft)
    return draft


# Names


def _pair_by_name(specs: Sequence[InputSpec], columns: Columns, draft: Draft) -> None:
    plain: dict[str, list[str]] = {}
    for name in columns:
        plain.setdefault(_plain(name), []).append(name)
    for spec in specs:
        called = [spec.name, spec.name.removesuffix("_input")]
        exact = next((name for name in called if name in columns), None)
        alike = next((plain[_plain(name)] for name in called if _plain(name) in plain), [])
        if not takes_one(spec):
            continue
        if exact is not None:
            draft.give(spec.name, exact, "by its name")
        elif len(alike) == 1 and not spec.is_column:
            draft.give(spec.name, alike[0], "by its name, but for capitals and signs")


def _plain(name: str) -> str:
    return _SIGNS.sub("", name.lower())


# Histories


def _pair_arrays(specs: Sequence[InputSpec], arrays: Mapping[str, np.ndarray], draft: Draft) -> None:
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
        return [0] if any(_fits(shape, spec.shape) for shape in ((n_steps,), (n_steps, 1), (1, n_steps))) else []
    if array.ndim != 3 or len(spec.shape) != 2:
        return []
    return [axis for axis, shape in ((2, array.shape[1:]), (1, array.shape[:0:-1])) if _fits(shape, spec.shape)]


def _series_of(name: str, array: np.ndarray, axes: Sequence[int]) -> Series:
    """Return an array as temporal data: as it is stored where that fits, with names for its channels."""
    axis = axes[0]
    if axis == 0:
        return Series((name,), array)
    n_channels = array.shape[axis]
    names = (name,) if n_channels == 1 else tuple(f"{name} channel {number}" for number in range(1, n_channels + 1))
    return Series(names, array, channel_axis=axis, model_channel_axis=2 if len(axes) > 1 else None)


def _pair_families(specs: Sequence[InputSpec], columns: Columns, draft: Draft) -> None:
    """Give families of columns to an input of so many channels of so many steps, where there is one choice."""
    for spec in specs:
        if spec.name in draft.inputs or len(spec.shape) != 2 or spec.dtype.kind == TEXT:
            continue
        choices = []
        for alike in _by_length(find_families(draft.left(columns, NUMBERS))):
            axes = [axis for axis, shape in _shapes(alike).items() if _fits(shape, spec.shape)]
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


# Blocks of columns


def _pair_blocks(
    specs: Sequence[InputSpec], columns: Columns, draft: Draft, labels: Sequence[str], classes: Collection[int]
) -> None:
    """Give all columns that are left to the only input that is left for them and takes so many.

    `classes` are how many values an outcome may have that is known by nothing but its place.
    """
    for kinds in (TEXT, NUMBERS):
        waiting = [spec for spec in draft.waiting(specs) if _takes_block(spec, specs) and kinds_of(spec) == kinds]
        if len(waiting) != 1:
            continue
        spec, left = waiting[0], draft.left(columns, kinds)
        features = [name for name in left if name not in labels]
        if features and _fits((len(features),), spec.shape):
            _give_block(spec, features, kinds, draft)
        elif not labels and left[1:] and _fits((len(left) - 1,), spec.shape) and left[-1] == list(columns)[-1]:
            n_values = len(np.unique(columns[left[-1]].astype(str)))
            if n_values in classes:
                draft.label, draft.label_told_by = left[-1], f"its place, the last, with {n_values} values"
                _give_block(spec, left[:-1], kinds, draft)


def _takes_block(spec: InputSpec, specs: Sequence[InputSpec]) -> bool:
    """Tell whether columns that are left over may be meant for an input; not for one of several of one value."""
    return not spec.is_column and len(spec.shape) == 1 and (len(specs) == 1 or not takes_one(spec))


def _give_block(spec: InputSpec, names: Sequence[str], kinds: str, draft: Draft) -> None:
    what = "columns of text" if kinds == TEXT else "numeric columns"
    draft.give(spec.name, list(names), f"all {what} that nothing else takes")
    if len(names) > 1:
        draft.assumptions.append(Assumption("numbers", spec.name, "the order of the file"))


# Roles of what is left


def _find_row_id(columns: Columns, draft: Draft) -> None:
    found = [name for name in draft.left(columns, NUMBERS + TEXT) if is_row_id(name, columns[name])]
    for name in found:
        draft.left_out[name] = "each row has its own"
    draft.row_id = next(iter(found), None)


def _find_label(columns: Columns, draft: Draft, labels: Sequence[str]) -> None:
    """Take the only column that is called as outcomes are for the label; of several none."""
    left = [name for name in labels if name not in draft.taken]
    if draft.label is None and len(left) == 1:
        draft.label, draft.label_told_by = left[0], "its name"
    elif draft.label is None and left:
        lines: list[tuple[Section, str]] = [("data", f"label: {in_a_line(name)}") for name in left]
        draft.questions.append(Question("which column is the outcome, if scores are asked for", tuple(lines)))


def _tell_what_is_left(columns: Columns, draft: Draft) -> None:
    for name in columns:
        if name not in draft.taken and name not in draft.left_out and name != draft.label:
            draft.left_out[name] = NO_INPUT


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(want in (None, have) for have, want in zip(shape, wanted, strict=True))
