"""Which values a feature holds, and to which of them it is set."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.perturbation.value_names import Value, value_name
from nnperm_mlflow.basics.errors import ConfigError, DataError
from nnperm_mlflow.config.audit_config import ALL, AnalysisConfig
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.domains import strange_to
from nnperm_mlflow.inputs.slots import Feature, read_slot

logger = logging.getLogger(__name__)

MOST_RARE_VALUES = 20
"""Rare values that a feature is set to by itself; the most frequent of them, where there are more."""

MOST_VALUES = 200
"""Values that a feature may hold where it is to be set to all of them."""

_CHUNK_ROWS = 1 << 18  # rows of a column looked at in one go when values are counted,
_FIRST_ROWS = 1 << 12  # and before all others where these may show that there are too many


def distinct_values(feature: Feature, inputs: BoundInputs, most: int | None = None) -> dict[Value, int] | None:
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
    if inputs.counts is not None:
        return _of_all(feature.name, inputs.counts[feature.name], most)
    if most is not None and len(_counted(feature, inputs, slice(0, _FIRST_ROWS))[0]) > most:
        return None
    counts: dict[Any, int] = {}
    for start in range(0, inputs.n_rows, _CHUNK_ROWS):
        values, found = _counted(feature, inputs, slice(start, start + _CHUNK_ROWS))
        if most is not None and len(values) > most:
            return None
        for value, count in zip(values, found.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
        if most is not None and len(counts) > most:
            return None
    return {shortest(value): count for value, count in counts.items()}


def _of_all(name: str, counts: Mapping[Any, int] | None, most: int | None) -> dict[Value, int] | None:
    """Return the counts of a feature that were made of all rows, as far as so many values are asked for."""
    if counts is not None:
        return None if most is not None and len(counts) > most else {shortest(value): n for value, n in counts.items()}
    if most is None:
        raise DataError(
            f"'{name}' has too many values to count them all on a cluster. Leave its rare values alone (analysis: "
            "{rare_below: 0}), call it a number (analysis: kinds), or leave it out (analysis: exclude)."
        )
    return None


def _counted(feature: Feature, inputs: BoundInputs, part: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a static feature in some rows, and how often each is there."""
    held = read_slot(inputs.sources, feature.slots[0], np.arange(part.start, min(part.stop, inputs.n_rows))).ravel()
    return np.unique(held[~pd.isna(held)], return_counts=True)


def shortest(value: Any) -> Value:  # noqa: ANN401 - a numpy scalar, or a string
    """Return a value as Python writes it: 0.1 for the float32 nearest to it, and not 0.10000000149011612."""
    return float(str(value)) if isinstance(value, np.floating) else getattr(value, "item", lambda: value)()


def values_to_set(feature: Feature, inputs: BoundInputs, analysis: AnalysisConfig) -> list[Value]:
    """Return the values asked for and the rare ones of a binary or categorical feature, each once.

    Parameters
    ----------
    feature : Feature
    inputs : BoundInputs
    analysis : AnalysisConfig

    Raises
    ------
    ConfigError
        If all values of a series, a window or a group are asked for, or of a feature that has more than `MOST_VALUES`.
    DataError
        If an input cannot hold a value.
    """
    asked = analysis.set.get(feature.name, [])
    if asked == ALL:
        return _all_values(feature, inputs)
    values = [_as_held(value, feature, inputs) for value in asked]
    return list(dict.fromkeys([*values, *_rare_values(feature, inputs, analysis.rare_below)]))


def _all_values(feature: Feature, inputs: BoundInputs) -> list[Value]:
    counts = None
    if feature.kind in ("number", "category"):
        counts = distinct_values(feature, inputs, MOST_VALUES)
    if counts is None:
        is_static = feature.kind in ("number", "category")
        what = f"holds more than {MOST_VALUES} values" if is_static else "is no static feature"
        raise ConfigError(f"analysis: set: '{feature.name}' {what} and cannot be set to all of them; name some.")
    return sorted(counts, key=lambda value: (isinstance(value, str), value))


def _rare_values(feature: Feature, inputs: BoundInputs, rare_below: float) -> list[Value]:
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


def _as_held(value: Value, feature: Feature, inputs: BoundInputs) -> Value:
    """Return a value as text where all of the feature's inputs hold text, or refuse one that an input cannot hold."""
    sources = inputs.sources
    for slot in feature.slots:
        dtype = sources[slot.input].dtype
        if dtype.kind != "O" and not _can_hold(dtype, value):
            raise DataError(
                f"analysis: set: '{feature.name}' cannot be set to '{value}': the model's input '{slot.input}' "
                f"holds {dtype}."
            )
    is_text = all(sources[slot.input].dtype.kind == "O" for slot in feature.slots)
    held = value_name(value) if is_text else value
    if unknown := strange_to(inputs, feature, held):
        logger.warning(
            "'%s' is set to '%s', which %s does not know: the network takes it for any other unknown value, or fails",
            feature.name, value_name(value), unknown[0],
        )  # fmt: skip
    return held


def _can_hold(dtype: np.dtype, value: Value) -> bool:
    """Tell whether a dtype holds a number, up to the rounding of floating point."""
    if isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value)):
        return False
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return abs(value) <= np.finfo(dtype).max
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return value == int(value) and bool(low <= value <= high)
