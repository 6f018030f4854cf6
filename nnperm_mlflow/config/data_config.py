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
    """One history: a stored array (`file`, `channels`, `channel_axis`) or columns of the static table (`columns`)."""

    file: str | None = None
    channels: Annotated[Names, Field(min_length=1)] | None = None
    channel_axis: Axis | None = None
    columns: Annotated[dict[str, Annotated[list[str], Field(min_length=1)]], Field(min_length=1)] | None = None
    model_channel_axis: Axis | None = None

    @model_validator(mode="after")
    def _either_file_or_columns(self) -> TemporalConfig:
        if (self.file is None) == (self.columns is None):
            raise ValueError("give either 'file' or 'columns'")
        if self.file is not None and self.channels is None:
            raise ValueError("'file' needs 'channels': a name for each channel, in stored order")
        if self.columns is not None and (self.channels is not None or self.channel_axis is not None):
            raise ValueError("'columns' names the channels itself: leave out 'channels' and 'channel_axis'")
        return self


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
    csv : CsvConfig
        How the static table is written, where it is a csv file.
    cluster : str or None
        Column of the static table that says which rows belong together, as months of one client: these rows are no
        independent ones.
    text : list of str
        Columns of a csv file that are text as it is written there, though all of it may look like numbers.
    """

    static: str | None = None
    csv: CsvConfig = CsvConfig()
    row_id: str | None = None
    label: str | None = None
    cluster: str | None = None
    text: Names = []
    temporal: dict[str, TemporalConfig] = {}
