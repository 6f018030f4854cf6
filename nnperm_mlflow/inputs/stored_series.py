"""Temporal data as they are stored: read from an array or columns, and held against what is said of their channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from nnperm_mlflow.basics.errors import ConfigError, DataError, ShapeError, name_list
from nnperm_mlflow.config.data_config import TemporalConfig
from nnperm_mlflow.inputs.arrays import read_array
from nnperm_mlflow.inputs.series import Series
from nnperm_mlflow.inputs.specs import Fetch


def read_series(name: str, spec: TemporalConfig, fetch: Fetch) -> Series:
    """Return temporal data as a configuration says where they lie; an array in a .npy file stays memory-mapped."""
    if spec.steps is not None:
        return Series(tuple(spec.steps), columns=spec.steps, model_channel_axis=spec.model_channel_axis)
    array = read_array(name, str(spec.file), fetch)
    channels = tuple(spec.channels or ())
    return Series(channels, array, channel_axis=spec.channel_axis, model_channel_axis=spec.model_channel_axis)


def series_in_cells(name: str, spec: TemporalConfig, cells: Callable[[str], np.ndarray]) -> Series:
    """Return temporal data that lie in cells of columns.

    Parameters
    ----------
    name : str
    spec : TemporalConfig
        With `cells`.
    cells : callable
        Gives the cells of a column as one array, of shape (n_rows, n) or (n_rows, a, b).

    Raises
    ------
    ShapeError
        If they do not have the shape that is said, or channels have different numbers of steps.
    """
    arrays = [cells(column) for column in spec.cells]
    if spec.column is None:
        lengths = {channel: array.shape[1:] for channel, array in zip(spec.columns or {}, arrays, strict=True)}
        if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) > 1:
            listed = ", ".join(f"'{channel}' has {shape}" for channel, shape in lengths.items())
            raise ShapeError(f"each channel of '{name}' needs cells of as many steps, but {listed}.")
        channels = tuple(spec.columns or {})
        return Series(channels, np.stack(arrays, axis=1), channel_axis=1, model_channel_axis=spec.model_channel_axis)
    (array,) = arrays
    n_cells = int(np.prod(array.shape[1:]))
    if spec.shape is not None and int(np.prod(spec.shape)) != n_cells:
        raise ShapeError(
            f"data: temporal: {name}: 'shape' is {spec.shape}, but a cell of '{spec.column}' holds {n_cells} numbers."
        )
    array = array if spec.shape is None else array.reshape(len(array), *spec.shape)
    channels = tuple(spec.channels or ())
    return Series(channels, array, channel_axis=spec.channel_axis, model_channel_axis=spec.model_channel_axis)


def checked_series(name: str, series: Series) -> Series:
    """Return temporal data with their channel axis found out.

    Raises
    ------
    ConfigError
        If two channels have one name, or channels have different numbers of steps.
    DataError
        If they hold no numbers.
    ShapeError
        If rows hold nothing, or the channel axis cannot be told.
    """
    if len(set(series.channels)) < len(series.channels):
        raise ConfigError(f"the channels of '{name}' are {name_list(series.channels)}; each needs a name of its own.")
    if series.array is None:
        lengths = {channel: len(columns) for channel, columns in series.columns.items()}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"'{channel}' has {count}" for channel, count in lengths.items())
            raise ConfigError(f"all channels of '{name}' need the same number of steps, but {listed}.")
        return series
    array = np.asanyarray(series.array)
    if array.dtype.kind not in "iufb":
        raise DataError(f"temporal data '{name}' hold {array.dtype}; expected numbers.")
    if 0 in array.shape[1:]:
        raise ShapeError(f"temporal data '{name}' of shape {array.shape} hold nothing in each row.")
    return replace(series, array=array, channel_axis=_channel_axis(name, array, series.channels, series.channel_axis))


def _channel_axis(name: str, array: np.ndarray, channels: tuple[str, ...], said: int | None) -> int | None:
    """Return the axis that runs over the channels: as said and checked, or the only one that fits."""
    if array.ndim == 2 and len(channels) == 1:
        return None
    if array.ndim != 3:
        raise ShapeError(
            f"temporal data '{name}' must have three axes (rows, steps and channels in either order), "
            f"but the array has shape {array.shape}."
        )
    if said is not None:
        if array.shape[said] != len(channels):
            raise ShapeError(
                f"temporal data '{name}' of shape {array.shape} has {array.shape[said]} entries along channel_axis "
                f"{said}, but {len(channels)} channels are named: {name_list(channels)}."
            )
        return said
    fitting = [axis for axis in (1, 2) if array.shape[axis] == len(channels)]
    if len(fitting) == 1:
        return fitting[0]
    found = "both fit" if fitting else "neither fits"
    raise ShapeError(
        f"temporal data '{name}' of shape {array.shape} with {len(channels)} channels: which axis is the channels' "
        f"cannot be told ({found}). Set channel_axis to 1 or 2, and channels to a name for each."
    )
