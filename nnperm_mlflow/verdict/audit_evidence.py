"""What a policy is applied to: the numbers of an audit, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from nnperm_mlflow.analysis.difference.comparison_result import Comparison
from nnperm_mlflow.analysis.difference.influences import Statistic
from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.uncertainty.families import PairErrors
from nnperm_mlflow.verdict.training_rows import TrainingOverlap
from nnperm_mlflow.verdict.verdict import Subject

FeatureDifferences = Callable[[Statistic, Sequence[str], Sequence[str]], PairErrors | None]
"""Tells for a statistic, names and others how each difference errs: see `analysis.difference.feature_order`."""


@dataclass(frozen=True)
class Baseline:
    """Another version that was audited on the same data with the same donors.

    Attributes
    ----------
    uri : str
        Its pinned URI.
    run_id : str
        The run that holds its audit.
    comparisons : mapping of "median" or "mean" to Comparison
        With the audit at hand, for each statistic that checks ask for; the baseline is `a`.
    own_scores : mapping of str to OwnScore
        As in `Evidence`.
    """

    uri: str
    run_id: str
    comparisons: Mapping[Statistic, Comparison]
    own_scores: Mapping[str, OwnScore] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """What a policy is applied to.

    Attributes
    ----------
    subject : Subject
        What was audited; its `model` stands in messages.
    summary : DataFrame
        See `analysis.statistics.summary.summarize`.
    baselines : mapping of str to Baseline
        For each URI that checks compare with, as the policy gives it.
    differences : callable or None
        Tells how sure the differences between features are, see `FeatureDifferences`; None where no deviation table is
        at hand.
    own_scores : mapping of str to OwnScore
        Of the undisturbed predictions, for the name of each scorer; empty where there are no labels, and in audits that
        did not tell them yet.
    excluded : tuple of str
        Features that were left out of the audit.
    training : TrainingOverlap or None
        How many of the rows the model was fitted to; None where nobody looked.
    segments : SegmentTables or None
        What is told of segments; None where the audit was not asked for them.
    interactions : DataFrame or None
        What pairs of features do together; None where the audit was not asked for it.
    design : str
        Digest of what was done, see `AuditConfig.design_digest`.
    seed : int or None
        Key that the shuffles should have under a trial; None for that which follows from policy and data.
    stages : int
        Among how many looks at such evidence the level is shared.
    model_code : str
        Where code that came with the model ran: "none", "isolated", "in process", "unknown".
    groups : mapping of str to sequence of str
        The members of each group that was named.
    rows_mix : str or None
        By how much predictions of a row were seen to depend on the rows beside it; None where they were not.
    """

    subject: Subject
    summary: pd.DataFrame
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    differences: FeatureDifferences | None = None
    own_scores: Mapping[str, OwnScore] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()
    training: TrainingOverlap | None = None
    segments: SegmentTables | None = None
    interactions: pd.DataFrame | None = None
    design: str = ""
    seed: int | None = None
    stages: int = 1
    model_code: str = "unknown"
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rows_mix: str | None = None

    @property
    def model(self) -> str:
        """Pinned URI of what was audited."""
        return self.subject.model
