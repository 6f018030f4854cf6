"""What a model takes and gives: the name, shape and type of each input, and what is known of its outputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Domain:
    """What a network can tell apart of an input's values: the words of a lookup, the codes of an embedding.

    Attributes
    ----------
    layer : str
        How messages call what takes the values, as `StringLookup 'city_lookup'`.
    known : frozenset of str or int, or range
        Those that it knows. What else it gets is to it all the same, another code, or an error.
    places : tuple of int, or None
        Which cells of the input it gets, counted in C order behind the row axis; None for all.
    """

    layer: str
    known: frozenset[str] | frozenset[int] | range
    places: tuple[int, ...] | None = None


@dataclass(frozen=True)
class InputSpec:
    """One named input of a model.

    Attributes
    ----------
    name : str
    shape : tuple of int or None
        Behind the row axis; None where any length will do. A DataFrame column has shape ().
    dtype : numpy dtype
        `object` stands for strings.
    is_column : bool
        Whether it is a column of a DataFrame, and not a tensor.
    domains : tuple of Domain
        Which of its values the model can tell apart, as far as known.
    is_optional : bool
        Whether the model can do without it.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype
    is_column: bool = False
    domains: tuple[Domain, ...] = ()
    is_optional: bool = False

    @property
    def n_cells(self) -> int:
        """Values of a row; an axis of any length counts as one."""
        return math.prod(length or 1 for length in self.shape)

    def __str__(self) -> str:
        axes = ", ".join(["rows", *("any" if length is None else str(length) for length in self.shape)])
        return f"'{self.name}' ({axes}; {'text' if self.dtype.kind == 'O' else self.dtype})"


@dataclass(frozen=True)
class Head:
    """Outputs that come from one layer.

    Attributes
    ----------
    columns : tuple of int
        Where they stand among all outputs; empty where only a call tells.
    unit : str or None
        "probability" where the layer says so.
    exclusive : bool
        Whether they are known to be the probabilities of several classes of which one is right.
    classes : bool
        Whether it is classes by number that are predicted, between which there is no distance.
    """

    columns: tuple[int, ...] = ()
    unit: str | None = None
    exclusive: bool = False
    classes: bool = False


@dataclass(frozen=True)
class OutputSpec:
    """What a model predicts.

    Attributes
    ----------
    names : tuple of str
        One per output; empty where only a call tells how many there are.
    heads : tuple of Head
        Empty where nothing is known of them.
    """

    names: tuple[str, ...] = ()
    heads: tuple[Head, ...] = ()

    @property
    def unit(self) -> str | None:
        """Unit of all outputs, where they share one."""
        return _shared_unit(self.heads)

    def as_probabilities(self, n_outputs: int) -> OutputSpec:
        """Return what is known once all outputs have turned out to be the probabilities of classes."""
        return OutputSpec(self.names, (Head(tuple(range(n_outputs)), "probability", exclusive=True),))

    def as_classes(self) -> OutputSpec:
        """Return what is known once the only output has turned out to number classes."""
        return OutputSpec(self.names, (Head((0,), classes=True),))

    def unit_of(self, columns: Iterable[int]) -> str | None:
        """Return the unit of some outputs, where they share one."""
        return _shared_unit(self.heads_of(columns))

    def heads_of(self, columns: Iterable[int]) -> tuple[Head, ...]:
        """Return the heads that some outputs come from, as far as known; all where only a call tells."""
        wanted = set(columns)
        return tuple(head for head in self.heads if not head.columns or not wanted.isdisjoint(head.columns))


def _shared_unit(heads: Iterable[Head]) -> str | None:
    units = {head.unit for head in heads}
    return units.pop() if len(units) == 1 else None


Arrays = Mapping[str, np.ndarray]

Fetch = Callable[[str], Path]
"""Turns a location (a path, a URL, an artifact of a run) into a local file."""


ALIGNMENT = 64
"""Bytes; what numerical libraries want of the first address of an array, or they copy it."""
