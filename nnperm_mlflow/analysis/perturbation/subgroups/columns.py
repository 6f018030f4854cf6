"""What rows are told apart by: a feature's value, whether it is one of its names, a few summaries of a series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.perturbation.value_names import Value, value_name
from nnperm_mlflow.inputs.slots import Feature, RowSource, Slot, read_slot

What = Literal["value", "is", "mean", "first", "last", "spread"]

MOST_NAMES = 8
"""Names of a category that are told apart, the most frequent ones; the others are alike."""

FEWEST_OF_A_NAME = 0.01
"""Share of the rows that a name must have to be told apart."""

MISSING = -float(np.finfo(np.float32).max)
"""Stands for what is missing: smaller than all that is there."""

_SUMMARIES: tuple[What, ...] = ("mean", "first", "last", "spread")
_WORDS = {"mean": "the mean of {}", "first": "the first step of {}", "last": "the last step of {}",
          "spread": "the spread of {}"}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One number that tells rows apart.

    Attributes
    ----------
    feature : str
        What it is of.
    slot : Slot
        Where that sits.
    what : {"value", "is", "mean", "first", "last", "spread"}
        The value itself, whether it is one of the feature's names, or a summary over the steps of a series.
    name : bool, int, float, str or None
        That name; None stands for a missing one.
    """

    feature: str
    slot: Slot
    what: What
    name: Value | None = None

    def of(self, held: np.ndarray) -> np.ndarray:
        """Return the column from what the slot holds.

        Parameters
        ----------
        held : ndarray of shape (n_rows, ...)

        Returns
        -------
        ndarray of shape (n_rows,), float32
            `MISSING` where there is no number.
        """
        held = held.reshape(len(held), -1)
        if self.what == "is":
            first = held[:, 0]
            return np.asarray(pd.isna(first) if self.name is None else first == self.name, dtype=np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            found = _summary(held.astype(np.float64), self.what).astype(np.float32)
        return np.where(np.isfinite(found), found, np.float32(MISSING))

    @property
    def words(self) -> str:
        """What it is, as `PAY` or `the mean of PAY`."""
        return _WORDS[self.what].format(self.feature) if self.what in _WORDS else self.feature

    @cached_property
    def key(self) -> str:
        """What it is, whichever input holds it where."""
        return repr((self.feature, self.what, self.name))

    def between(self, low: float | None, high: float | None) -> str:
        """Return in words which rows lie above one number and not above another; None where there is no such end.

        >>> age = Column("age", Slot("age"), "value")
        >>> age.between(None, 30.5), age.between(30.5, 40), age.between(None, MISSING / 2)
        ('age is at most 30.5', 'age is above 30.5 and at most 40', 'age is missing')
        >>> Column("SEX", Slot("SEX"), "is", 2).between(None, 0.5)
        'SEX is not 2'
        """
        if self.what == "is":
            told = "missing" if self.name is None else value_name(self.name)
            return f"{self.feature} is {told}" if high is None else f"{self.feature} is not {told}"
        return _between(self.words, low, high)


@dataclass(frozen=True)
class WeightedSum:
    """Several columns that tell together what none of them tells alone.

    Attributes
    ----------
    columns : tuple of Column
    weights : tuple of float
    """

    columns: tuple[Column, ...]
    weights: tuple[float, ...]

    def of(self, values: list[np.ndarray]) -> np.ndarray:
        """Return the sum from the columns, each of shape (n_rows,), float32; `MISSING` where one of them is."""
        total, is_missing = np.zeros(len(values[0])), np.zeros(len(values[0]), dtype=bool)
        for weight, column in zip(self.weights, values, strict=True):
            total += weight * column.astype(np.float64)
            is_missing |= column == np.float32(MISSING)
        return np.where(is_missing, MISSING, total).astype(np.float32)

    @property
    def key(self) -> str:
        """What it is, whichever inputs hold it where."""
        return repr((self.weights, [column.key for column in self.columns]))

    @cached_property
    def words(self) -> str:
        """What it is, as `0.5 age + 2 the mean of PAY`."""
        parts = [f"{weight:.3g} {column.words}" for weight, column in zip(self.weights, self.columns, strict=True)]
        return " + ".join(parts).replace("+ -", "- ")

    def between(self, low: float | None, high: float | None) -> str:
        """Return in words which rows lie above one number and not above another."""
        return _between(self.words, low, high)


Described = Column | WeightedSum


class ColumnReader:
    """Columns of some rows; each slot is read once.

    Parameters
    ----------
    sources : mapping of str to RowSource
        The model's inputs by name.
    rows : ndarray of shape (n_rows,), int64
        Positions in the data.
    """

    def __init__(self, sources: Mapping[str, RowSource], rows: np.ndarray) -> None:
        self.rows = rows
        self._sources = sources
        self._held: dict[str, np.ndarray] = {}
        self._columns: dict[str, np.ndarray] = {}

    def held(self, slot: Slot) -> np.ndarray:
        """Return what a slot holds in the rows."""
        key = repr(slot)  # a slice cannot be hashed everywhere
        if key not in self._held:
            self._held[key] = read_slot(self._sources, slot, self.rows)
        return self._held[key]

    def read(self, column: Described) -> np.ndarray:
        """Return a column of the rows, of shape (n_rows,), float32."""
        key = repr(column)
        if key not in self._columns:
            self._columns[key] = self._of(column)
        return self._columns[key]

    def _of(self, column: Described) -> np.ndarray:
        if isinstance(column, WeightedSum):
            return column.of([self.read(each) for each in column.columns])
        return column.of(self.held(column.slot))


def columns_of(feature: Feature, reader: ColumnReader) -> list[Column]:
    """Return the columns that describe a feature; of a group there are none, its members have theirs.

    Parameters
    ----------
    feature : Feature
    reader : ColumnReader
        Of rows that show which names a category has.
    """
    slot = feature.slots[0]
    held = reader.held(slot)
    if held.dtype.kind == "O":
        return _names(feature, held.reshape(len(held), -1)[:, 0])
    if feature.kind == "category":
        return _names(feature, held.ravel())
    if held[0].size == 1:
        return [Column(feature.name, slot, "value")]
    return [Column(feature.name, slot, what) for what in _SUMMARIES]


def ordinal_of(feature: Feature, reader: ColumnReader) -> list[Column]:
    """Return the value itself of a category that is a number, whose order may mean something."""
    is_number = feature.kind == "category" and reader.held(feature.slots[0]).dtype.kind != "O"
    return [Column(feature.name, feature.slots[0], "value")] if is_number else []


def _names(feature: Feature, held: np.ndarray) -> list[Column]:
    """Return a column for each of the most frequent names; of two names one tells all."""
    counts = pd.Series(held).value_counts(dropna=False)
    counts = counts[counts >= FEWEST_OF_A_NAME * len(held)]
    names = sorted(counts.index, key=lambda name: (-counts[name], str(name)))[:MOST_NAMES]
    told = names[:1] if len(names) == 2 and counts.sum() == len(held) else names
    column = Column(feature.name, feature.slots[0], "is")
    return [replace(column, name=None if pd.isna(name) else _plain(name)) for name in told]


def _plain(name: Any) -> Value:  # noqa: ANN401 - a numpy scalar, or a string
    return name.item() if isinstance(name, np.generic) else name


def _summary(steps: np.ndarray, what: What) -> np.ndarray:
    if what == "mean":
        return steps.mean(axis=1)
    return steps.std(axis=1) if what == "spread" else steps[:, -1 if what == "last" else 0]


def _between(words: str, low: float | None, high: float | None) -> str:
    """Return in words between which numbers something lies; what is missing lies below all that is there."""
    if high is not None and high < MISSING / 4:
        return f"{words} is missing"
    ends = [] if low is None else [f"above {low:,.4g}" if low > MISSING / 4 else "not missing"]
    ends += [] if high is None else [f"at most {high:,.4g}"]
    return f"{words} is {' and '.join(ends)}"
