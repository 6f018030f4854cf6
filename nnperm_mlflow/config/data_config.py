"""Where the rows of an audit come from, as a strict, frozen value."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from nnperm_mlflow.basics.documents import Strict
from nnperm_mlflow.basics.errors import name_list

Axis = Literal[1, 2]
_NO_SEPARATORS = "\"'\r\n+-."
"""What stands in cells, or ends lines."""


def _no_repeats(names: list[object]) -> list[object]:
    counts = Counter(name for name in names if isinstance(name, str))
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ValueError(f"{name_list(twice)} is named twice")
    return names


Names = Annotated[list[str], BeforeValidator(lambda given: _no_repeats(given) if isinstance(given, list) else given)]


class TemporalConfig(Strict):
    """One history: a stored array, or what columns of the static table hold.

    Attributes
    ----------
    file, column : str or None
        A stored array; or a column whose cells are the arrays of the rows, of two axes, or of one in C order.
    channels : list of str or None
        Names for the channels of such an array, in stored order.
    channel_axis : {1, 2} or None
        Axis of it that runs over the channels.
    shape : list of int or None
        What a row's array has where the column holds it with one axis.
    columns : dict of str to list of str or str, or None
        For each channel a column for each step, or the column whose cells are the steps.
    model_channel_axis : {1, 2} or None
    """

    file: str | None = None
    channels: Annotated[Names, Field(min_length=1)] | None = None
    channel_axis: Axis | None = None
    columns: Annotated[dict[str, Annotated[list[str], Field(min_length=1)] | str], Field(min_length=1)] | None = None
    model_channel_axis: Axis | None = None
    column: str | None = None
    shape: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1, max_length=2)] | None = None

    @model_validator(mode="after")
    def _either_file_or_columns(self) -> TemporalConfig:
        given = [key for key in ("file", "column", "columns") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError("give either 'file' or 'columns' (or 'column', whose cells are arrays)")
        if self.columns is None and self.channels is None:
            raise ValueError(f"'{given[0]}' needs 'channels': a name for each channel, in stored order")
        if self.columns is not None and (self.channels is not None or self.channel_axis is not None):
            raise ValueError("'columns' names the channels itself: leave out 'channels' and 'channel_axis'")
        if self.columns is not None and len({isinstance(held, str) for held in self.columns.values()}) > 1:
            raise ValueError("'columns' names for each channel either one column of arrays, or a column for each step")
        if self.shape is not None and self.column is None:
            raise ValueError("'shape' is of the arrays in a 'column'")
        return self

    @property
    def steps(self) -> dict[str, tuple[str, ...]] | None:
        """For each channel the columns of its steps; None where these are in arrays."""
        columns = self.columns or {}
        steps = {channel: tuple(held) for channel, held in columns.items() if not isinstance(held, str)}
        return steps or None

    @property
    def cells(self) -> list[str]:
        """Columns whose cells are arrays."""
        if self.column is not None:
            return [self.column]
        return [held for held in (self.columns or {}).values() if isinstance(held, str)]

    def as_told(self) -> dict[str, object]:
        """Return what digests are of: all but where a file lies, and keys that say nothing."""
        unsaid = {key for key in ("column", "shape") if getattr(self, key) is None}
        return self.model_dump(exclude={"file"} | unsaid)


class CsvConfig(Strict):
    """How a csv file is written, where it does not show that itself.

    Attributes
    ----------
    sep : str or None
        What parts its cells, one character.
    decimal : "." or "," or None
        What stands before the decimals of its numbers.
    """

    sep: str | None = None
    decimal: Literal[".", ","] | None = None

    @field_validator("sep")
    @classmethod
    def _one_character(cls, sep: str | None) -> str | None:
        if sep is not None and (len(sep) != 1 or not sep.isascii() or sep.isalnum() or sep in _NO_SEPARATORS):
            raise ValueError("'sep' is the one character between two cells, such as ';' or a tab (\"\\t\")")
        return sep


class DataConfig(Strict):
    """Where the rows come from: a path, a URL, or a run's artifact (`runs:/...`).

    Attributes
    ----------
    table, version : str or int, or None
        A table in a catalogue of Spark, and which version of it, for an audit there.
    csv : CsvConfig
        How the static table is written, where it is a csv file.
    cluster : str or None
        Column of the static table that says which rows belong together, as months of one client: these rows are no
        independent ones.
    text : list of str
        Columns of a csv file that are text as it is written there, though all of it may look like numbers.
    """

    static: str | None = None
    table: str | None = None
    version: int | str | None = None
    csv: CsvConfig = CsvConfig()
    row_id: str | None = None
    label: str | None = None
    cluster: str | None = None
    text: Names = []
    temporal: dict[str, TemporalConfig] = {}

    @model_validator(mode="after")
    def _one_version_of_a_table(self) -> DataConfig:
        if self.table is not None and self.static is not None:
            raise ValueError("give either 'static' or 'table'")
        if (self.table is None) != (self.version is None):
            raise ValueError("'table' and 'version' go together: a table that changes is no data that an audit is of")
        return self
