"""Which data each input of a model may receive: by names, by shapes, and where one way alone is left."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from nnperm_mlflow.auditor.proposal.draft import NO_INPUT, NUMBERS, TEXT, Assumption, Columns, Draft, Question, Section
from nnperm_mlflow.auditor.proposal.histories import pair_arrays, pair_families
from nnperm_mlflow.auditor.proposal.questions import ask
from nnperm_mlflow.auditor.proposal.roles import is_row_id, sounds_like_label
from nnperm_mlflow.auditor.proposal.shapes import fits, kinds_of, takes_one
from nnperm_mlflow.auditor.proposal.yaml_text import in_a_line
from nnperm_mlflow.inputs.specs import InputSpec

_SIGNS = re.compile(r"[^0-9a-z]")


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
    pair_arrays(specs, arrays, draft)
    pair_families(specs, columns, draft)
    _find_row_id(columns, draft)
    labels = [name for name in draft.left(columns, NUMBERS + TEXT) if sounds_like_label(name)]
    _pair_blocks(specs, columns, draft, labels, {2, n_outputs or 2})
    _find_label(columns, draft, labels)
    _tell_what_is_left(columns, draft)
    ask(specs, columns, draft)
    return draft


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
        if features and fits((len(features),), spec.shape):
            _give_block(spec, features, kinds, draft)
        elif not labels and left[1:] and fits((len(left) - 1,), spec.shape) and left[-1] == list(columns)[-1]:
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
