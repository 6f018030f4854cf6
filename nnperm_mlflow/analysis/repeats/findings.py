"""What an audit finds out: every row disturbed and predicted, the table on disk, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from nnperm_mlflow.analysis.engine.kept_predictions import Predictions
from nnperm_mlflow.analysis.repeats.stopping_rule import Watched, widths_that_matter
from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.statistics.order import MEAN
from nnperm_mlflow.analysis.statistics.tally import Tally


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
    order_by : str
        The statistic that leads, by which the summary is ordered.
    watched : frozenset of Number
        What checks rest on.
    own_scores : mapping of str to OwnScore
        Of the undisturbed predictions, where there are labels.
    segments : SegmentTables or None
        What is told of segments, where these are asked for.
    interactions : DataFrame or None
        What pairs of features do together, where that is asked for.
    groups : DataFrame or None
        What groups move beyond their members, where there are such; see `interactions.group_effects.group_effects`.
    subgroups : DataFrame or None
        Which rows are alike in conditional shuffles, where there are such; see `subgroup_sizes.with_subgroups`.
    """

    summary: pd.DataFrame
    tally: Tally
    repeats: int
    predictions: Predictions | None = None
    order_by: str = MEAN
    watched: Watched = frozenset()
    own_scores: Mapping[str, OwnScore] = field(default_factory=dict)
    segments: SegmentTables | None = None
    interactions: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None
    subgroups: pd.DataFrame | None = None

    @property
    def widths(self) -> pd.DataFrame:
        """How wide the intervals are that matter, see `stopping_rule.widths_that_matter`."""
        return widths_that_matter(self.summary, self.order_by, self.watched, self.segments)

    @property
    def widest(self) -> float:
        """The widest interval among those that matter; NaN where there is none."""
        return float(self.widths["width"].max())
