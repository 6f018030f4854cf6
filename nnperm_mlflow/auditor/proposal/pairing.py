"""Which data each input of a model may receive: by names, by shapes, and where one way alone is left."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from nnperm_mlflow.auditor.proposal.draft import (
    KINDS,
    NO_INPUT,
    NUMBERS,
    TEXT,
    Assumption,
    Columns,
    Draft,
    Question,
    Section,
)
from nnperm_mlflow.auditor.proposal.histories import pair_arrays, pair_families
from nnperm_mlflow.auditor.proposal.questions import ask
from nnperm_mlflow.auditor.proposal.roles import is_row_id, sounds_like_label
from nnperm_mlflow.auditor.proposal.yaml_text import in_a_line
from nnperm_mlflow.inputs.assignment import candidates, grid_shape, kind_of
from nnperm_mlflow.inputs.bound_inputs import Wanted
from nnperm_mlflow.inputs.dataset import Dataset
from nnperm_mlflow.inputs.specs import InputSpec

_SIGNS = re.compile(r"[^0-9a-z]")


def pair(
    specs: Sequence[InputSpec],
    table: Dataset,
    arrays: Mapping[str, np.ndarray],
    signed: Wanted | None = None,
    n_outputs: int | None = None,
) -> Draft:
    """Find data for each input, and roles for what is left.

    Parameters
    ----------
    specs : sequence of InputSpec
        What the model takes.
    table : Dataset
        The static table, with the histories that its cells hold.
    arrays : mapping of str to ndarray of shape (n_rows, a, b) or (n_rows, n_steps)
        Histories from files, by what they shall be called.
    signed : mapping of str to list of str, optional
        Columns that the model's signature names for an input.
    n_outputs : int, optional
        Of the model, where that is known before it is called: an outcome may have as many values.

    Returns
    -------
    Draft
        With a question for each input that nothing was found for.
    """
    columns, draft = table.columns, Draft()
    for name, target in (signed or {}).items():
        draft.give(name, target, "the columns that its signature names")
    _pair_by_name(specs, table, draft)
    pair_arrays(specs, arrays, draft)
    pair_families(specs, columns, draft)
    _find_row_id(columns, draft)
    labels = [name for name in draft.left(columns, NUMBERS + TEXT) if sounds_like_label(name)]
    _pair_blocks(specs, columns, draft, labels, {2, n_outputs or 2})
    _find_label(columns, draft, labels)
    _tell_what_is_left(columns, draft)
    ask(specs, columns, draft)
    return draft


def _pair_by_name(specs: Sequence[InputSpec], table: Dataset, draft: Draft) -> None:
    plain: dict[str, list[str]] = {}
    for name in table.columns:
        plain.setdefault(_plain(name), []).append(name)
    for spec in draft.waiting(specs, and_optional=True):
        called = candidates(spec.name)
        alike = next((plain[_plain(name)] for name in called if _plain(name) in plain), [])
        if split := next((table.split[name] for name in called if name in table.split), None):
            draft.give(spec.name, split if len(split) > 1 else split[0], "by its name, a column of arrays")
        elif series := next((name for name in called if name in table.temporal), None):
            draft.temporal[series] = table.temporal[series]
            draft.in_table.add(series)
            draft.give(spec.name, series, "by its name, a column of steps and channels")
        elif not _takes_one(spec):
            continue
        elif exact := next((name for name in called if name in table.columns), None):
            draft.give(spec.name, exact, "by its name")
        elif len(alike) == 1 and not spec.is_column:
            draft.give(spec.name, alike[0], "by its name, but for capitals and signs")


def _plain(name: str) -> str:
    return _SIGNS.sub("", name.lower())


def _pair_blocks(
    specs: Sequence[InputSpec], columns: Columns, draft: Draft, labels: Sequence[str], classes: Collection[int]
) -> None:
    """Give all columns that are left to the only input that is left for them and takes so many.

    `classes` are how many values an outcome may have that is known by nothing but its place.
    """
    waiting = [spec for spec in draft.waiting(specs) if _takes_block(spec, specs)]
    has_numbers = any(kind_of(spec) == "numbers" for spec in waiting)
    for kind, dtypes in KINDS.items():
        alike = [spec for spec in waiting if kind_of(spec) == kind]
        if len(alike) != 1:
            continue
        for those in [dtypes] if kind != "codes" or has_numbers else [dtypes, NUMBERS]:
            if alike[0].name not in draft.inputs:
                _pair_block(alike[0], those, columns, draft, labels=labels, classes=classes)


def _pair_block(
    spec: InputSpec, dtypes: str, columns: Columns, draft: Draft, *, labels: Sequence[str], classes: Collection[int]
) -> None:
    left = draft.left(columns, dtypes)
    features = [name for name in left if name not in labels]
    if features and grid_shape(spec, len(features)):
        _give_block(spec, features, draft)
    elif not labels and left[1:] and grid_shape(spec, len(left) - 1) and left[-1] == list(columns)[-1]:
        n_values = len(np.unique(columns[left[-1]].astype(str)))
        if n_values in classes:
            draft.label, draft.label_told_by = left[-1], f"its place, the last, with {n_values} values"
            _give_block(spec, left[:-1], draft)


def _takes_block(spec: InputSpec, specs: Sequence[InputSpec]) -> bool:
    """Tell whether columns that are left over may be meant for an input; not for one of several of one value."""
    return not spec.is_column and (len(specs) == 1 or not _takes_one(spec))


def _takes_one(spec: InputSpec) -> bool:
    """Tell whether an input takes one value a row."""
    return all(length == 1 for length in spec.shape)


def _give_block(spec: InputSpec, names: Sequence[str], draft: Draft) -> None:
    what = {"text": "columns of text", "codes": "columns of whole numbers"}.get(kind_of(spec), "numeric columns")
    draft.give(spec.name, list(names), f"all {what} that nothing else takes")
    if len(names) > 1:
        draft.assumptions.append(Assumption("numbers", spec.name, "the order of the file"))


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
