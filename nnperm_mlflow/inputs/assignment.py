"""Which data each input of the model receives: as said, by its name, or because nothing else is left for it.

An input is called as a column or as temporal data, or by the convention `num_input` (all numbers that no other input
takes), `<column>_input` and `temporal_input`. What is left over then goes together where there is one way alone. What
the outcome, the row ids or the clusters are reaches an input only where that is said for it.
"""

from __future__ import annotations

import difflib
import json
import logging
import re
from collections.abc import Mapping, Sequence

from nnperm_mlflow.basics.errors import ConfigError, did_you_mean, name_list
from nnperm_mlflow.basics.problems import Problems
from nnperm_mlflow.inputs._csv_dialect import CSV_KEY, OTHER_SEPARATORS
from nnperm_mlflow.inputs.bound_inputs import Wanted
from nnperm_mlflow.inputs.dataset import Dataset
from nnperm_mlflow.inputs.specs import InputSpec

logger = logging.getLogger(__name__)

Target = str | list[str]

_PLAIN_NAME = re.compile(r"[A-Za-z_]\w*")


def assign_data(specs: Sequence[InputSpec], dataset: Dataset, said: Wanted, problems: Problems) -> dict[str, Target]:
    """Find out which data each input receives.

    Parameters
    ----------
    specs : sequence of InputSpec
    dataset : Dataset
    said : mapping
        For inputs by name: a column, a list of columns, or the name of temporal data.
    problems : Problems
        Takes in names that are none of the inputs', inputs for which nothing is found, and those that are called as a
        column with a role.

    Returns
    -------
    dict of str to str or list of str
        In the order of `specs`; inputs for which nothing is found are left out.
    """
    names = [spec.name for spec in specs]
    for name in said:
        if name not in names:
            what = f"inputs: '{name}' is no input of the model, which takes {name_list(names)}."
            problems.add(ConfigError(f"{what}{did_you_mean(name, names)}"))
    found = {name: _spelled_out(target, dataset) for name, target in said.items() if name in names}
    for spec in specs:
        if spec.name not in found and (named := _by_name(spec.name, dataset)):
            role = _role_of(named, dataset)
            if role is None:
                found[spec.name] = named
            elif not spec.is_optional:
                problems.add(_not_by_itself(spec, named, role))
                found[spec.name] = []
    for fill in (_fill_series, _fill_blocks, _fill_steps):
        for name, target in fill(specs, dataset, found).items():
            found[name] = target
            logger.info("'%s' receives %s: nothing else is left for it", name, _shown(target, dataset))
    for spec in specs:
        if spec.name not in found and (spec.name == "num_input" or (len(specs) == 1 and len(spec.shape) < 2)):
            problems.add(_unfilled(spec, dataset, found))
            found[spec.name] = []
    open_ = [spec for spec in specs if spec.name not in found]
    if lacking := [spec.name for spec in open_ if spec.is_optional]:
        logger.info("the model can do without %s, which no data are found for: not audited", name_list(lacking))
    missing = [spec for spec in open_ if not spec.is_optional]
    if missing:
        problems.add(_not_found(missing, dataset, found))
    return {name: found[name] for name in names if found.get(name)}


def candidates(name: str) -> tuple[str, str]:
    """Return what an input's data may be called."""
    return name, name.removesuffix("_input")


def _spelled_out(target: Target, dataset: Dataset) -> Target:
    """Return what an input receives with columns of several numbers a cell spelt out."""
    if isinstance(target, str):
        return dataset.split.get(target, target)
    return [name for part in target for name in dataset.split.get(part, [part])]


def _by_name(name: str, dataset: Dataset) -> Target | None:
    if name == "temporal_input" and len(dataset.temporal) == 1:
        return next(iter(dataset.temporal))
    for candidate in candidates(name):
        if candidate in dataset.columns or candidate in dataset.temporal:
            return candidate
        if candidate in dataset.split:
            return dataset.split[candidate]
    return None


def _role_of(target: Target, dataset: Dataset) -> str | None:
    """Return the key under `data:` that keeps a column from the model; None for any other data."""
    roles = {"label": dataset.label, "row_id": dataset.row_id, "cluster": dataset.cluster}
    return next((key for key, name in roles.items() if name == target), None)


def _fill_series(specs: Sequence[InputSpec], dataset: Dataset, found: Wanted) -> dict[str, Target]:
    """Give the only temporal data that are left to the only input that is left with two axes."""
    left = _series_left(dataset, found)
    waiting = [spec for spec in specs if spec.name not in found and len(spec.shape) == 2 and kind_of(spec) != "text"]
    return {waiting[0].name: left[0]} if len(left) == len(waiting) == 1 else {}


def _fill_blocks(specs: Sequence[InputSpec], dataset: Dataset, found: Wanted) -> dict[str, Target]:
    """Give the columns of a type that are left to the only input that is left for it and as wide as they are many.

    Text goes to text; whole numbers go to whole numbers, where they are as many, and else with the other numbers.
    """
    waiting = [spec for spec in specs if spec.name not in found and _takes_a_block(spec, len(specs) == 1)]
    of_kind = {kind: [spec for spec in waiting if kind_of(spec) == kind] for kind in ("text", "codes", "numbers")}
    filled: dict[str, Target] = {}
    for kind, alike in of_kind.items():
        those = [spec for spec in alike if spec.name == "num_input"] or alike
        if len(those) != 1:
            continue
        ways = [columns_left(dataset, {**found, **filled}, kind)]
        if kind == "codes" and not of_kind["numbers"]:
            ways.append(columns_left(dataset, {**found, **filled}, "numbers"))
        fitting = [columns for columns in ways if columns and _fits_block(those[0], len(columns))]
        if fitting:
            filled[those[0].name] = fitting[0]
    return filled


def _fill_steps(specs: Sequence[InputSpec], dataset: Dataset, found: Wanted) -> dict[str, Target]:
    """Give the only temporal data that are left, of one channel, to the only input that is as long as its steps."""
    left = [name for name in _series_left(dataset, found) if len(dataset.temporal[name].channels) == 1]
    waiting = [spec for spec in specs if spec.name not in found and len(spec.shape) == 1 and kind_of(spec) != "text"]
    if len(left) != 1 or len(waiting) != 1 or not fits((dataset.temporal[left[0]].n_steps,), waiting[0].shape):
        return {}
    return {waiting[0].name: left[0]}


def _takes_a_block(spec: InputSpec, is_only: bool) -> bool:
    """Tell whether columns that are left over may be meant for an input; not for one of several of one value."""
    if spec.is_column or len(spec.shape) > 2:
        return False
    if len(spec.shape) == 2 and 1 not in spec.shape:
        return False
    return is_only or spec.name == "num_input" or (None not in spec.shape and spec.n_cells > 1)


def _fits_block(spec: InputSpec, n_columns: int) -> bool:
    return grid_shape(spec, n_columns) is not None


def grid_shape(spec: InputSpec, n_columns: int) -> tuple[int, ...] | None:
    """Return the shape in which so many columns fill an input: (n,), (n, 1) or (1, n); None where they do not."""
    shapes = [(n_columns,), (n_columns, 1), (1, n_columns)]
    fitting = [shape for shape in shapes if len(shape) == len(spec.shape) and fits(shape, spec.shape)]
    return fitting[0] if fitting and len(set(fitting)) == 1 else None


def fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Tell whether an array is of the shape that an input takes."""
    return len(shape) == len(wanted) and all(want in (None, have) for have, want in zip(shape, wanted, strict=True))


def kind_of(spec: InputSpec) -> str:
    """Return what an input takes: "text", "codes" (whole numbers, yes and no) or "numbers"."""
    return {"O": "text", "i": "codes", "u": "codes", "b": "codes"}.get(spec.dtype.kind, "numbers")


_KINDS: Mapping[str, str] = {"text": "O", "codes": "iub", "numbers": "iufb"}
"""Which columns, by the kind of their dtype, an input can be filled with."""


def columns_left(dataset: Dataset, found: Wanted, kind: str) -> list[str]:
    """Return the columns of a kind that no input takes, and that have no role and are no step, in their order."""
    taken = {dataset.row_id, dataset.label, dataset.cluster, *dataset.steps}
    for target in found.values():
        taken.update([target] if isinstance(target, str) else target)
    return [name for name, values in dataset.columns.items() if name not in taken and values.dtype.kind in _KINDS[kind]]


def _series_left(dataset: Dataset, found: Wanted) -> list[str]:
    return [name for name in dataset.temporal if name not in found.values()]


def _shown(target: Target, dataset: Dataset) -> str:
    if isinstance(target, str):
        return f"the temporal data '{target}'" if target in dataset.temporal else f"the column '{target}'"
    return f"{len(target)} columns ({name_list(target)})"


# What is said of inputs for which nothing is found


_ROLES = {"label": "the outcome", "row_id": "what tells rows apart", "cluster": "which rows belong together"}


def _not_by_itself(spec: InputSpec, column: Target, role: str) -> ConfigError:
    """Return what to say of an input that is called as a column which the data keep from the model."""
    return ConfigError(
        f"{spec} would receive the column '{column}' by its name, which is {_ROLES[role]} ('data: {role}') and reaches "
        f"no input by itself. If the model is given it wherever it is used, too, say 'inputs: {{{_yaml(spec.name)}: "
        f"{_yaml(str(column))}}}'; else name there what it receives."
    )


def _unfilled(spec: InputSpec, dataset: Dataset, found: Wanted) -> ConfigError:
    """Return what to say of an input for all numbers that are left, which are not as many as it is wide."""
    left = columns_left(dataset, found, kind_of(spec) if kind_of(spec) == "text" else "numbers")
    what = "columns of text" if kind_of(spec) == "text" else "numeric columns"
    return ConfigError(
        f"{spec} cannot be filled by itself: {len(left)} {what} are not taken otherwise "
        f"({name_list(left)}). Say 'inputs: {{{_yaml(spec.name)}: [...]}}' with the columns in the model's order."
        f"{_vector_hint(spec, left)}{_separator_hint(dataset)}"
    )


def _vector_hint(spec: InputSpec, left: Sequence[str]) -> str:
    """Return what to say of a signature that was inferred from one row, whose numbers were taken for rows."""
    if spec.shape or spec.is_column or len(left) < 2:
        return ""
    return (
        " It takes one number a row: was its signature inferred from a single row, given as a vector? Log it again "
        "with infer_signature(X[:5], ...), of rows."
    )


def _not_found(missing: Sequence[InputSpec], dataset: Dataset, found: Wanted) -> ConfigError:
    lines = ", ".join(f"{_yaml(spec.name)}: {_suggestion(spec, dataset, found)}" for spec in missing)
    history = next((spec for spec in missing if len(spec.shape) == 2 and not dataset.temporal), None)
    hint = "" if history is None else (
        f" An input with two axes takes a history: 'data: {{temporal: {{{_yaml(history.name)}: {{file: ..., channels: "
        "[...]}}}'."
    )  # fmt: skip
    return ConfigError(
        f"no data found for {'; '.join(str(spec) for spec in missing)}. The static table has the columns "
        f"{name_list(dataset.columns)}, the temporal data are {name_list(dataset.temporal)}. Say under 'inputs:' what "
        f"each of these inputs receives, as 'inputs: {{{lines}}}'.{hint}{_separator_hint(dataset)}"
    )


def _suggestion(spec: InputSpec, dataset: Dataset, found: Wanted) -> str:
    """Return what may stand behind an input's name in the configuration."""
    if len(spec.shape) == 2:
        left = _series_left(dataset, found) or list(dataset.temporal)
        return " or ".join(map(_yaml, left[:3])) or "..."
    left = columns_left(dataset, found, kind_of(spec)) or columns_left(dataset, found, "numbers")
    if None not in spec.shape and spec.n_cells == 1:
        near = difflib.get_close_matches(candidates(spec.name)[1], left, n=1, cutoff=0.4)
        return _yaml(near[0]) if near else "..."
    return "[...]"


def _separator_hint(dataset: Dataset) -> str:
    """Return what to say where the header of a csv file was taken for one name."""
    names = list(dataset.columns)
    if len(names) == 1 and any(sep in names[0] for sep in OTHER_SEPARATORS):
        return f" Is that column several, parted by something else than commas? Say by what: {CSV_KEY}."
    return ""


def _yaml(name: str) -> str:
    """Return a name as it can stand in YAML."""
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name, ensure_ascii=False)
