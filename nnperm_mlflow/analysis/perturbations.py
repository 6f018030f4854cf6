"""What is done to the data: every feature shuffled, some set to a value, and the names of all that."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnperm_mlflow.config import AnalysisConfig, Scalar
from nnperm_mlflow.errors import ConfigError, DataError, UnknownFeatureError, did_you_mean, name_list
from nnperm_mlflow.inputs.binding import BoundInputs
from nnperm_mlflow.inputs.held import HeldRows
from nnperm_mlflow.inputs.slots import Change, Feature, RowSource, Slot, in_all_rows, read_slot

logger = logging.getLogger(__name__)

MOST_RARE_VALUES = 20
"""Rare values that a feature is set to by itself; the most frequent of them, where there are more."""

_CHUNK_ROWS = 1 << 18  # rows of a column looked at in one go when values are counted


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

    def __str__(self) -> str:
        return f"'{self.name}' was shuffled"


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
    value: Scalar
    way = "set"

    @property
    def name(self) -> str:
        """Name in tables and pictures, as `cheater=1`."""
        return f"{self.feature.name}={value_name(self.value)}"

    def __str__(self) -> str:
        return f"'{self.feature.name}' was set to {value_name(self.value)}"


Perturbation = Shuffle | SetTo


def plan_perturbations(inputs: BoundInputs, model: str, analysis: AnalysisConfig) -> list[Perturbation]:
    """List what an audit does: a shuffle of every feature and group, and the values to set.

    Parameters
    ----------
    inputs : BoundInputs
    model : str
        For messages.
    analysis : AnalysisConfig

    Returns
    -------
    list of Shuffle or SetTo
        In the order of the model's inputs; names are unique.

    Raises
    ------
    UnknownFeatureError
        If `set`, `groups` or `exclude` name something else than a feature.
    ConfigError
        If nothing is left to disturb, or two perturbations would have one name.
    """
    features = inputs.features
    for where, names in (("set", analysis.set), ("exclude", analysis.exclude), *_group_members(analysis)):
        _check_known(names, features, model, f"analysis: {where}")
    audited = [feature for name, feature in features.items() if name not in analysis.exclude]
    perturbations: list[Perturbation] = []
    for feature in audited:
        perturbations.append(Shuffle(feature))
        asked = [_as_held(value, feature, inputs.sources) for value in analysis.set.get(feature.name, [])]
        values = dict.fromkeys([*asked, *_rare_values(feature, inputs, analysis.rare_below)])
        perturbations.extend(SetTo(feature, value) for value in values)
    for name, members in analysis.groups.items():
        slots = tuple(slot for member in members for slot in features[member].slots)
        perturbations.append(Shuffle(Feature(name, slots, "group")))
    _check_plan(perturbations, analysis, model)
    return perturbations


def disturb(
    perturbation: Perturbation, held: HeldRows, block: Mapping[str, np.ndarray], donors: np.ndarray | None
) -> tuple[Change, np.ndarray]:
    """Apply a perturbation to a block of rows.

    Parameters
    ----------
    perturbation : Shuffle or SetTo
    held : HeldRows
        Rows that exchange values.
    block : mapping of str to ndarray of shape (n_rows, ...)
        The rows as they are. Not modified.
    donors : ndarray of shape (n_rows,), int, or None
        For a shuffle the position in `held` of each row's donor.

    Returns
    -------
    change : Change
        What the feature's slots hold instead.
    moved : ndarray of shape (n_rows,), bool
        Rows in which the feature holds another value than before.
    """
    slots = perturbation.feature.slots
    before = [block[slot.input][in_all_rows(slot.index)] for slot in slots]
    if isinstance(perturbation, Shuffle):
        after = [held.take(slot, np.asarray(donors)) for slot in slots]
    else:
        after = [_filled(old, perturbation.value) for old in before]
    moved = np.zeros(len(before[0]), dtype=bool)
    for old, new in zip(before, after, strict=True):
        moved |= (old != new).reshape(len(old), -1).any(axis=1)
    return Change(slots, tuple(after), donors), moved


def value_name(value: Scalar) -> str:
    """Return a value as it stands in names: `1` for 1.0, `0.5`, `yes`.

    >>> value_name(1.0), value_name(0.5), value_name("yes"), value_name(True)
    ('1', '0.5', 'yes', 'True')
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _as_held(value: Scalar, feature: Feature, sources: Mapping[str, RowSource]) -> Scalar:
    """Return a value as text where all of the feature's inputs hold text, or refuse one that an input cannot hold."""
    for slot in feature.slots:
        dtype = sources[slot.input].dtype
        if dtype.kind != "O" and not _can_hold(dtype, value):
            raise DataError(
                f"analysis: set: '{feature.name}' cannot be set to '{value}': the model's input '{slot.input}' "
                f"holds {dtype}."
            )
    is_text = all(sources[slot.input].dtype.kind == "O" for slot in feature.slots)
    return value_name(value) if is_text else value


def _filled(before: np.ndarray, value: Scalar) -> np.ndarray:
    """Return an array like `before` that holds one value, as text where that holds text."""
    return np.full(before.shape, value_name(value) if before.dtype.kind == "O" else value, dtype=before.dtype)


def _can_hold(dtype: np.dtype, value: Scalar) -> bool:
    """Tell whether a dtype holds a number, up to the rounding of floating point."""
    if isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value)):
        return False
    if dtype.kind == "f":
        return abs(value) <= np.finfo(dtype).max
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return value == int(value) and bool(low <= value <= high)


def _group_members(analysis: AnalysisConfig) -> Iterable[tuple[str, list[str]]]:
    return ((f"groups: {name}", members) for name, members in analysis.groups.items())


def _check_known(names: Iterable[str], features: Mapping[str, Feature], model: str, where: str) -> None:
    for name in names:
        if name not in features:
            raise UnknownFeatureError(
                f"{where}: '{name}' is not a feature of {model}, which has {name_list(features)}."
                f"{did_you_mean(name, features)}"
            )


def _check_plan(perturbations: list[Perturbation], analysis: AnalysisConfig, model: str) -> None:
    if not perturbations:
        raise ConfigError(f"every feature of {model} is excluded; leave at least one to audit.")
    for name in analysis.set:
        if name in analysis.exclude:
            raise ConfigError(f"'{name}' is both excluded and to be set; take it out of one of the two.")
    names = [perturbation.name for perturbation in perturbations]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"two perturbations would both be called {name_list(twice)}: a group or a column is named as another "
            "feature or as a feature set to a value. Rename it."
        )


def _rare_values(feature: Feature, inputs: BoundInputs, rare_below: float) -> list[Scalar]:
    """Return the rare values of a binary or categorical feature, most frequent first."""
    if feature.kind not in ("number", "category") or rare_below == 0:
        return []
    counts = _value_counts(feature, inputs)
    if counts is None or len(counts) < 2:
        return []
    rare = [value for value, count in counts.items() if count / inputs.n_rows < rare_below]
    rare.sort(key=lambda value: (-counts[value], str(value)))
    if len(rare) > MOST_RARE_VALUES:
        logger.warning(
            "'%s' has %d rare values; it is set to the %d most frequent of them. Name others under 'analysis: set:'.",
            feature.name,
            len(rare),
            MOST_RARE_VALUES,
        )
    return rare[:MOST_RARE_VALUES]


def _value_counts(feature: Feature, inputs: BoundInputs) -> dict[Scalar, int] | None:
    """Count the values of a feature; None for a number with more than two."""
    slot: Slot = feature.slots[0]
    counts: dict[Any, int] = {}
    for start in range(0, inputs.n_rows, _CHUNK_ROWS):
        rows = np.arange(start, min(start + _CHUNK_ROWS, inputs.n_rows))
        values, found = np.unique(read_slot(inputs.sources, slot, rows), return_counts=True)
        for value, count in zip(values, found.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
        if feature.kind == "number" and len(counts) > 2:
            return None
    return {_shortest(value): count for value, count in counts.items()}


def _shortest(value: Any) -> Scalar:  # noqa: ANN401 - a numpy scalar, or a string
    """Return a value as Python writes it: 0.1 for the float32 nearest to it, and not 0.10000000149011612."""
    return float(str(value)) if isinstance(value, np.floating) else getattr(value, "item", lambda: value)()
