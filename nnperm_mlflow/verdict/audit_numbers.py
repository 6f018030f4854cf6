"""The numbers of an audit that checks are applied to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from nnperm_mlflow.analysis.statistics.own_score import OwnScore


@dataclass(frozen=True)
class AuditNumbers:
    """What an audit found.

    Attributes
    ----------
    model : str
        Pinned URI of the version, for messages.
    summary : DataFrame
        See `analysis.statistics.summary.summarize`.
    own_scores : mapping of str to OwnScore
        Of the undisturbed predictions, for the name of each scorer; empty where there are no labels, and in audits that
        did not tell them yet.
    """

    model: str
    summary: pd.DataFrame
    own_scores: Mapping[str, OwnScore] = field(default_factory=dict)
