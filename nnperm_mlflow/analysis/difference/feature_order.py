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
from nnperm_mlflow.analysis.statistics.sums import sum_of_products
from nnperm_mlflow.analysis.uncertainty.families import PairErrors
from nnperm_mlflow.analysis.uncertainty.variance import Exchange, UnitSums


@dataclass(frozen=True)
class FeatureInfluences:
    """What rows add to the error of a feature's number.

    Attributes
    ----------
    received : ndarray of shape (n_repeats, n_rows)
        What each deviation adds, with mean 0.
    sums : UnitSums
        What each row, or cluster of rows, adds as a receiver and as a donor.
    n_units : int
        How many rows, or clusters of rows, these are.
    """

    received: np.ndarray
    sums: UnitSums
    n_units: int

    @classmethod
    def of(cls, influence: np.ndarray, exchange: Exchange, n_units: int) -> FeatureInfluences:
        """Sum up what deviations add to the error of a number.

        Parameters
        ----------
        influence : ndarray of shape (n_repeats, n_rows)
            With mean 0.
        exchange : Exchange
            Whose values the rows received.
        n_units : int
        """
        received = influence / influence.size
        return cls(received, exchange.sums(received), n_units)

    def difference_error(self, other: FeatureInfluences) -> float:
        """Return the standard error of the difference between two features' numbers, over rows like these.

        The donors of two features have nothing to do with each other, and neither has what only their pairs add, which
        the sums of rows count twice. The variance is at least what it were if no two rows had anything in common.
        """
        apart = self.sums.units - other.sums.units
        of_pairs = self.sums.squares + other.sums.squares
        least = float(np.square(self.received - other.received).sum())
        return math.sqrt(max(sum_of_products(apart, apart) - of_pairs, least))


def pair_errors(
    table: Path, summary: pd.DataFrame, statistic: Statistic, names: Sequence[str], others: Sequence[str]
) -> PairErrors | None:
    """Return how the differences between the numbers of features that were shuffled err.

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
    PairErrors or None
        None where the table does not tell who gave a value to whom: within strata, and in subgroups.
    """
    rows = summary.set_index("perturbation")
    with KnownRows(table) as audit:

        def influences(name: str) -> FeatureInfluences | None:
            exchange = audit.dependence(str(rows.loc[name, "feature"]), str(rows.loc[name, "way"]))
            if not isinstance(exchange, Exchange):
                return None
            median, low, high = (float(rows.loc[name, f"median{end}"]) for end in ("", "_low", "_high"))
            n_rows = audit.counted_as(name, audit.rows_of(name))
            found = find_influences(audit.deviations(name), median, (low, high), exchange, n_rows)
            return FeatureInfluences.of(getattr(found, statistic), exchange, found.n_units)

        named = {name: found for name in names if (found := influences(name)) is not None}
        if len(named) < len(names):
            return None
        errors: dict[str, dict[str, float]] = {name: {} for name in names}
        for other in others:
            of_other = named[other] if other in named else influences(other)
            if of_other is None:
                return None
            for name, own in named.items():
                n_rows = min(audit.counted_as(each, audit.rows_of(each)) for each in (name, other))
                times = n_rows / of_other.received.shape[1]
                errors[name][other] = own.difference_error(of_other) / math.sqrt(times)
    return PairErrors(errors, min(own.n_units for own in named.values()))
