"""Learning which rows are alike in what a feature goes with, on a few of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.special import ndtri

from nnperm_mlflow.analysis.perturbation.subgroups.columns import Described
from nnperm_mlflow.analysis.perturbation.subgroups.folds import Folds
from nnperm_mlflow.analysis.perturbation.subgroups.growing import grow
from nnperm_mlflow.analysis.perturbation.subgroups.learning_rows import LearningRows
from nnperm_mlflow.analysis.perturbation.subgroups.subgroups import LearnedSubgroups
from nnperm_mlflow.analysis.perturbation.subgroups.tree import Tree
from nnperm_mlflow.analysis.perturbation.subgroups.weighted_sums import sums_for
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.slots import Feature, count_steps, window_of

MOST_GIVEN = 10
"""Features that rows are told apart by: those that a feature goes with most, where none are named."""

_BY_CHANCE = 0.01  # chance that a feature that goes with no other is told apart by one


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
        self._halves = [LearningRows(inputs, rows) for rows in self._folds.learning_rows(inputs.n_rows)]

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
        for half in self._halves:
            for each in (*parts, *others):
                half.describe(each)

        def of_half(half: LearningRows) -> tuple[Sequence[Feature], Tree]:
            chosen = others if given is not None else _strongest(half, parts, others)
            return chosen, _grown(half, parts, chosen)

        with ThreadPoolExecutor(len(self._halves)) as at_once:  # trees grow without the interpreter's lock
            (first, one), (second, other) = at_once.map(of_half, self._halves)
        used = dict.fromkeys(each.name for each in (*first, *second))
        return LearnedSubgroups(feature.name, tuple(used), self._folds, (one, other))

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


def _strongest(half: LearningRows, parts: Sequence[Feature], others: Sequence[Feature]) -> list[Feature]:
    """Return the features that some go with most, by the largest correlation of what describes them or its square.

    What may well go with nothing, as among so many correlations, is none of them.
    """
    found = {other.name: max(half.association(part, other) for part in parts) for other in others}
    n_compared = max(1, half.width(parts) * half.width(others))
    least = ndtri(1 - _BY_CHANCE / (2 * n_compared)) / np.sqrt(max(1, len(half.reader.rows)))
    going = [other for other in others if found[other.name] >= least]
    return sorted(going, key=lambda other: (-found[other.name], other.name))[:MOST_GIVEN]


def _grown(half: LearningRows, parts: Sequence[Feature], given: Sequence[Feature]) -> Tree:
    """Return the tree that tells rows apart by some features, so that others hardly go with them any more."""
    targets = np.concatenate([half.scores[part.name] for part in parts], axis=1)
    targets = targets[:, targets.any(axis=0)]
    if not targets.size:
        return grow((), [], [], targets)
    columns: list[Described] = [each for other in given for each in half.numbers_of(other)]
    columns += sums_for(half, parts, given)
    values = [half.reader.read(column) for column in columns]
    return grow(columns, values, [half.bins_of(column) for column in columns], targets)
