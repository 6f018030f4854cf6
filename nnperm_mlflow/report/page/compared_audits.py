"""What the page of a comparison is made of: two audits as their runs hold them, and what changed between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from nnperm_mlflow.analysis.difference.comparison_result import Comparison
from nnperm_mlflow.report.feature_labels import FeatureLabels
from nnperm_mlflow.report.page.reported_audit import ReportedAudit


@dataclass(frozen=True)
class ComparedAudits:
    """Two audits, the earlier version first.

    Attributes
    ----------
    names : (str, str)
        What the versions are called: `credit 3`.
    audits : (ReportedAudit, ReportedAudit)
    comparison : Comparison
    table : DataFrame
        Both side by side, as for `report.compared_numbers.numbers_of`, what differs most first.
    own_scores : mapping of str to (float, float, float)
        Of the models themselves, that of the second less that of the first, with its interval.
    how : str
        On what they were compared.
    run_id : str
        The run that holds the comparison.
    labels : FeatureLabels
    """

    names: tuple[str, str]
    audits: tuple[ReportedAudit, ReportedAudit]
    comparison: Comparison
    table: pd.DataFrame
    own_scores: Mapping[str, tuple[float, float, float]]
    how: str
    run_id: str
    labels: FeatureLabels = field(default_factory=FeatureLabels)

    @property
    def unit(self) -> str:
        """Of prediction and deviation."""
        return self.audits[1].unit

    @property
    def labelled(self) -> ComparedAudits:
        """The comparison in which names have their labels behind them."""
        return replace(self, table=self.labels.in_summary(self.table))
