"""What the page of an audit is made of: finished numbers, and nothing that changes from one day to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pandas as pd

from nnperm_mlflow.analysis.scores.own_score import OwnScore
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.report.feature_labels import FeatureLabels
from nnperm_mlflow.report.page.segment_names import names_shown
from nnperm_mlflow.verdict.verdict import PastVerdict, Subject


class ReportedVerdict(PastVerdict):
    """A verdict as a run holds it, with the policy that it is by, and what else was tried under that name."""

    policy: dict[str, Any] = {}  # noqa: RUF012 - pydantic copies defaults
    attempts: list[dict[str, Any]] = []  # noqa: RUF012


@dataclass(frozen=True)
class ReportedAudit:
    """An audit as its run holds it.

    Attributes
    ----------
    subject : Subject
        What was audited, with its digests.
    summary : DataFrame
        A row per perturbation, ordered; see `analysis.statistics.summary.summarize`.
    unit, order_by : str
        Unit of prediction and deviation, and the statistic that leads.
    data : str
        Where the rows came from, in a word or two: the name of a file, no path.
    facts : mapping of str to str
        Versions of packages and the like, by what they are called.
    begun_at : datetime or None
        When the run began, in UTC.
    verdict : ReportedVerdict or None
        None where no policy was applied.
    own_scores : mapping of str to OwnScore
    segments : SegmentTables or None
    windows, profiles, effects, interactions, associations, strata : DataFrame or None
        As the audit wrote them.
    groups : mapping of str to sequence of str
        Features that were disturbed together.
    excluded : sequence of str
        Features that were not disturbed.
    too_wide : sequence of str
        What stayed less precise than was asked for.
    predicted_by : str or None
        Function of the model that was called, where it is known.
    shows_values : bool
        Whether values of the data may be shown: those of profiles, and by which segments and strata are named.
    labels : FeatureLabels
        What features and steps are called.
    names : frozenset of str, or None
        Of the perturbations, where those in the summary have labels behind them.
    """

    subject: Subject
    summary: pd.DataFrame
    unit: str
    order_by: str
    data: str = "rows in memory"
    facts: Mapping[str, str] = field(default_factory=dict)
    begun_at: datetime | None = None
    verdict: ReportedVerdict | None = None
    own_scores: Mapping[str, OwnScore] = field(default_factory=dict)
    segments: SegmentTables | None = None
    windows: pd.DataFrame | None = None
    profiles: pd.DataFrame | None = None
    effects: pd.DataFrame | None = None
    interactions: pd.DataFrame | None = None
    associations: pd.DataFrame | None = None
    strata: pd.DataFrame | None = None
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    excluded: Sequence[str] = ()
    too_wide: Sequence[str] = ()
    predicted_by: str | None = None
    shows_values: bool = False
    labels: FeatureLabels = field(default_factory=FeatureLabels)
    names: frozenset[str] | None = None

    @property
    def segment_names(self) -> dict[str, str]:
        """What segments are called on the page, by their own names."""
        if self.segments is None:
            return {}
        told = self.names or frozenset(self.summary["perturbation"].astype(str))
        return names_shown(self.segments.segments, told, shows_values=self.shows_values)

    @property
    def labelled(self) -> ReportedAudit:
        """The audit in which all names that people read have their labels behind them."""
        labels, call = self.labels, self.labels.called
        if not labels:
            return self
        names = labels.names_in(self.summary)

        def told(table: pd.DataFrame | None, *columns: str) -> pd.DataFrame | None:
            return None if table is None else labels.in_table(table, *columns)

        return replace(
            self,
            names=frozenset(self.summary["perturbation"].astype(str)),
            summary=labels.in_summary(self.summary),
            segments=None if self.segments is None else self.segments.renamed(names),
            windows=None if self.windows is None else labels.in_windows(self.windows),
            profiles=told(self.profiles, "feature"),
            effects=told(self.effects, "feature"),
            interactions=told(self.interactions, "first", "second"),
            associations=told(self.associations, "first", "second", "group"),
            groups={call(name): [*map(call, members)] for name, members in self.groups.items()},
            excluded=[*map(call, self.excluded)],
            too_wide=[names.get(name, name) for name in self.too_wide],
        )

    @property
    def title(self) -> str:
        """What was audited, as people call it: `credit 3` of models:/credit/3."""
        name, _, version = self.subject.model.removeprefix("models:/").rpartition("/")
        is_registered = self.subject.model.startswith("models:/") and name and version
        return f"{name} {version}" if is_registered else self.subject.model
