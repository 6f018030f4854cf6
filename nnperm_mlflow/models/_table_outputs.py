"""What a model behind pyfunc returned, whatever form it has: numbers, in columns that may have names."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import PredictionError, name_list
from nnperm_mlflow.models.output_numbers import are_probabilities, as_columns

logger = logging.getLogger(__name__)

Columns = list[tuple[str, np.ndarray]]
"""Outputs of shape (n_rows,), each with its name."""


def named_columns(predicted: Any, n_rows: int) -> Columns | None:  # noqa: ANN401 - whatever pyfunc lets a model return
    """Take apart what a model returned by name.

    Parameters
    ----------
    predicted : object
        Outputs are the columns of a DataFrame or the values of a mapping. One of several numbers a row becomes as many,
        called `<output>_<position>`; one that tells a number by class for each row, as converters from scikit-learn
        have it, becomes `<output>_<class>`.
    n_rows : int
        Rows that the model was given.

    Returns
    -------
    list of (str, ndarray of shape (n_rows,)), or None
        None where outputs have no names.

    Raises
    ------
    PredictionError
        If there is not one prediction a row.
    """
    parts: list[tuple[str, Any]]
    if isinstance(predicted, pd.DataFrame):
        parts = [(str(name), predicted.iloc[:, place]) for place, name in enumerate(predicted.columns)]
    elif isinstance(predicted, Mapping):
        parts = [(str(name), part) for name, part in predicted.items()]
    elif isinstance(predicted, list) and predicted and all(isinstance(row, Mapping) for row in predicted):
        parts = [("", predicted)]
    else:
        return None
    return [column for name, part in parts for column in _columns_of(name, part, n_rows)]


def _columns_of(name: str, part: Any, n_rows: int) -> Iterator[tuple[str, np.ndarray]]:  # noqa: ANN401
    cells = list(part) if isinstance(part, (list, pd.Series)) else []
    if cells and all(isinstance(cell, Mapping) for cell in cells):
        _check_rows(cells, n_rows)
        for label in dict.fromkeys(label for cell in cells for label in cell):
            yield "_".join(filter(None, [name, str(label)])), np.array([cell.get(label, np.nan) for cell in cells])
        return
    array = np.array(cells) if cells and isinstance(cells[0], (list, np.ndarray)) else np.asarray(part)
    _check_rows(array, n_rows)
    if array.ndim == 1:
        yield name, array
        return
    flat = array.reshape(n_rows, -1)
    for position in range(flat.shape[1]):
        yield name if flat.shape[1] == 1 else f"{name}_{position}", flat[:, position]


def _check_rows(part: Any, n_rows: int) -> None:  # noqa: ANN401
    if np.ndim(part) == 0 or len(part) != n_rows:
        raise PredictionError(f"the model was given {n_rows} rows and returned an array of shape {np.shape(part)}.")


def places_to_follow(columns: Columns) -> tuple[int, ...]:
    """Return the places of what can be followed: probabilities where there are some, else all numbers.

    What stands beside probabilities is the class that follows from them, as a number or as text.
    """
    floats = tuple(place for place, (_, column) in enumerate(columns) if column.dtype.kind == "f")
    kept = tuple(place for place, (_, column) in enumerate(columns) if column.dtype.kind in "fiub")
    if len(floats) > 1 and are_probabilities(np.column_stack([columns[place][1] for place in floats])):
        kept = floats
    dropped = [name for place, (name, _) in enumerate(columns) if place not in kept]
    if kept and dropped:
        logger.info("of the model's outputs %s is left out: no number that can be followed", name_list(dropped))
    return kept or tuple(range(len(columns)))


def joined(columns: Columns, places: tuple[int, ...] | None, n_rows: int) -> np.ndarray:
    """Return columns at some places, or all that are numbers, side by side: shape (n_rows, n_outputs)."""
    if places is None:
        numbers = [column for _, column in columns if column.dtype.kind in "fiub"]
        return as_columns(numbers or [column for _, column in columns], n_rows)
    if places and max(places) >= len(columns):
        raise PredictionError(f"the model returned {len(columns)} outputs, and more of other rows.")
    return as_columns([columns[place][1] for place in places], n_rows)
