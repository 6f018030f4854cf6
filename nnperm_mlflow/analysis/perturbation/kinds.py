"""What is done to a feature's values: shuffled over all or alike rows, its steps reordered, set, moved a little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nnperm_mlflow.analysis.perturbation.edges import at_edge
from nnperm_mlflow.analysis.perturbation.subgroups.columns import ColumnReader
from nnperm_mlflow.analysis.perturbation.value_names import Value, value_name
from nnperm_mlflow.inputs.row_cache import HeldRows
from nnperm_mlflow.inputs.slots import Change, Feature, in_all_rows

_SHARED = "the donors that features share"


@dataclass(frozen=True)
class Shuffle:
    """Each row receives the feature's values of a donor row: one donor for all of the feature's slots."""

    feature: Feature
    way = "shuffle"
    value = None

    @property
    def name(self) -> str:
        """Name in tables and pictures: the feature's own."""
        return self.feature.name

    @property
    def drawn_as(self) -> Feature:
        """The feature by whose name donors are drawn: itself."""
        return self.feature

    def __str__(self) -> str:
        return f"'{self.name}' was shuffled"


class Subgroups(Protocol):
    """Rows that are alike in what a feature goes with, see `subgroups.subgroups.LearnedSubgroups`."""

    @property
    def digest(self) -> str:
        """sha256 (64 hex digits) of all that a row's subgroup depends on."""

    @property
    def n_subgroups(self) -> int:
        """How many there are."""

    def of(self, reader: ColumnReader, positions: np.ndarray) -> np.ndarray:
        """Return for rows, and where they stand in the data, the numbers of their subgroups."""

    def in_words(self) -> Iterator[tuple[int, int, str]]:
        """Yield each subgroup: its number, its half, and which rows it holds."""


@dataclass(frozen=True)
class Conditional(Shuffle):
    """Each row receives the values of a donor that is like it in what the feature goes with.

    Attributes
    ----------
    subgroups : Subgroups
        Which rows are alike.

    References
    ----------
    Molnar, Koenig, Bischl and Casalicchio, "Model-agnostic feature importance and effects with dependent features: a
    conditional subgroup approach", Data Mining and Knowledge Discovery, 2024.
    """

    subgroups: Subgroups
    way = "conditional"

    @property
    def name(self) -> str:
        """Name in tables and pictures, as `PAY conditional`."""
        return f"{self.feature.name} conditional"

    def __str__(self) -> str:
        return f"'{self.feature.name}' was shuffled among rows that are alike in what it goes with"


@dataclass(frozen=True)
class SharedShuffle(Shuffle):
    """A shuffle that has its donors in common with all others of this kind, whatever the feature.

    So what two features do together can be told from what each does with the values of the same row.
    """

    way = "shared"

    @property
    def drawn_as(self) -> Feature:
        """What donors are drawn by: one name for all."""
        return Feature(_SHARED, self.feature.slots, "group")


@dataclass(frozen=True)
class Reorder:
    """Each row keeps the values of its series and gets them in another order of steps.

    References
    ----------
    Sood and Craven, "Feature Importance Explanations for Temporal Black-Box Models", AAAI 2022.
    """

    feature: Feature
    way = "order"
    value = None

    @property
    def name(self) -> str:
        """Name in tables and pictures, as `PAY order`."""
        return f"{self.feature.name} order"

    def __str__(self) -> str:
        return f"the steps of '{self.feature.name}' were put in another order"


@dataclass(frozen=True)
class SetTo:
    """Every row receives the same value.

    Attributes
    ----------
    feature : Feature
    value : bool, int, float or str
        In the unit of the model's input.
    """

    feature: Feature
    value: Value
    way = "set"

    @property
    def name(self) -> str:
        """Name in tables and pictures, as `cheater=1`."""
        return f"{self.feature.name}={value_name(self.value)}"

    def __str__(self) -> str:
        return f"'{self.feature.name}' was set to {value_name(self.value)}"


@dataclass(frozen=True)
class ToEdge:
    """Each row's value moves to an end of the interval that it lies in.

    Attributes
    ----------
    feature : Feature
        A number, or a series or window, whose level moves: the mean of its steps, all by as much.
    edges : tuple of float
        Ascending, in the unit of the model's input.
    upper : bool
        Whether to the upper end.

    References
    ----------
    Apley and Zhu, "Visualizing the Effects of Predictor Variables in Black Box Supervised Learning Models", Journal of
    the Royal Statistical Society B 82, 2020.
    """

    feature: Feature
    edges: tuple[float, ...]
    upper: bool
    way = "edge"

    @property
    def value(self) -> str:
        """What tells it from others of the feature."""
        return f"{'upper' if self.upper else 'lower'} of {self.edges}"

    @property
    def name(self) -> str:
        """Name in messages, as `age to the upper edge`."""
        return f"{self.feature.name} to the {'upper' if self.upper else 'lower'} edge"

    def __str__(self) -> str:
        return f"'{self.feature.name}' was moved to an end of its interval"


Perturbation = Shuffle | Conditional | Reorder | SetTo | ToEdge


def disturb(
    perturbation: Perturbation, held: HeldRows, block: Mapping[str, np.ndarray], drawn: np.ndarray | None
) -> tuple[Change, np.ndarray]:
    """Apply a perturbation to a block of rows.

    Parameters
    ----------
    perturbation : Shuffle, Reorder, SetTo or ToEdge
    held : HeldRows
        Rows that exchange values.
    block : mapping of str to ndarray of shape (n_rows, ...)
        The rows as they are. Not modified.
    drawn : ndarray, int, or None
        For a shuffle the position in `held` of each row's donor, of shape (n_rows,); for another order each row's
        steps, of shape (n_rows, n_steps).

    Returns
    -------
    change : Change
        What the feature's slots hold instead.
    moved : ndarray of shape (n_rows,), bool
        Rows in which the feature holds another value than before.
    """
    slots = perturbation.feature.slots
    before = _held(perturbation.feature, block)
    if isinstance(perturbation, Shuffle):
        after = [held.take(slot, np.asarray(drawn)) for slot in slots]
    elif isinstance(perturbation, Reorder):
        after = [np.take_along_axis(old, np.asarray(drawn), axis=1) for old in before]
    elif isinstance(perturbation, ToEdge):
        edges = np.array(perturbation.edges)
        after = [at_edge(perturbation.feature, old, edges, perturbation.upper) for old in before]
    else:
        after = [_filled(old, perturbation.value) for old in before]
    moved = _moved(before, after)
    return Change(slots, tuple(after), drawn if isinstance(perturbation, Shuffle) else None), moved


def held_by_others(
    feature: Feature, values: Sequence[np.ndarray], block: Mapping[str, np.ndarray]
) -> tuple[Change, np.ndarray]:
    """Give a block of rows values of a feature that rows outside of it hold.

    Parameters
    ----------
    feature : Feature
    values : sequence of ndarray of shape (n_rows, ...)
        For each of its slots.
    block : mapping of str to ndarray of shape (n_rows, ...)
        The rows as they are. Not modified.

    Returns
    -------
    change, moved
        As for `disturb`.
    """
    return Change(feature.slots, tuple(values)), _moved(_held(feature, block), values)


def _held(feature: Feature, block: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return what a feature's slots hold in a block of rows."""
    return [block[slot.input][in_all_rows(slot.index)] for slot in feature.slots]


def _moved(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> np.ndarray:
    """Tell which rows hold another value than before in any slot, of shape (n_rows,), bool."""
    moved = np.zeros(len(before[0]), dtype=bool)
    for old, new in zip(before, after, strict=True):
        moved |= _differ(old, new).reshape(len(old), -1).any(axis=1)
    return moved


def _filled(before: np.ndarray, value: Value) -> np.ndarray:
    """Return an array like `before` that holds one value, as text where that holds text."""
    return np.full(before.shape, value_name(value) if before.dtype.kind == "O" else value, dtype=before.dtype)


def _differ(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Tell where values differ; a missing value is the same as another missing one."""
    differ = old != new
    return differ & ((old == old) | (new == new)) if old.dtype.kind in "fO" else differ  # noqa: PLR0124 - not NaN
