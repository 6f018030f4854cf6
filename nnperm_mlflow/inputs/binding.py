"""The inputs of a model filled from the data, and the features that this makes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from nnperm_mlflow.basics.errors import ConfigError, DataError, ShapeError, did_you_mean, name_list
from nnperm_mlflow.basics.problems import Problems
from nnperm_mlflow.inputs._row_sources import ColumnGrid, StoredArray
from nnperm_mlflow.inputs._values import Looked, look_at
from nnperm_mlflow.inputs.assignment import Target, assign_data, candidates, fits, grid_shape
from nnperm_mlflow.inputs.bound_inputs import BoundInputs, Gap, Wanted
from nnperm_mlflow.inputs.dataset import Dataset, Series
from nnperm_mlflow.inputs.domains import Strangers, find_strangers
from nnperm_mlflow.inputs.slots import Feature, Index, Kind, RowSource, Slot
from nnperm_mlflow.inputs.specs import InputSpec

logger = logging.getLogger(__name__)

MOST_CODES = 50
"""Different whole numbers that a column may hold and be a category where its input does not tell."""


def bind_inputs(
    specs: Sequence[InputSpec],
    dataset: Dataset,
    said: Wanted,
    problems: Problems | None = None,
    survey: Survey | None = None,
) -> BoundInputs:
    """Fill every input of a model from a data set.

    Parameters
    ----------
    specs : sequence of InputSpec
        What the model takes.
    dataset : Dataset
    said : mapping
        For inputs by name: a column, a list of columns, or the name of temporal data. Others are found by
        `assignment.assign_data`.
    problems : Problems, optional
        What has been found to be wrong before; it is told with what is found here.
    survey : Survey, optional
        What was found in all rows, where `dataset` holds but some of them.

    Returns
    -------
    BoundInputs
        Of the rows of `dataset`.

    Raises
    ------
    ConfigError
        If an input cannot be found, or a name is none of the model's inputs.
    DataError
        If a column is missing, or holds what the input cannot hold (text for numbers, fractions or NaN for codes), or
        nothing that a lookup or an embedding behind the input knows.
    ShapeError
        If the data do not have the input's shape, or the axes cannot be told apart.
    """
    problems = Problems() if problems is None else problems
    wanted = assign_data(specs, dataset, said, problems)
    sources: dict[str, RowSource] = {}
    features: dict[str, Feature] = {}
    gaps: list[Gap] = []
    for spec in specs:
        if spec.name in wanted:
            with problems.collected():
                source, found = _bind(spec, wanted[spec.name], dataset, gaps, problems, survey=survey)
                sources[spec.name] = source
                for name, (slot, kind) in found.items():
                    _refuse_other(features.get(name), name, slot, kind, wanted)
                    features[name] = _with_slot(features.get(name), name, slot, kind)
    problems.settle()
    domains = {spec.name: spec.domains for spec in specs if spec.domains}
    inputs = BoundInputs(dataset.n_rows, sources, features, wanted, tuple(gaps), domains)
    turned = _numbers_as_text(specs, inputs, dataset)
    if turned and (survey is None or survey.tells):
        logger.warning(
            "the numbers of %s reach the model as text, as in '1' or '1.0': it takes text there", name_list(turned)
        )
    for told in find_strangers(specs, inputs, turned, None if survey is None else survey.strangers):
        problems.add(DataError(told))
    problems.settle()
    return inputs


Places = dict[str, tuple[Slot, Kind]]
"""For each column or channel that an input takes, where it sits there, and what it is."""


class Survey(Protocol):
    """What was found in all rows, by whoever read which of them."""

    @property
    def tells(self) -> bool:
        """Whether what is odd about the data is to be pointed out."""

    @property
    def looked(self) -> Mapping[tuple[str, str], Looked]:
        """For each input and what it receives, as messages call that, what was found in the values."""

    @property
    def codes(self) -> Mapping[str, Collection[int] | None]:
        """For columns of whole numbers those that they hold; None for more than `MOST_CODES`."""

    @property
    def strangers(self) -> Strangers:
        """What `domains.count_strangers` tells of each input and domain."""


def fill_inputs(specs: Sequence[InputSpec], dataset: Dataset, wanted: Wanted) -> dict[str, RowSource]:
    """Fill every input of a model from some of the rows on which it has been found out which data feed which input.

    Parameters
    ----------
    specs : sequence of InputSpec
    dataset : Dataset
    wanted : mapping
        For each input what it receives, as `BoundInputs.wanted` tells.

    Raises
    ------
    AuditError
        If the rows do not hold what an input takes.
    """
    problems = Problems()
    for spec in specs:
        for what, array in what_it_receives(spec, wanted[spec.name], dataset):
            with problems.collected():
                look_at(array, spec).gaps(what, spec)
    problems.settle()
    return fill_unchecked(specs, dataset, wanted)


def fill_unchecked(specs: Sequence[InputSpec], dataset: Dataset, wanted: Wanted) -> dict[str, RowSource]:
    """Fill some inputs as `fill_inputs` does, whatever the rows hold."""
    problems = Problems()
    sources = {spec.name: _source(spec, wanted[spec.name], dataset, problems)[0] for spec in specs}
    problems.settle()
    return sources


def what_it_receives(spec: InputSpec, target: Target, dataset: Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of shape (n_rows, ...) that an input receives, each with how messages call it."""
    columns = dataset.columns_as(spec.dtype)
    names = [target] if isinstance(target, str) else list(target)
    if isinstance(target, str) and target in dataset.temporal:
        series = dataset.temporal[target]
        if series.array is not None:
            yield f"temporal data '{target}'", series.array
            return
        names = [column for channel in series.channels for column in series.columns[channel]]
    yield from ((f"column '{name}'", columns[name]) for name in names)


def _source(
    spec: InputSpec, target: Target, dataset: Dataset, problems: Problems
) -> tuple[RowSource, dict[str, Index]]:
    """Return the rows of an input, and where each column or channel sits in it."""
    if isinstance(target, str) and target in dataset.temporal:
        return _bind_series(spec, target, dataset)
    return _bind_columns(spec, target, dataset, problems)


def _bind(
    spec: InputSpec,
    target: Target,
    dataset: Dataset,
    gaps: list[Gap],
    problems: Problems,
    *,
    survey: Survey | None,
) -> tuple[RowSource, Places]:
    """Return the rows of an input, and the features in it."""
    source, slots = _source(spec, target, dataset, problems)
    for what, array in what_it_receives(spec, target, dataset):
        with problems.collected():
            looked = look_at(array, spec) if survey is None else survey.looked[spec.name, what]
            gaps += looked.gaps(what, spec)
    if isinstance(target, str) and target in dataset.temporal:
        return source, {name: (Slot(spec.name, index), "series") for name, index in slots.items()}
    places: Places = {}
    for place, (name, index) in enumerate(slots.items()):
        is_looked_up = any(domain.places is None or place in domain.places for domain in spec.domains)
        codes = None if survey is None else survey.codes
        kind = _column_kind(dataset.columns[name], spec, len(slots), is_looked_up, few=_holds_few(name, dataset, codes))
        places[name] = Slot(spec.name, index), kind
    return source, places


def _refuse_other(known: Feature | None, name: str, slot: Slot, kind: Kind, wanted: Wanted) -> None:
    """Refuse a channel called as another channel or as a column; the same data in two inputs are one feature."""
    if known is None or "series" not in (known.kind, kind):
        return
    if wanted[known.slots[0].input] != wanted[slot.input]:
        raise ConfigError(
            f"'{name}' would be two features: in {known.slots[0].input} and in {slot.input}. "
            "Give the channel another name under 'data: temporal:'."
        )


def _numbers_as_text(specs: Sequence[InputSpec], inputs: BoundInputs, dataset: Dataset) -> list[str]:
    """Return the columns of numbers that reach an input of text."""
    of_text = [spec.name for spec in specs if spec.dtype.kind == "O"]
    columns = dataset.columns_as(np.dtype(object))
    return [
        name
        for name, feature in inputs.features.items()
        if any(slot.input in of_text for slot in feature.slots) and name in columns and columns[name].dtype.kind != "O"
    ]


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
            target = said.get(spec.name, [*candidates(spec.name)])
            found += [target] if isinstance(target, str) else target
    return found


def _holds_few(name: str, dataset: Dataset, codes: Mapping[str, Collection[int] | None] | None) -> Callable[[], bool]:
    """Return what tells whether a column of whole numbers holds few different ones, in all rows."""
    if codes is None:
        return lambda: len(np.unique(dataset.columns[name])) <= MOST_CODES
    return lambda: codes[name] is not None


def _bind_columns(
    spec: InputSpec, target: Target, dataset: Dataset, problems: Problems
) -> tuple[ColumnGrid, dict[str, Index]]:
    names = [target] if isinstance(target, str) else list(target)
    known = [*dataset.columns, *dataset.temporal]
    lacking = [name for name in names if name not in dataset.columns]
    for name in lacking[:-1]:
        problems.add(_no_column(spec, name, known))
    if lacking:
        raise _no_column(spec, lacking[-1], known)
    if len(set(names)) < len(names):
        raise ConfigError(f"inputs: {spec.name} names a column twice among {name_list(names)}.")
    shape = () if isinstance(target, str) and spec.shape == () else grid_shape(spec, len(names))
    if shape is None:
        what = f"column '{names[0]}' is one number a row" if len(names) == 1 else f"{len(names)} columns are named"
        raise ShapeError(f"the model's input is {spec}, but {what}.")
    columns = dataset.columns_as(spec.dtype)
    if spec.is_column and spec.shape and spec.dtype.kind != "O" and columns[names[0]].dtype.kind == "O":
        raise DataError(
            f"the model takes arrays in the column '{spec.name}', but column '{names[0]}' holds text. Give them as "
            "lists of one length in a Parquet file, as an array under 'data: temporal', or as a column for each number."
        )
    grid = ColumnGrid(columns, np.array(names, dtype=object).reshape(shape), spec.dtype)
    if isinstance(target, str):
        return grid, {target: ()}
    return grid, {name: _place(position, shape) for position, name in enumerate(names)}


def _no_column(spec: InputSpec, name: str, known: Sequence[str]) -> DataError:
    return DataError(
        f"inputs: {spec.name} is to receive '{name}', which is no column of the static table and no temporal "
        f"data; there are {name_list(known)}.{did_you_mean(name, known)}"
    )


def _place(position: int, shape: tuple[int, ...]) -> Index:
    """Return where the cell at a position of an input of a shape sits, counted in C order."""
    return tuple(int(place) for place in np.unravel_index(position, shape))


def _bind_series(spec: InputSpec, name: str, dataset: Dataset) -> tuple[RowSource, dict[str, Index]]:
    series = dataset.temporal[name]
    axis = _model_axis(spec, name, series)
    if series.array is None:
        stored = np.array([series.columns[channel] for channel in series.channels], dtype=object)
        grid = stored[0] if axis is None else np.moveaxis(stored, 0, axis - 1)
        return ColumnGrid(dataset.columns_as(spec.dtype), grid, spec.dtype), _channel_slots(series, axis)
    array = series.array[:, None] if series.channel_axis is None else np.moveaxis(series.array, series.channel_axis, 1)
    array = array[:, 0] if axis is None else np.moveaxis(array, 1, axis)
    return StoredArray(array, spec.dtype), _channel_slots(series, axis)


def _model_axis(spec: InputSpec, name: str, series: Series) -> int | None:
    """Return which axis of the model's input runs over the channels; None where it takes the steps of the only one."""
    n_steps, n_channels = series.n_steps, len(series.channels)
    if n_channels == 1 and fits((n_steps,), spec.shape):
        return None
    shapes = {2: (n_steps, n_channels), 1: (n_channels, n_steps)}
    fitting = [axis for axis, shape in shapes.items() if fits(shape, spec.shape)]
    said = series.model_channel_axis
    if said is None and spec.is_column and series.is_of_cells:
        said = series.channel_axis
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


def _column_kind(
    values: np.ndarray, spec: InputSpec, n_columns: int, is_looked_up: bool, *, few: Callable[[], bool]
) -> Kind:
    """Return "category" for text, yes/no, and for codes: what the network looks up, or seems to.

    A column that has an input of whole numbers to itself holds codes. One among several, or in an input of floating
    point of its own (as Keras 2 gave embeddings), does so where it holds few different whole numbers.
    """
    if values.dtype.kind in "Ob" or spec.dtype.kind in "Ob" or is_looked_up:
        return "category"
    if spec.is_column or (n_columns > 1 and spec.dtype.kind == "f"):
        return "number"
    if n_columns == 1 and spec.dtype.kind in "iu":
        return "category"
    return "category" if values.dtype.kind in "iu" and few() else "number"


def _with_slot(feature: Feature | None, name: str, slot: Slot, kind: Kind) -> Feature:
    """Return the feature with one more slot: what feeds two inputs is one feature in two places."""
    if feature is None:
        return Feature(name, (slot,), kind)
    return Feature(name, (*feature.slots, slot), "category" if "category" in (feature.kind, kind) else kind)
