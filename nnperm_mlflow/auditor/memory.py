"""Rows in memory, in whatever form a user of Python has them: checked at the door, and read once the model is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import ConfigError, DataError, ShapeError, did_you_mean, name_list
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.config.data_config import DataConfig
from nnperm_mlflow.inputs.bound_inputs import Wanted
from nnperm_mlflow.inputs.cells import Cells, read_arrays, read_cells
from nnperm_mlflow.inputs.dataset import MEMORY, Dataset, Series, dataset_from, load_dataset
from nnperm_mlflow.inputs.specs import Fetch, InputSpec
from nnperm_mlflow.inputs.tables import column_values

Names = Mapping[str, Sequence[str]]
"""For an input, or a column of arrays, what its numbers or channels are called."""

AnyRows = Dataset | pd.DataFrame | np.ndarray | Mapping[str, Any] | tuple[pd.DataFrame, Any]
"""A table; an array for each input by its name; the array of the only input; a table and the array of its histories."""

_FORMS = (
    "a DataFrame, a dict of arrays by the names of the model's inputs, an array for a model of one input, a DataFrame "
    "and an array of histories (X_test, X_test_batch), or a Dataset"
)


@dataclass(frozen=True)
class Rows:
    """Rows in memory, as they were given.

    Attributes
    ----------
    data : DataFrame, ndarray, mapping of str to array, or (DataFrame, ndarray)
    labels : Series or None
        The observed outcomes, with a name.
    channels : mapping of str to sequence of str
        Names for the numbers or channels of arrays, see `inputs.cells`.
    source : str
        What the rows are called.
    """

    data: Any
    labels: pd.Series | None = None
    channels: Names = field(default_factory=dict)
    source: str = MEMORY

    def read(self, specs: Sequence[InputSpec], config: AuditConfig, fetch: Fetch) -> tuple[AuditConfig, Dataset]:
        """Return the rows, and a configuration that says which input receives what of them.

        Parameters
        ----------
        specs : sequence of InputSpec
            What the model takes.
        config : AuditConfig
            What it says of its static table holds for a DataFrame. Arrays stand for all of its data, and are called as
            it calls these.
        fetch : callable
            Turns a location into a local file.

        Raises
        ------
        AuditError
            If the rows are not what the model takes, or not what the configuration says of them.
        """
        cells, said, data = self._taken_apart(specs, config)
        label = self._put_labels(cells, data)
        series = configured_series(data, fetch)
        if twice := sorted(series.keys() & cells.series.keys()):
            raise ConfigError(f"{name_list(twice)}: both temporal data of 'config' and a column of arrays. Rename one.")
        series |= cells.series
        dataset = dataset_from(cells.columns, series, data.row_id, label, self.source, cluster=data.cluster)
        inputs = cells.bind(said, [spec.name for spec in specs])
        return config.model_copy(update={"inputs": inputs, "data": data}), dataset

    def _taken_apart(self, specs: Sequence[InputSpec], config: AuditConfig) -> tuple[Cells, Wanted, DataConfig]:
        """Return what the rows hold, and what the configuration says of inputs and data that goes with that."""
        table_given = config.data.model_copy(update={"static": None})
        if isinstance(self.data, pd.DataFrame):
            return read_cells(self.data, self.channels), config.inputs, table_given
        names = {**_names_in(config), **self.channels}
        if isinstance(self.data, tuple):
            table, array = self.data
            cells, history = read_cells(table, {}), _history_input(specs, table)
            cells.series[history.name] = _histories(history, np.asanyarray(array), names)
            said = {name: target for name, target in config.inputs.items() if name != history.name}
            return cells, said, table_given.model_copy(update={"temporal": {}})
        if config.data.cluster is not None:
            raise ConfigError(
                f"data: cluster names the column '{config.data.cluster}', but arrays came, which have no such column. "
                "Give a DataFrame that holds it."
            )
        arrays = self.data if isinstance(self.data, Mapping) else _by_name(np.asanyarray(self.data), specs)
        _check_names(arrays, [spec.name for spec in specs])
        fitting = {name: names[name] for name in names if name in arrays or name in self.channels}
        return read_arrays(arrays, fitting), {}, DataConfig()

    def _put_labels(self, cells: Cells, data: DataConfig) -> str | None:
        """Add the labels to the columns, and return which column holds them."""
        if self.labels is None:
            return data.label
        if data.label in cells.columns:
            raise ConfigError(f"labels are given, and 'data: label' names '{data.label}'. Leave out one of them.")
        name = str(self.labels.name)
        cells.put(name, column_values(self.labels))
        return name


def rows_given(
    data: AnyRows | Rows | None, labels: object = None, channels: Names | None = None
) -> Rows | Dataset | None:
    """Return what was given as data, or refuse what it cannot be; nothing is read yet.

    Parameters
    ----------
    data : DataFrame, mapping, ndarray, tuple, Dataset, Rows or None
    labels : array of shape (n_rows,), optional
    channels : mapping of str to sequence of str, optional

    Raises
    ------
    DataError
        If the data are something else.
    ConfigError
        If labels or names come without rows that they could belong to.
    """
    if data is None or isinstance(data, (Dataset, Rows)):
        if labels is not None or channels is not None:
            raise ConfigError(
                "'labels' and 'channels' go with rows in memory, but not with a Dataset, which names its own "
                "(dataset_from(..., label=...)). Of files name the label under 'data: label'."
            )
        return data
    if isinstance(data, tuple) and not _is_pair(data):
        came = ", ".join(type(part).__name__ for part in data)
        raise DataError(
            f"a pair of data is a DataFrame and an array of histories of shape (rows, steps, channels); ({came}) came. "
            "Labels go behind labels=..., several arrays into a dict by the names of the model's inputs."
        )
    if not isinstance(data, (pd.DataFrame, np.ndarray, Mapping, tuple)):
        raise DataError(f"'data' must be {_FORMS}; a {type(data).__name__} came. Files are named in a configuration.")
    return Rows(data, None if labels is None else as_labels(labels), channels or {})


def _is_pair(data: tuple[Any, ...]) -> bool:
    return len(data) == 2 and isinstance(data[0], pd.DataFrame) and getattr(data[1], "ndim", 0) == 3


def as_labels(labels: Any, name: str = "label") -> pd.Series:  # noqa: ANN401 - whatever holds one value a row
    """Return labels as a column, which has that name where it has none of its own.

    Raises
    ------
    ShapeError
        If there are several values a row.
    """
    if isinstance(labels, pd.Series):
        return labels.rename(name if labels.name is None else str(labels.name))
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ShapeError(f"labels must be one value a row, but their array has the shape {array.shape}.")
    return pd.Series(array, name=name)


def _names_in(config: AuditConfig) -> dict[str, list[str]]:
    """Return what a configuration calls the columns and channels of its inputs."""
    names = {}
    for spec_name, target in config.inputs.items():
        temporal = config.data.temporal.get(target) if isinstance(target, str) else None
        if temporal is not None:
            names[spec_name] = list(temporal.channels or temporal.columns or [])
        else:
            names[spec_name] = [target] if isinstance(target, str) else list(target)
    return names


def _by_name(array: np.ndarray, specs: Sequence[InputSpec]) -> dict[str, np.ndarray]:
    """Return the array of the only input by its name, or columns by theirs where the model takes a table."""
    if len(specs) == 1:
        return {specs[0].name: array}
    if array.ndim == 2 and array.shape[1] == len(specs) and all(spec.is_column for spec in specs):
        return {spec.name: array[:, position] for position, spec in enumerate(specs)}
    raise DataError(
        f"an array of shape {array.shape} came for a model of {len(specs)} inputs: "
        f"{name_list([spec.name for spec in specs])}. Give a dict with an array for each, by these names."
    )


def _check_names(arrays: Mapping[str, Any], inputs: Sequence[str]) -> None:
    for name in arrays:
        if name not in inputs:
            raise DataError(
                f"'{name}' is no input of the model, which takes {name_list(inputs)}.{did_you_mean(str(name), inputs)} "
                "Labels go behind labels=..."
            )


def _history_input(specs: Sequence[InputSpec], table: pd.DataFrame) -> InputSpec:
    """Return the only input of two axes, for which the array of a pair is meant."""
    histories = [spec for spec in specs if len(spec.shape) == 2 and spec.name not in table.columns]
    if len(histories) != 1:
        raise DataError(
            "a DataFrame and an array of histories are for a model with one input of steps and channels, but this one "
            f"has {len(histories)} ({name_list([spec.name for spec in histories])}). Give a dict with an array for "
            f"each input: {name_list([spec.name for spec in specs])}."
        )
    return histories[0]


def _histories(spec: InputSpec, array: np.ndarray, names: Names) -> Series:
    """Return histories with their channels last, or first where they fit the model that way alone."""
    given = list(names.get(spec.name, []))
    as_it_is, turned = (_fits(shape, spec.shape) for shape in (array.shape[1:], array.shape[:0:-1]))
    axis = 1 if turned and not as_it_is else 2
    if len(given) == array.shape[3 - axis] != array.shape[axis]:
        axis = 3 - axis
    channels = given or [f"{spec.name} channel {number}" for number in range(1, array.shape[axis] + 1)]
    return Series(tuple(channels), array, channel_axis=axis, model_channel_axis=axis if as_it_is else 3 - axis)


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return all(want in (None, have) for have, want in zip(shape, wanted, strict=True))


def configured_series(data: DataConfig, fetch: Fetch) -> dict[str, Series]:
    """Return the temporal data that a configuration names beside a table in memory: files, or columns of the table."""
    files = {name: spec for name, spec in data.temporal.items() if spec.file is not None}
    series = dict(load_dataset(DataConfig(temporal=files), fetch).temporal) if files else {}
    for name, spec in data.temporal.items():
        if spec.cells:
            raise ConfigError(
                f"data: temporal: {name} lies in cells of {name_list(spec.cells)}, which are read of files alone. Of a "
                "table in memory name the channels (channels=...), or give the array beside it."
            )
        if spec.steps is not None:
            series[name] = Series(tuple(spec.steps), columns=spec.steps, model_channel_axis=spec.model_channel_axis)
    return series
