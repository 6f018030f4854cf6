"""Two halves of the rows: what tells rows of one apart is learned on rows of the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnperm_mlflow.analysis.perturbation._keyed_numbers import coins, dealt, key_of

MOST_LEARNING_ROWS = 2_000
"""Rows of a half that are learned from, at most."""

FEWEST_ROWS = 100
"""Rows of the data below which there are too few to learn from, and to find a donor among."""

_FOLDS, _LEARNING = "the folds of subgroups", "the rows that subgroups are learned on"
_DRAWN = 2.4  # times as many rows as are learned from are drawn, since about half of them lie in each fold


@dataclass(frozen=True, eq=False)
class Folds:
    """Which half each row lies in, by its position in the data and the seed alone.

    Attributes
    ----------
    seed : int
    clusters : ndarray of shape (n_rows,), int64, or None
        For each row of the data the number of its cluster: a cluster lies whole in a half. None where each row stands
        for itself.
    """

    seed: int
    clusters: np.ndarray | None = None

    def of(self, positions: np.ndarray) -> np.ndarray:
        """Return 0 or 1 for rows at some positions in the data, of shape (n_rows,), int64."""
        numbers = positions if self.clusters is None else self.clusters[positions]
        return coins(numbers, key_of(self.seed, _FOLDS))

    def learning_rows(self, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return for each half positions of rows of the other one, from which is learned what tells its rows apart.

        Parameters
        ----------
        n_rows : int
            Rows of the data.

        Returns
        -------
        tuple of two ndarray of shape (n_learning,), int64
            At most `MOST_LEARNING_ROWS` each, ascending.
        """
        n_drawn = min(n_rows, int(_DRAWN * MOST_LEARNING_ROWS))
        drawn = dealt(np.arange(n_drawn), n_rows, key_of(self.seed, _LEARNING))
        fold = self.of(drawn)
        first, second = (np.sort(drawn[fold == other][:MOST_LEARNING_ROWS]) for other in (1, 0))
        return first, second
