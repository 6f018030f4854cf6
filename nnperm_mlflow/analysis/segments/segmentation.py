"""Which row lies in which segment: the values of a column, or the bins of a number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.perturbation.value_names import value_name
from nnperm_mlflow.basics.errors import ConfigError, DataError, did_you_mean, name_list
from nnperm_mlflow.basics.problems import Problems

MOST_SEGMENTS = 50
"""Values of a column beyond which it is no way to part the rows."""

_MISSING = "missing"


@dataclass(frozen=True)
class Segmentation:
    """The segments of one column.

    Attributes
    ----------
    column : str
    names : tuple of str
        Of its segments, as `SEX=2`, `AGE 30-45`, `SEX=missing`; those without a row are not among them.
    numbers : ndarray of shape (n_rows,), int64
        For each row the number of its segment.
    """

    column: str
    names: tuple[str, ...]
    numbers: np.ndarray


def check_segments(
    asked: Mapping[str, Sequence[float] | None], columns: Mapping[str, np.ndarray], problems: Problems
) -> None:
    """Look for columns that cannot part the rows into segments.

    Parameters
    ----------
    asked : mapping of str to sequence of float, or None
        Columns, with the edges of bins where these part the rows.
    columns : mapping of str to ndarray of shape (n_rows,)
        The static table.
    problems : Problems
        Takes in what is found.
    """
    for name, edges in asked.items():
        if name not in columns:
            problems.add(_no_column(name, columns))
        elif edges is not None and columns[name].dtype.kind not in "iuf":
            told = f"analysis: segments: '{name}' is no number, and has no bins."
            problems.add(ConfigError(f"{told} Name it alone: its values are segments."))
        elif edges is None and (n_values := len(pd.unique(columns[name]))) > MOST_SEGMENTS:
            told = f"analysis: segments: '{name}' holds {n_values:,} values, and a column may have {MOST_SEGMENTS}."
            problems.add(ConfigError(f"{told} Give edges of bins, as {{{name}: [30, 45, 60]}}, or a column of bands."))


def _no_column(name: str, columns: Collection[str]) -> DataError:
    if not columns:
        told = f"analysis: segments: '{name}' is a column of a static table, and these rows have none."
        return DataError(f"{told} Give a table of columns with the arrays, or leave segments out.")
    told = f"analysis: segments names the column '{name}', which the static table does not have. It has "
    return DataError(f"{told}{name_list(columns)}.{did_you_mean(name, columns)}")


def part_rows(
    asked: Mapping[str, Sequence[float] | None], columns: Mapping[str, np.ndarray]
) -> tuple[Segmentation, ...]:
    """Part the rows by each column; see `check_segments`.

    >>> (parts,) = part_rows({"AGE": [30, 45]}, {"AGE": np.array([30.0, 7.0, np.nan, 44.0])})
    >>> parts.names, parts.numbers.tolist()
    (('AGE <30', 'AGE 30-45', 'AGE=missing'), [1, 0, 2, 1])
    """
    return tuple(
        _by_values(name, columns[name]) if edges is None else _by_edges(name, columns[name], edges)
        for name, edges in asked.items()
    )


def _by_values(column: str, values: np.ndarray) -> Segmentation:
    """Return a segment for each value, in their order; what is missing is the last one."""
    numbers, found = pd.factorize(values, sort=True)
    names = [f"{column}={value_name(value)}" for value in found.tolist()]
    return _named(column, [*names, f"{column}={_MISSING}"], np.where(numbers < 0, len(names), numbers))


def _by_edges(column: str, values: np.ndarray, edges: Sequence[float]) -> Segmentation:
    """Return a segment for each bin; a bin holds its lower edge."""
    told = [value_name(float(edge)) for edge in edges]
    between = [f"{column} {low}-{high}" for low, high in pairwise(told)]
    names = [f"{column} <{told[0]}", *between, f"{column} >={told[-1]}", f"{column}={_MISSING}"]
    numbers = np.searchsorted(edges, values, side="right")
    return _named(column, names, np.where(np.isnan(values), len(edges) + 1, numbers))


def _named(column: str, names: Sequence[str], numbers: np.ndarray) -> Segmentation:
    """Leave out segments without a row."""
    found, numbers = np.unique(numbers, return_inverse=True)
    return Segmentation(column, tuple(names[number] for number in found), numbers.astype(np.int64))
