"""How sure it is which of two features of an audit moves predictions more.

Features are disturbed in the same rows, so that their numbers err together. What tells which of two is larger is their
difference, row by row, and not whether their intervals meet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.difference.influences import Statistic, find_influences
from nnperm_mlflow.analysis.difference.recorded_table import KnownRows
from nnperm_mlflow.analysis.perturbation.kinds import Shuffle


@dataclass(frozen=True)
class RowInfluences:
    """What each row adds to the error of a feature's number, as one that receives values and as one that gives them.

    Attributes
    ----------
    received : ndarray of shape (n_repeats, n_rows)
        What each deviation adds to the error, with mean 0.
    of_rows : ndarray of shape (n_rows,)
        What each row adds over all repeats, as the one that received a value and as the one that gave it.
    clusters : ndarray of shape (n_rows,), int, or None
        Number of each row's cluster, from 0; None where each row stands for itself.
    """

    received: np.ndarray
    of_rows: np.ndarray
    clusters: np.ndarray | None = None

    @classmethod
    def of(
        cls, influence: np.ndarray, donors: Sequence[np.ndarray], clusters: np.ndarray | None = None
    ) -> RowInfluences:
        """Sum up what deviations add to the error of a number.

        Parameters
        ----------
        influence : ndarray of shape (n_repeats, n_rows)
            With mean 0.
        donors : sequence of ndarray of shape (n_rows,)
            For each repeat the position of each row's donor.
        clusters : ndarray of shape (n_rows,), int, optional
            Number of each row's cluster, from 0.
        """
        given = [np.bincount(to, each, len(to)) for each, to in zip(influence, donors, strict=True)]
        return cls(influence, influence.mean(axis=0) + np.mean(given, axis=0), clusters)

    def difference_variance(self, other: RowInfluences) -> float:
        """Return the number of rows times the variance of the difference between two features' numbers.

        The donors of two features have nothing to do with each other, and neither has what only their pairs add, which
        the sums of rows count twice. The variance is at least what it were if no two rows had anything in common. Of
        clusters the sums of what their rows add vary; of these nothing is taken off, which is rather too much.
        """
        if self.clusters is not None:
            sums = np.bincount(self.clusters, self.of_rows - other.of_rows)
            return float(np.square(sums).sum()) / len(self.of_rows) * len(sums) / max(1, len(sums) - 1)
        n_repeats = len(self.received)
        of_pairs = (float(np.square(self.received).mean()) + float(np.square(other.received).mean())) / n_repeats
        least = float(np.square(self.received - other.received).mean()) / n_repeats
        return max(float(np.var(self.of_rows - other.of_rows)) - of_pairs, least)


def difference_errors(
    table: Path, summary: pd.DataFrame, statistic: Statistic, names: Sequence[str], others: Sequence[str]
) -> dict[str, dict[str, float]] | None:
    """Return the standard error of the difference between the numbers of features that were shuffled.

    Parameters
    ----------
    table : Path
        The deviation table.
    summary : DataFrame
        See `analysis.statistics.summary.summarize`.
    statistic : "median" or "mean"
        What the numbers are.
    names, others : sequence of str
        Perturbations; each of the first is compared with each of the second.

    Returns
    -------
    dict of str to dict of str to float, or None
        For each name and each other the standard error; None where the table does not tell who gave a value to whom.
    """
    rows = summary.set_index("perturbation")
    with KnownRows(table) as audit:
        if not audit.tells_donors:
            return None

        def influences(name: str) -> RowInfluences:
            told, feature = rows.loc[name], str(rows.loc[name, "feature"])
            median, low, high = (float(told[f"median{end}"]) for end in ("", "_low", "_high"))
            dependence = audit.dependence(feature, Shuffle.way)
            found = find_influences(audit.deviations(name), median, (low, high), dependence, audit.n_rows)
            return RowInfluences.of(getattr(found, statistic), audit.donors(feature), audit.clusters)

        named = {name: influences(name) for name in names}
        errors: dict[str, dict[str, float]] = {name: {} for name in names}
        for other in others:
            of_other = named[other] if other in named else influences(other)
            for name, own in named.items():
                errors[name][other] = math.sqrt(own.difference_variance(of_other) / audit.n_rows)
    return errors
