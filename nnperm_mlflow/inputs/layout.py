"""What columns of all rows are: of some rows alone it could not be told, as whether whole numbers are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from nnperm_mlflow.basics.errors import DataError, ShapeError, name_list
from nnperm_mlflow.config.data_config import DataConfig
from nnperm_mlflow.inputs.dataset import MEMORY, Dataset, dataset_from
from nnperm_mlflow.inputs.series import Series
from nnperm_mlflow.inputs.stored_series import series_in_cells
from nnperm_mlflow.inputs.tables import column_values, frame_of, numbers_in_cells


@dataclass(frozen=True)
class Layout:
    """How Arrow tables with some of the rows become data.

    Attributes
    ----------
    dtypes : mapping of str to numpy dtype
        Of each column of single values, as it is where all rows are read at once.
    config : DataConfig
        Which columns are temporal data, and which have a role.
    """

    dtypes: Mapping[str, np.dtype]
    config: DataConfig

    @classmethod
    def of(cls, schema: pa.Schema, missing: Collection[str], config: DataConfig) -> Layout:
        """Return the layout of a table.

        Parameters
        ----------
        schema : pyarrow.Schema
        missing : collection of str
            Columns in which something is missing; those whose type does not hang on it may be left out, see
            `gaps_matter`.
        config : DataConfig

        Raises
        ------
        DataError
            If a column holds what is no single value, and is not named as temporal data.
        """
        in_cells = {column for spec in config.temporal.values() for column in spec.cells}
        nested = [each.name for each in schema if each.name not in in_cells and not _is_single(each.type)]
        if nested:
            raise DataError(
                f"{name_list(nested)} hold several values, bytes or nothing in each row. Name arrays of numbers under "
                "'data: temporal', and leave other such columns out of the table."
            )
        dtypes = {each.name: _dtype(each.type, each.name in missing) for each in schema if each.name not in in_cells}
        return cls(dtypes, config)

    def dataset(self, table: pa.Table, source: str = MEMORY) -> Dataset:
        """Return some rows as data.

        Parameters
        ----------
        table : pyarrow.Table
            With some of the columns; temporal data and roles of which it has none are left out.
        source : str
            Where they came from.
        """
        names = [name for name in table.column_names if name in self.dtypes]
        frame = frame_of(table, names)
        columns = {name: column_values(frame[name]).astype(self.dtypes[name], copy=False) for name in names}
        there = {*table.column_names}
        temporal = {
            name: series_in_cells(name, spec, lambda column: _array(column, table))
            for name, spec in self.config.temporal.items()
            if spec.cells and there.issuperset(spec.cells)
        }
        temporal |= {
            name: Series(tuple(spec.steps), columns=spec.steps, model_channel_axis=spec.model_channel_axis)
            for name, spec in self.config.temporal.items()
            if spec.steps is not None and there.issuperset(each for held in spec.steps.values() for each in held)
        }
        row_id, label = (name if name in columns else None for name in (self.config.row_id, self.config.label))
        return dataset_from(columns, temporal, row_id, label, source)


def gaps_matter(kind: pa.DataType) -> bool:
    """Tell whether a column of a type is another one in numpy where something is missing, as whole numbers are.

    >>> [gaps_matter(kind) for kind in (pa.int32(), pa.bool_(), pa.float32(), pa.string(), pa.list_(pa.int32()))]
    [True, True, False, False, False]
    """
    return _is_single(kind) and _dtype(kind, False) != _dtype(kind, True)


def _is_single(kind: pa.DataType) -> bool:
    return not any(
        is_other(kind)
        for is_other in (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null)
    )


def _dtype(kind: pa.DataType, has_gaps: bool) -> np.dtype:
    """Return the dtype that numpy has for a column of a type, by reading a value and, where some are missing, none."""
    if pa.types.is_decimal(kind):
        return np.dtype(np.float64)
    values = pa.concat_arrays(
        [pa.array([0], pa.int64()).cast(_through(kind)).cast(kind), pa.nulls(int(has_gaps), kind)]
    )
    return column_values(frame_of(pa.table({"column": values}), ["column"])["column"]).dtype


def _through(kind: pa.DataType) -> pa.DataType:
    """Return a type that whole numbers can be cast to, and which can be cast to another."""
    return pa.int32() if pa.types.is_date32(kind) or pa.types.is_time32(kind) else pa.int64()


def _array(column: str, table: pa.Table) -> np.ndarray:
    found = numbers_in_cells(table.column(column))
    if found is None:
        raise ShapeError(
            f"the cells of '{column}' were expected to be arrays of numbers of one shape, none of them missing."
        )
    return found
