"""Which data each input of the model receives, and the features that this makes.

Where the configuration says nothing, inputs are found by the model's own input names: an input called as a column, or
by the convention `num_input` (all numbers that no other input takes), `<column>_input` and `temporal_input`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nnperm_mlflow.basics.errors import ConfigError, DataError, ShapeError, did_you_mean, name_list
from nnperm_mlflow.inputs.bound import BoundInputs, Gap, Wanted
from nnperm_mlflow.inputs.dataset import Dataset, Series
from nnperm_mlflow.inputs.slots import Feature, Index, Kind, RowSource, Slot
from nnperm_mlflow.inputs.sources import ColumnGrid, StoredArray
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.inputs.values import check_values

_MOST_CODES = 50  # different whole numbers that an input of floating point may hold and be a category


def bind_inputs(specs: Sequence[InputSpec], dataset: Dataset, said: Wanted) -> BoundInputs:
    """Fill every input of a model from a data set.

    Parameters
    ----------
    specs : sequence of InputSpec
        What the model takes.
    dataset : Dataset
    said : mapping
        For inputs by name: a column, a list of columns, or the name of temporal data. Others are found by name.

    Returns
    -------
    BoundInputs

    Raises
    ------
    ConfigError
        If an input cannot be found, or a name is none of the model's inputs.
    DataError
        If a column is missing, or holds what the input cannot hold (text for numbers, fractions or NaN for codes).
    ShapeError
        If the data do not have the input's shape, or the axes cannot be told apart.
    """
    wanted = _find_inputs(specs, dataset, said)
    sources: dict[str, RowSource] = {}
    features: dict[str, Feature] = {}
    gaps: list[Gap] = []
    for spec in specs:
        target = wanted[spec.name]
        if isinstance(target, str) and target in dataset.temporal:
            source, slots = _bind_series(spec, target, dataset, gaps)
            kinds: dict[str, Kind] = dict.fromkeys(slots, "series")
        else:
            source, slots = _bind_columns(spec, target, dataset, gaps)
            kinds = {name: _column_kind(dataset.columns[name], spec, len(slots)) for name in slots}
        sources[spec.name] = source
        for name, index in slots.items():
            known = features.get(name)
            if known is not None and "series" in (known.kind, kinds[name]) and wanted[known.slots[0].input] != target:
                raise ConfigError(
                    f"'{name}' would be two features: in {known.slots[0].input} and in {spec.name}. "
                    "Give the channel another name under 'data: temporal:'."
                )
            features[name] = _with_slot(known, name, Slot(spec.name, index), kinds[name])
    return BoundInputs(dataset.n_rows, sources, features, wanted, tuple(gaps))


def text_columns(specs: Sequence[InputSpec], said: Wanted) -> list[str]:
    """Return the columns that feed inputs of text, as far as names tell before there are data.

    Parameters
    ----------
    specs, said
        As for `bind_inputs`.
    """
    found: list[str] = []
    for spec in specs:
        if spec.dtype.kind == "O":
            target = said.get(spec.name, [*_candidates(spec.name)])
            found += [target] if isinstance(target, str) else target
    return found


def _find_inputs(specs: Sequence[InputSpec], dataset: Dataset, said: Wanted) -> dict[str, str | list[str]]:
    names = [spec.name for spec in specs]
    for name in said:
        if name not in names:
            raise ConfigError(
                f"inputs: '{name}' is no input of the model, which takes {name_list(names)}.{did_you_mean(name, names)}"
            )
    found: dict[str, str | list[str]] = dict(said)
    for spec in specs:
        if spec.name not in found and (target := _by_name(spec.name, dataset)):
            found[spec.name] = target
    missing = [spec for spec in specs if spec.name not in found]
    blocks = [spec for spec in missing if spec.name == "num_input" or (len(specs) == 1 and len(spec.shape) == 1)]
    for spec in blocks:
        found[spec.name] = _numbers_left(spec, dataset, found)
        missing.remove(spec)
    if missing:
        raise ConfigError(
            f"no data found for {'; '.join(str(spec) for spec in missing)}. The static table has the columns "
            f"{name_list(dataset.columns)}, the temporal data are {name_list(dataset.temporal)}. "
            "Say under 'inputs:' what each of these inputs receives."
        )
    return {name: found[name] for name in names}


def _by_name(name: str, dataset: Dataset) -> str | None:
    if name == "temporal_input" and len(dataset.temporal) == 1:
        return next(iter(dataset.temporal))
    for candidate in _candidates(name):
        if candidate in dataset.columns or candidate in dataset.temporal:
            return candidate
    return None


def _candidates(name: str) -> tuple[str, str]:
    """Return what an input's data may be called."""
    return name, name.removesuffix("_input")


def _numbers_left(spec: InputSpec, dataset: Dataset, found: Wanted) -> list[str]:
    """Return the numeric columns that nothing else takes; as many as the input is wide, or it is an error."""
    taken = {dataset.row_id, dataset.label}
    for target in found.values():
        taken.update([target] if isinstance(target, str) else target)
    for series in dataset.temporal.values():
        taken.update(column for steps in series.columns.values() for column in steps)
    left = [name for name, values in dataset.columns.items() if name not in taken and values.dtype.kind in "iufb"]
    if spec.shape != (None,) and spec.shape != (len(left),):
        raise ConfigError(
            f"{spec} cannot be filled by itself: {len(left)} numeric columns are not taken otherwise "
            f"({name_list(left)}). Say 'inputs: {{{spec.name}: [...]}}' with the columns in the model's order."
        )
    return left


def _bind_columns(
    spec: InputSpec, target: str | list[str], dataset: Dataset, gaps: list[Gap]
) -> tuple[ColumnGrid, dict[str, Index]]:
    names = [target] if isinstance(target, str) else list(target)
    for name in names:
        if name not in dataset.columns:
            known = [*dataset.columns, *dataset.temporal]
            raise DataError(
                f"inputs: {spec.name} is to receive '{name}', which is no column of the static table and no temporal "
                f"data; there are {name_list(known)}.{did_you_mean(name, known)}"
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"inputs: {spec.name} names a column twice among {name_list(names)}.")
    shape = () if isinstance(target, str) and spec.shape == () else (len(names),)
    if len(spec.shape) != len(shape) or not _fits(shape, spec.shape):
        what = f"column '{names[0]}' is one number a row" if len(names) == 1 else f"{len(names)} columns are named"
        raise ShapeError(f"the model's input is {spec}, but {what}.")
    columns = dataset.columns_as(spec.dtype)
    for name in names:
        gaps += check_values(f"column '{name}'", columns[name], spec)
    grid = ColumnGrid(columns, np.array(names, dtype=object).reshape(shape), spec.dtype)
    return grid, {name: () if isinstance(target, str) else (position,) for position, name in enumerate(names)}


def _bind_series(spec: InputSpec, name: str, dataset: Dataset, gaps: list[Gap]) -> tuple[RowSource, dict[str, Index]]:
    series = dataset.temporal[name]
    axis = _model_axis(spec, name, series)
    if series.array is None:
        stored = np.array([series.columns[channel] for channel in series.channels], dtype=object)
        columns = dataset.columns_as(spec.dtype)
        for column in stored.ravel():
            gaps += check_values(f"column '{column}'", columns[column], spec)
        grid = stored[0] if axis is None else np.moveaxis(stored, 0, axis - 1)
        return ColumnGrid(columns, grid, spec.dtype), _channel_slots(series, axis)
    gaps += check_values(f"temporal data '{name}'", series.array, spec)
    array = series.array[:, None] if series.channel_axis is None else np.moveaxis(series.array, series.channel_axis, 1)
    array = array[:, 0] if axis is None else np.moveaxis(array, 1, axis)
    return StoredArray(array, spec.dtype), _channel_slots(series, axis)


def _model_axis(spec: InputSpec, name: str, series: Series) -> int | None:
    """Return which axis of the model's input runs over the channels; None where it takes the steps of the only one."""
    n_steps, n_channels = series.n_steps, len(series.channels)
    if n_channels == 1 and len(spec.shape) == 1 and _fits((n_steps,), spec.shape):
        return None
    shapes = {2: (n_steps, n_channels), 1: (n_channels, n_steps)}
    fitting = [axis for axis, shape in shapes.items() if len(spec.shape) == 2 and _fits(shape, spec.shape)]
    said = series.model_channel_axis
    if said is None and len(fitting) == 1:
        return fitting[0]
    if said is not None and said in fitting:
        return said
    what = f"temporal data '{name}' has {n_steps} steps of {n_channels} channels"
    if said is None and fitting:
        raise ShapeError(
            f"the model's input is {spec} and {what}, which fits both ways. "
            f"Set 'model_channel_axis' of '{name}' to 2 if the model takes (rows, steps, channels), else to 1."
        )
    raise ShapeError(f"the model's input is {spec}, but {what}{'' if said is None else f', channels on axis {said}'}.")


def _channel_slots(series: Series, axis: int | None) -> dict[str, Index]:
    if axis is None:
        return {series.channels[0]: ()}
    return {
        channel: (slice(None), position) if axis == 2 else (position,)
        for position, channel in enumerate(series.channels)
    }


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return all(want is None or want == have for have, want in zip(shape, wanted, strict=True))


def _column_kind(values: np.ndarray, spec: InputSpec, n_columns: int) -> Kind:
    """Return "category" for text, yes/no, and for codes that have an input of their own in a network.

    An input of whole numbers takes codes; one of floating point (as Keras 2 gave embeddings) does so where the column
    holds few different whole numbers.
    """
    if values.dtype.kind in "Ob" or spec.dtype.kind in "Ob":
        return "category"
    if spec.is_column or n_columns > 1:
        return "number"
    if spec.dtype.kind in "iu":
        return "category"
    few = values.dtype.kind in "iu" and len(np.unique(values)) <= _MOST_CODES
    return "category" if few else "number"


def _with_slot(feature: Feature | None, name: str, slot: Slot, kind: Kind) -> Feature:
    """Return the feature with one more slot: what feeds two inputs is one feature in two places."""
    if feature is None:
        return Feature(name, (slot,), kind)
    return Feature(name, (*feature.slots, slot), "category" if "category" in (feature.kind, kind) else kind)
