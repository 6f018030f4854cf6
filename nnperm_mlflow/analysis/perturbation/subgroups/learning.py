"""Learning which rows are alike in what a feature goes with, on a few of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from nnperm_mlflow.analysis.perturbation.subgroups.columns import (
    MISSING,
    Column,
    ColumnReader,
    Described,
    WeightedSum,
    columns_of,
    ordinal_of,
)
from nnperm_mlflow.analysis.perturbation.subgroups.folds import Folds
from nnperm_mlflow.analysis.perturbation.subgroups.growing import grow
from nnperm_mlflow.analysis.perturbation.subgroups.subgroups import LearnedSubgroups
from nnperm_mlflow.analysis.perturbation.subgroups.tree import Tree
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.slots import Feature, count_steps, window_of

MOST_GIVEN = 10
"""Features that rows are told apart by: those that a feature goes with most, where none are named."""

_MOST_SUMS = 4  # weighted sums that are offered, one for each number that describes the feature
_COUNTS, _TELLS = 0.15, 0.1  # of the largest weight, for a column to be in a sum; of the variance, for a sum to be used
_RIDGE = 1e-3  # of a variance, so that columns that tell the same can be weighted
_STRETCH = 1.5  # power of normal deviates: few rows lie far out, and are to be told apart as finely as the others
_BY_CHANCE = 0.01  # chance that a feature that goes with no other is told apart by one
_ROUNDING = 1e-9  # spread of what has two values of one size, whose square varies by no more
_DIGITS = 6  # to which associations are compared, so that no order hangs on the last bit of a product
_NUMBERS = ("value", "mean", "first", "last")  # what may be summed up


@dataclass(frozen=True)
class _Half:
    """Learning rows, with what describes each feature on them: its columns, their scores, these with their squares."""

    reader: ColumnReader
    columns: dict[str, list[Column]]
    scores: dict[str, np.ndarray]
    wide: dict[str, np.ndarray]

    @classmethod
    def of(cls, inputs: BoundInputs, rows: np.ndarray) -> _Half:
        half = cls(ColumnReader(inputs.sources, rows), {}, {}, {})
        for feature in inputs.features.values():
            half.describe(feature)
        return half

    def describe(self, feature: Feature) -> None:
        """Find the columns that describe a feature, and what they hold."""
        if feature.name not in self.columns:
            self.columns[feature.name] = columns_of(feature, self.reader)
            self.scores[feature.name] = _scores([self.reader.read(each) for each in self.columns[feature.name]])
            self.wide[feature.name] = _with_squares(self.scores[feature.name])


class SubgroupLearner:
    """Learns subgroups for the features of an audit.

    Parameters
    ----------
    inputs : BoundInputs
        All rows.
    seed : int
    clusters : ndarray of shape (n_rows,), int64, or None
        Number of each row's cluster.
    """

    def __init__(self, inputs: BoundInputs, seed: int, clusters: np.ndarray | None) -> None:
        self._inputs = inputs
        self._folds = Folds(seed, clusters)
        self._halves = [_Half.of(inputs, rows) for rows in self._folds.learning_rows(inputs.n_rows)]

    def learn(
        self, feature: Feature, known: Mapping[str, Feature], given: Sequence[str] | None = None
    ) -> LearnedSubgroups:
        """Learn subgroups in which a feature goes with others as little as can be.

        Parameters
        ----------
        feature : Feature
        known : mapping of str to Feature
            The model's features and their windows.
        given : sequence of str, optional
            Features that rows may be told apart by; by default the `MOST_GIVEN` that it goes with most, among them of a
            window the steps before and after it.

        Returns
        -------
        LearnedSubgroups
        """
        parts = [known[name] for name in feature.members] if feature.kind == "group" else [feature]
        others = self._others(parts) if given is None else [known[name] for name in given]
        used, trees = list[str](), list[Tree]()
        for half in self._halves:
            for each in (*parts, *others):
                half.describe(each)
            chosen = others if given is not None else _strongest(half, parts, others)
            used += [each.name for each in chosen if each.name not in used]
            trees.append(_grown(half, parts, chosen))
        return LearnedSubgroups(feature.name, tuple(used), self._folds, (trees[0], trees[1]))

    def _others(self, parts: Sequence[Feature]) -> list[Feature]:
        """Return what rows may be told apart by: the model's other features, and the steps that a window leaves."""
        own = {
            name for part in parts for name in ([part.name, *part.members] if part.kind == "window" else [part.name])
        }
        return [*(each for name, each in self._inputs.features.items() if name not in own), *self._rests(parts)]

    def _rests(self, parts: Sequence[Feature]) -> list[Feature]:
        """Return what windows leave of their channels, before and behind them."""
        rests = {}
        windows = [part for part in parts if part.kind == "window"]
        for part in windows:
            channel = self._inputs.features[part.members[0]]
            taken = np.zeros(count_steps(self._inputs.sources, channel), dtype=bool)
            for first, last in (other.steps for other in windows if other.members == part.members and other.steps):
                taken[first - 1 : last] = True
            for first, last in _stretches(~taken):
                label = f"step {first}" if first == last else f"steps {first} to {last}"
                rests[channel.name, first] = window_of(channel, label, first, last)
        return list(rests.values())


def _stretches(free: np.ndarray) -> list[tuple[int, int]]:
    """Return the first and the last step, from 1, of each stretch of free ones.

    >>> _stretches(np.array([True, True, False, True]))
    [(1, 2), (4, 4)]
    """
    edges = np.flatnonzero(np.diff(np.r_[False, free, False]))
    return [(int(first) + 1, int(end)) for first, end in edges.reshape(-1, 2)]


def _scores(values: Sequence[np.ndarray]) -> np.ndarray:
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
    return np.stack(scores, axis=1) / np.sqrt(len(scores)) if scores else np.empty((0, 0))


def _strongest(half: _Half, parts: Sequence[Feature], others: Sequence[Feature]) -> list[Feature]:
    """Return the features that some go with most, by the largest correlation of what describes them or its square.

    What may well go with nothing, as among so many correlations, is none of them.
    """
    own = np.concatenate([half.wide[part.name] for part in parts], axis=1)
    found = {other.name: _association(own, half.wide[other.name]) for other in others}
    n_compared = max(1, own.shape[1] * sum(half.wide[other.name].shape[1] for other in others))
    least = ndtri(1 - _BY_CHANCE / (2 * n_compared)) / np.sqrt(max(1, len(own)))
    going = [other for other in others if found[other.name] >= least]
    return sorted(going, key=lambda other: (-found[other.name], other.name))[:MOST_GIVEN]


def _with_squares(scores: np.ndarray) -> np.ndarray:
    """Return columns and their squares, each of mean 0 and variance 1, or 0 throughout."""
    both = np.concatenate([scores, np.square(scores)], axis=1)
    off = both - both.mean(axis=0)
    spread = off.std(axis=0)
    return np.divide(off, spread, out=np.zeros_like(off), where=spread > _ROUNDING)


def _association(one: np.ndarray, other: np.ndarray) -> float:
    if not one.size or not other.size:
        return 0.0
    return round(float(np.abs(one.T @ other).max()) / len(one), _DIGITS)


def _grown(half: _Half, parts: Sequence[Feature], given: Sequence[Feature]) -> Tree:
    """Return the tree that tells rows apart by some features, so that others hardly go with them any more."""
    columns: list[Described] = []
    for other in given:
        columns += [*half.columns[other.name], *ordinal_of(other, half.reader)]
    targets = np.concatenate([half.scores[part.name] for part in parts], axis=1)
    targets = targets[:, targets.any(axis=0)]
    if not targets.size:
        return grow((), np.empty((0, 0)), targets)
    columns += _sums(half, parts, given)
    values = [half.reader.read(column) for column in columns]
    return grow(columns, np.stack(values, axis=1) if values else np.empty((0, 0)), targets)


def _sums(half: _Half, parts: Sequence[Feature], given: Sequence[Feature]) -> list[WeightedSum]:
    """Return for each number that describes a feature what others tell of it together, where that is something.

    Splits by one column at a time need many of them for what is told by a sum.
    """
    described = [each for part in parts for each in (*ordinal_of(part, half.reader), *half.columns[part.name])]
    sums = [_sum_for(half, column, given) for column in described[:_MOST_SUMS]]
    return [found for found in sums if found is not None]


def _sum_for(half: _Half, target: Column, given: Sequence[Feature]) -> WeightedSum | None:
    """Return the least-squares prediction of a column, but for a constant, from the closest number of each feature."""
    wanted, unit = _standardized(half.reader.read(target))
    columns, values, spreads = list[Column](), list[np.ndarray](), list[float]()
    for other in given:
        numbers = [*half.columns[other.name], *ordinal_of(other, half.reader)]
        offered = [(each, *_standardized(half.reader.read(each))) for each in numbers if each.what in _NUMBERS]
        if offered:
            best = max(offered, key=lambda each: round(abs(float(np.mean(each[1] * wanted))), _DIGITS))
            columns.append(best[0])
            values.append(best[1])
            spreads.append(best[2])
    if len(columns) < 2:
        return None
    covariances = np.array([[np.mean(one * other) for other in values] for one in values])
    with_target = np.array([np.mean(one * wanted) for one in values])
    weights = np.linalg.solve(covariances + _RIDGE * np.eye(len(values)), with_target)
    counts = np.abs(weights) >= _COUNTS * np.abs(weights).max()
    if np.count_nonzero(counts) < 2 or float(np.sum(weights * with_target)) < _TELLS:
        return None
    kept = np.flatnonzero(counts).tolist()
    scaled = tuple(float(f"{weights[place] * unit / spreads[place]:.3g}") for place in kept)
    return WeightedSum(tuple(columns[place] for place in kept), scaled)


def _standardized(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return a column with mean 0 and variance 1, what is missing at the mean, and what it was divided by."""
    there = values != np.float32(MISSING)
    known = values[there].astype(np.float64)
    spread = float(known.std()) if len(known) else 0.0
    if not spread > 0:
        return np.zeros(len(values)), 1.0
    off = np.zeros(len(values))
    off[there] = (known - known.mean()) / spread
    return off, spread
