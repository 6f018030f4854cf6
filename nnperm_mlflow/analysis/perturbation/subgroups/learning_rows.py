"""Rows that are learned from: what describes each feature on them, and how far features go together there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from nnperm_mlflow.analysis.perturbation.subgroups.binned_tree import bins_of
from nnperm_mlflow.analysis.perturbation.subgroups.columns import (
    MISSING,
    Column,
    ColumnReader,
    Described,
    columns_of,
    ordinal_of,
)
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.slots import Feature

DIGITS = 6
"""To which associations are compared, so that no order hangs on the last bit of a product."""

_STRETCH = 1.5  # power of normal deviates: few rows lie far out, and are to be told apart as finely as the others
_ROUNDING = 1e-9  # spread of what has two values of one size, whose square varies by no more
_AT_ONCE = 16  # features whose associations with all others are found in one product


class LearningRows:
    """Learning rows of one half, with what is asked of them more than once.

    Features of the model are described at once, and what is found of one or of two columns is kept, since most features
    are told apart by the same others.

    Parameters
    ----------
    inputs : BoundInputs
        All rows.
    rows : ndarray of shape (n_rows,), int64
        Positions of those that are learned from.

    Attributes
    ----------
    reader : ColumnReader
    columns : dict of str to list of Column
        What describes each feature.
    scores : dict of str to ndarray of shape (n_rows, n_columns)
        These columns as normal deviates of ranks, all of a feature with the variance 1 together.
    """

    def __init__(self, inputs: BoundInputs, rows: np.ndarray) -> None:
        self.reader = ColumnReader(inputs.sources, rows)
        self.columns: dict[str, list[Column]] = {}
        self.scores: dict[str, np.ndarray] = {}
        self._wide: dict[str, np.ndarray] = {}
        self._standardized: dict[str, tuple[np.ndarray, float]] = {}
        self._covariances: dict[tuple[str, str], float] = {}
        self._bins: dict[str, np.ndarray] = {}
        self._associations: dict[str, dict[str, float]] = {}
        for feature in inputs.features.values():
            self.describe(feature)
        self._compared = [name for name, wide in self._wide.items() if wide.size]
        self._join()

    def describe(self, feature: Feature) -> None:
        """Find the columns that describe a feature, and what they hold."""
        if feature.name not in self.columns:
            self.columns[feature.name] = columns_of(feature, self.reader)
            self.scores[feature.name] = self._scores([self.reader.read(each) for each in self.columns[feature.name]])
            self._wide[feature.name] = _with_squares(self.scores[feature.name])

    def ordinal_of(self, feature: Feature) -> list[Column]:
        """Return the value itself of a category that is a number, see `columns.ordinal_of`."""
        return ordinal_of(feature, self.reader)

    def numbers_of(self, feature: Feature) -> list[Column]:
        """Return the columns that describe a feature, and behind them the value of a category that is a number."""
        return [*self.columns[feature.name], *self.ordinal_of(feature)]

    def width(self, features: Sequence[Feature]) -> int:
        """Return how many columns and squares of columns describe some features."""
        return sum(self._wide[feature.name].shape[1] for feature in features)

    def association(self, one: Feature, other: Feature) -> float:
        """Return the largest correlation, in size, of what describes two features, or of its squares."""
        if one.name not in self._associations:
            self._associate(one.name)
        found = self._associations[one.name]
        if other.name not in found:
            found[other.name] = _largest(self._wide[one.name], self._wide[other.name])
        return found[other.name]

    def standardized(self, column: Column) -> tuple[np.ndarray, float]:
        """Return a column with mean 0 and variance 1, what is missing at the mean, and what it was divided by."""
        if column.key not in self._standardized:
            self._standardized[column.key] = _standardized(self.reader.read(column))
        return self._standardized[column.key]

    def bins_of(self, column: Described) -> np.ndarray:
        """Return in which bin of a column each row lies, see `binned_tree.bins_of`."""
        if column.key not in self._bins:
            self._bins[column.key] = bins_of(self.reader.read(column))
        return self._bins[column.key]

    def covariance(self, one: Column, other: Column) -> float:
        """Return that of two columns once standardized."""
        pair = (one.key, other.key) if one.key <= other.key else (other.key, one.key)
        if pair not in self._covariances:
            product = self.standardized(one)[0] * self.standardized(other)[0]
            self._covariances[pair] = float(np.mean(product))
        return self._covariances[pair]

    def _scores(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Return columns of shape (n_rows, n_columns) that all count for as much, 1 in all: normal deviates of ranks.

        What has two values stays so, and what has one is 0.
        """
        scores = []
        for each in values:
            deviates = ndtri((rankdata(each) - 0.5) / len(each))
            off = np.sign(deviates) * np.abs(deviates) ** _STRETCH
            off -= off.mean()
            spread = off.std()
            scores.append(off / spread if spread > 0 else np.zeros(len(each)))
        return np.stack(scores, axis=1) / np.sqrt(len(scores)) if scores else np.empty((len(self.reader.rows), 0))

    def _join(self) -> None:
        """Lay what describes the model's features side by side, so that one product compares with all of them."""
        widths = [self._wide[name].shape[1] for name in self._compared]
        ends = np.cumsum(widths, dtype=np.int64)
        self._first = ends - widths
        self._every = np.concatenate([self._wide[name] for name in self._compared] or [np.empty((0, 0))], axis=1)
        for name, first, end in zip(self._compared, self._first, ends, strict=True):
            self._wide[name] = self._every[:, first:end]

    def _associate(self, name: str) -> None:
        """Find the associations of a feature, and of some behind it, with all of the model's."""
        if not self._compared or not self._wide[name].size:
            self._associations[name] = {}
            return
        start = self._compared.index(name) if name in self._compared else len(self._compared)
        several = self._compared[start : start + _AT_ONCE] or [name]
        own = np.concatenate([self._wide[each] for each in several], axis=1)
        sizes = np.maximum.reduceat(np.abs(own.T @ self._every), self._first, axis=1)
        widths = [self._wide[each].shape[1] for each in several]
        largest = np.maximum.reduceat(sizes, np.cumsum([0, *widths[:-1]]), axis=0) / len(own)
        for each, of_all in zip(several, np.round(largest, DIGITS).tolist(), strict=True):
            self._associations[each] = dict(zip(self._compared, of_all, strict=True))


def _with_squares(scores: np.ndarray) -> np.ndarray:
    """Return columns and their squares, each of mean 0 and variance 1, or 0 throughout."""
    if not scores.size:
        return scores
    both = np.concatenate([scores, np.square(scores)], axis=1)
    off = both - both.mean(axis=0)
    spread = off.std(axis=0)
    return np.divide(off, spread, out=np.zeros_like(off), where=spread > _ROUNDING)


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    if not one.size or not other.size:
        return 0.0
    return round(float(np.abs(one.T @ other).max()) / len(one), DIGITS)


def _standardized(values: np.ndarray) -> tuple[np.ndarray, float]:
    there = values != np.float32(MISSING)
    known = values[there].astype(np.float64)
    spread = float(known.std()) if len(known) else 0.0
    if not spread > 0:
        return np.zeros(len(values)), 1.0
    off = np.zeros(len(values))
    off[there] = (known - known.mean()) / spread
    return off, spread
