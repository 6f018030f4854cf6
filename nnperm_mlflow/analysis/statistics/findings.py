"""What an audit finds out: every row disturbed and predicted, the table on disk, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from nnperm_mlflow.analysis.engine.kept_predictions import Predictions
from nnperm_mlflow.analysis.statistics.own_score import OwnScore
from nnperm_mlflow.analysis.statistics.tally import Tally

TOP = 20
"""Perturbations whose intervals matter: those with the largest medians, beside those that are watched."""


@dataclass(frozen=True)
class Findings:
    """What came of all rows.

    Attributes
    ----------
    summary : DataFrame
        As `summarize` returns it.
    tally : Tally
        Of all deviations.
    repeats : int
        How many were made.
    predictions : Predictions or None
        Under each perturbation, where the job keeps them.
    watched : frozenset of str
        Names of perturbations whose intervals matter, beside those of the largest.
    own_scores : mapping of str to OwnScore
        Of the undisturbed predictions, where there are labels.
    """

    summary: pd.DataFrame
    tally: Tally
    repeats: int
    predictions: Predictions | None = None
    watched: frozenset[str] = frozenset()
    own_scores: Mapping[str, OwnScore] = field(default_factory=dict)

    @property
    def widest(self) -> float:
        """The widest interval of a median among those that matter; NaN where there is none."""
        matters = (self.summary.index < TOP) | self.summary["perturbation"].isin(self.watched)
        return float((self.summary["median_high"] - self.summary["median_low"])[matters].max())
