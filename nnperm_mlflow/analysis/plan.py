"""What an audit does: every feature shuffled, alone, by windows and in groups, and some set to values."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.perturbations import Perturbation, Reorder, SetTo, Shuffle, value_name
from nnperm_mlflow.config import ALL, AnalysisConfig, Scalar
from nnperm_mlflow.errors import ConfigError, DataError, UnknownFeatureError, did_you_mean, name_list
from nnperm_mlflow.inputs.binding import BoundInputs
from nnperm_mlflow.inputs.slots import Feature, RowSource, count_steps, read_slot, window_of

logger = logging.getLogger(__name__)

MOST_RARE_VALUES = 20
"""Rare values that a feature is set to by itself; the most frequent of them, where there are more."""

MOST_VALUES = 200
"""Values that a feature may hold where it is to be set to all of them."""

_CHUNK_ROWS = 1 << 18  # rows of a column looked at in one go when values are counted

Groups = Mapping[str, Sequence[str]]
"""For the name of each group its features."""


def plan_perturbations(
    inputs: BoundInputs, model: str, analysis: AnalysisConfig, groups: Groups | None = None
) -> list[Perturbation]:
    """List what an audit does.

    Parameters
    ----------
    inputs : BoundInputs
    model : str
        For messages.
    analysis : AnalysisConfig
    groups : mapping of str to sequence of str, optional
        Features to shuffle together; by default those of `analysis`.

    Returns
    -------
    list of Shuffle, Reorder or SetTo
        In the order of the model's inputs, a channel followed by its windows and its order; names are unique.

    Raises
    ------
    UnknownFeatureError
        If a feature is named that the model does not have.
    ConfigError
        If nothing is left to disturb, two perturbations would have one name, or a window lies outside its series.
    """
    if groups is None:
        groups = analysis.groups if isinstance(analysis.groups, dict) else {}
    windows = {
        name: [] if name in analysis.exclude else _windows(feature, inputs, analysis)
        for name, feature in inputs.features.items()
    }
    known = {**inputs.features, **{window.name: window for each in windows.values() for window in each}}
    _check_names(analysis, groups, inputs.features, known, model)
    _check_wishes(analysis, groups, known)
    perturbations: list[Perturbation] = []
    for name, feature in inputs.features.items():
        if name not in analysis.exclude:
            perturbations.append(Shuffle(feature))
            perturbations.extend(SetTo(feature, value) for value in _values_to_set(feature, inputs, analysis))
            for window in windows[name]:
                if window.name not in analysis.exclude:
                    perturbations.append(Shuffle(window))
                    perturbations.extend(SetTo(window, value) for value in _values_to_set(window, inputs, analysis))
            if feature.kind == "series" and _is_named(name, analysis.order):
                perturbations.append(Reorder(feature))
    for name, members in groups.items():
        slots = tuple(slot for member in members for slot in known[member].slots)
        perturbations.append(Shuffle(Feature(name, slots, "group", tuple(members))))
    _check_plan(perturbations, model)
    return perturbations


def distinct_values(feature: Feature, inputs: BoundInputs, most: int | None = None) -> dict[Scalar, int] | None:
    """Count the values of a static feature; missing ones are none of them.

    Parameters
    ----------
    feature : Feature
    inputs : BoundInputs
    most : int, optional
        Give up, and return None, where there are more.

    Returns
    -------
    dict of value to int, or None
    """
    counts: dict[Any, int] = {}
    for start in range(0, inputs.n_rows, _CHUNK_ROWS):
        rows = np.arange(start, min(start + _CHUNK_ROWS, inputs.n_rows))
        held = read_slot(inputs.sources, feature.slots[0], rows).ravel()
        values, found = np.unique(held[~pd.isna(held)], return_counts=True)
        for value, count in zip(values, found.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
        if most is not None and len(counts) > most:
            return None
    return {shortest(value): count for value, count in counts.items()}


def _windows(feature: Feature, inputs: BoundInputs, analysis: AnalysisConfig) -> list[Feature]:
    """Cut a series into windows, as asked for."""
    asked = analysis.windows
    if feature.kind != "series" or not asked:
        return []
    n_steps = count_steps(inputs.sources, feature)
    if isinstance(asked, int):
        if asked > n_steps:
            raise ConfigError(f"analysis: windows: '{feature.name}' has {n_steps} steps, too few for {asked} windows.")
        edges = [number * n_steps // asked for number in range(asked + 1)]
        ranges = [(first + 1, last) for first, last in pairwise(edges)]
        labels = [f"step {first}" if first == last else f"steps {first} to {last}" for first, last in ranges]
        return [window_of(feature, label, *steps) for label, steps in zip(labels, ranges, strict=True)]
    for label, (first, last) in asked.items():
        if last > n_steps:
            raise ConfigError(
                f"analysis: windows: '{label}' is steps {first} to {last}, but '{feature.name}' has {n_steps} steps."
            )
    return [window_of(feature, label, *steps) for label, steps in asked.items()]


def _values_to_set(feature: Feature, inputs: BoundInputs, analysis: AnalysisConfig) -> list[Scalar]:
    """Return the values asked for and the rare ones of a binary or categorical feature, each once."""
    asked = analysis.set.get(feature.name, [])
    if asked == ALL:
        return _all_values(feature, inputs)
    values = [_as_held(value, feature, inputs.sources) for value in asked]
    return list(dict.fromkeys([*values, *_rare_values(feature, inputs, analysis.rare_below)]))


def _all_values(feature: Feature, inputs: BoundInputs) -> list[Scalar]:
    counts = None
    if feature.kind in ("number", "category"):
        counts = distinct_values(feature, inputs, MOST_VALUES)
    if counts is None:
        is_static = feature.kind in ("number", "category")
        what = f"holds more than {MOST_VALUES} values" if is_static else "is no static feature"
        raise ConfigError(f"analysis: set: '{feature.name}' {what} and cannot be set to all of them; name some.")
    return sorted(counts, key=lambda value: (isinstance(value, str), value))


def _rare_values(feature: Feature, inputs: BoundInputs, rare_below: float) -> list[Scalar]:
    """Return the rare values of a binary or categorical feature, most frequent first."""
    if feature.kind not in ("number", "category") or rare_below == 0:
        return []
    counts = distinct_values(feature, inputs, 2 if feature.kind == "number" else None)
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


def _can_hold(dtype: np.dtype, value: Scalar) -> bool:
    """Tell whether a dtype holds a number, up to the rounding of floating point."""
    if isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value)):
        return False
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return abs(value) <= np.finfo(dtype).max
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return value == int(value) and bool(low <= value <= high)


def shortest(value: Any) -> Scalar:  # noqa: ANN401 - a numpy scalar, or a string
    """Return a value as Python writes it: 0.1 for the float32 nearest to it, and not 0.10000000149011612."""
    return float(str(value)) if isinstance(value, np.floating) else getattr(value, "item", lambda: value)()


def _is_named(name: str, asked: bool | Sequence[str]) -> bool:
    return asked if isinstance(asked, bool) else name in asked


def _check_names(
    analysis: AnalysisConfig,
    groups: Groups,
    own: Mapping[str, Feature],
    known: Mapping[str, Feature],
    model: str,
) -> None:
    """Refuse names of features that there are not; windows are features where that makes sense."""
    named: list[tuple[str, Iterable[str], Mapping[str, Feature]]] = [
        ("set", analysis.set, known),
        ("exclude", analysis.exclude, known),
        ("profile", analysis.profile, own),
        *((f"groups: {name}", members, known) for name, members in groups.items()),
    ]
    if not isinstance(analysis.order, bool):
        series = {name: feature for name, feature in own.items() if feature.kind == "series"}
        named.append(("order", analysis.order, series))
    for where, names, among in named:
        for name in names:
            if name not in among:
                what = "series" if where == "order" else "feature"
                raise UnknownFeatureError(
                    f"analysis: {where}: '{name}' is not a {what} of {model}, which has {name_list(among)}."
                    f"{did_you_mean(name, among)}"
                )


def _check_wishes(analysis: AnalysisConfig, groups: Groups, known: Mapping[str, Feature]) -> None:
    """Refuse to leave a feature alone and to disturb it, and to join a series with a part of it."""
    asked = [
        ("set", analysis.set),
        ("profile", analysis.profile),
        *((f"groups: {name}", groups[name]) for name in groups),
    ]
    if not isinstance(analysis.order, bool):
        asked.append(("order", analysis.order))
    for where, names in asked:
        for name in names:
            if name in analysis.exclude:
                raise ConfigError(
                    f"analysis: '{name}' is both excluded and under '{where}'; take it out of one of the two."
                )
    for group, members in groups.items():
        for name in members:
            channel = known[name].members[0] if known[name].kind == "window" else ""
            if channel in members:
                raise ConfigError(
                    f"analysis: groups: {group}: '{name}' is a part of '{channel}', which is in the group as well; "
                    "take one of the two out."
                )


def _check_plan(perturbations: list[Perturbation], model: str) -> None:
    if not perturbations:
        raise ConfigError(f"every feature of {model} is excluded; leave at least one to audit.")
    names = [perturbation.name for perturbation in perturbations]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"two perturbations would both be called {name_list(twice)}: a group, a window or a column is named as "
            "another feature or as a feature set to a value. Rename it."
        )
