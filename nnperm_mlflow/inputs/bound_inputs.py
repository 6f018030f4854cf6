"""The model's inputs, filled from the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import numpy as np

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.inputs._row_sources import PartOfRows, RowsAt, StoredArray
from nnperm_mlflow.inputs.row_cache import HELD_BYTES, HeldRows, read_rows, row_bytes
from nnperm_mlflow.inputs.slots import Feature, RowSource
from nnperm_mlflow.inputs.specs import Domain


@dataclass(frozen=True)
class Gap:
    """Missing values in what an input receives, which can hold them.

    Attributes
    ----------
    input : str
        Name of the input.
    what : str
        The column or temporal data.
    n_rows : int
        Rows in which something is missing.
    first_rows : ndarray of shape (n_shown,), int64
        The first of them.
    """

    input: str
    what: str
    n_rows: int
    first_rows: np.ndarray


Wanted = Mapping[str, str | list[str]]
"""For an input, the column, the list of columns or the temporal data that it receives."""


@dataclass(frozen=True)
class BoundInputs:
    """The model's inputs, filled from the data.

    Attributes
    ----------
    n_rows : int
    sources : mapping of str to RowSource
        For each input of the model its rows, read on demand.
    features : mapping of str to Feature
        Every column and channel that the model takes, in the order of its inputs.
    wanted : mapping
        Which data each input receives, as said or as found.
    gaps : tuple of Gap
        Where values are missing.
    domains : mapping of str to tuple of Domain
        For inputs of which the model can tell some values apart, these.
    counts : mapping of str to mapping, or None
        For each static feature how many rows hold which value, or None for a feature with more values than were
        counted; None where all rows are held and can be counted.
    """

    n_rows: int
    sources: Mapping[str, RowSource]
    features: Mapping[str, Feature]
    wanted: Wanted
    gaps: tuple[Gap, ...] = ()
    domains: Mapping[str, tuple[Domain, ...]] = field(default_factory=dict)
    counts: Mapping[str, Mapping[Any, int] | None] | None = None

    @classmethod
    def holding(
        cls, positions: np.ndarray, sources: Mapping[str, RowSource], wanted: Wanted, n_rows: int
    ) -> BoundInputs:
        """Return the inputs of data of which some rows are held, without features.

        Parameters
        ----------
        positions : ndarray of shape (n_held,), int64
            Where these rows stand in the data, ascending; to ask for others is a `LookupError`.
        sources : mapping of str to RowSource
            Of these rows.
        wanted : mapping
        n_rows : int
            Rows of the data.
        """
        return cls(n_rows, {name: RowsAt(source, positions) for name, source in sources.items()}, {}, wanted)

    def read(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return all inputs for the given rows: for each name an array of shape (n_rows, ...)."""
        return read_rows(self.sources, rows)

    def with_kinds(self, kinds: Mapping[str, Literal["number", "category"]]) -> BoundInputs:
        """Return the inputs with other kinds of some static features, named or by patterns such as `px*`.

        A pattern or name of none changes nothing; the last that fits decides.

        Raises
        ------
        ConfigError
            If text shall be a number.
        """
        features = dict(self.features)
        named = [
            (name, kind) for key, kind in kinds.items() for name in features if fnmatchcase(name, key) or name == key
        ]
        for name, kind in named:
            feature = features[name]
            if feature.kind not in ("number", "category"):
                continue
            if kind == "number" and any(self.sources[slot.input].dtype.kind == "O" for slot in feature.slots):
                raise ConfigError(f"analysis: kinds: '{name}' reaches the model as text, and is a category.")
            features[name] = replace(feature, kind=kind)
        return replace(self, features=features)

    def take(self, rows: np.ndarray) -> BoundInputs:
        """Return the inputs of some rows; what was found out of all, as kinds of features and gaps, stays.

        The rows are read once and held where they fit into memory.
        """
        sources: dict[str, RowSource] = {name: PartOfRows(source, rows) for name, source in self.sources.items()}
        if row_bytes(self.sources) * len(rows) <= HELD_BYTES:
            sources = {name: StoredArray(source.take(rows), source.dtype) for name, source in self.sources.items()}
        return replace(self, n_rows=len(rows), sources=sources)

    def hold(self, rows: np.ndarray) -> HeldRows:
        """Return rows that exchange values among themselves, in memory where they fit."""
        return HeldRows(self.sources, rows)


_PROBE_ROWS = 64


def probe_rows(n_rows: int, most: int = _PROBE_ROWS) -> np.ndarray:
    """Return a few rows from all over the data, ascending, on which something is tried out."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.int64))
