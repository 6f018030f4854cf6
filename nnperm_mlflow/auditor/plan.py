"""An audit that can begin: model, data, and what is done to every row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.self_noise import SelfNoise
from nnperm_mlflow.analysis.perturbation.grouping import Companions
from nnperm_mlflow.analysis.repeats.stopping_rule import MOST_REPEATS, Precision, Watched
from nnperm_mlflow.analysis.scores.scorers import Scores
from nnperm_mlflow.analysis.segments.segmentation import Segmentation
from nnperm_mlflow.analysis.statistics.order import MEAN
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.inputs.bound_inputs import BoundInputs
from nnperm_mlflow.inputs.dataset import Dataset
from nnperm_mlflow.inputs.specs import OutputSpec
from nnperm_mlflow.models.model_uri import ModelReference


class DataElsewhere(Protocol):
    """Rows on a cluster that are bound to a model's inputs; a few of them are here."""

    @property
    def dataset(self) -> Dataset:
        """Of the rows that are here, with what is known of all."""

    @property
    def inputs(self) -> BoundInputs:
        """Of all rows; those that are not here are fetched."""

    @property
    def here(self) -> np.ndarray:
        """Positions of the rows that are here, ascending."""

    @property
    def location(self) -> str:
        """Where the deviation table goes."""


@dataclass(frozen=True)
class Plan:
    """An audit that can begin.

    Attributes
    ----------
    reference : ModelReference
    dataset : Dataset
        The rows that are audited.
    job : Job
        What is done to every block of rows.
    block_rows : int
        Most rows of a block.
    used : AuditConfig
        The configuration with what was found out filled in: the pinned version, the inputs.
    record : dict
        What identifies the audit: digests, seed, versions.
    noise : SelfNoise
        By how much undisturbed rows differ.
    companions : Companions
        Features that go together.
    scores : Scores or None
        What to compute from labels.
    watched : frozenset of Number
        What the policy rests on: perturbations, each with a statistic.
    outputs : OutputSpec
        What is known of the model's outputs.
    segmentations : tuple of Segmentation
        What parts the rows into segments.
    close : callable
        Ends the process of the model, where it has one; nothing can be predicted from then on.
    elsewhere : DataElsewhere or None
        Where the rows are on a cluster, which audits them.
    """

    reference: ModelReference
    dataset: Dataset
    job: Job
    block_rows: int
    used: AuditConfig
    record: dict[str, object]
    noise: SelfNoise
    companions: Companions
    scores: Scores | None
    watched: Watched
    outputs: OutputSpec
    segmentations: tuple[Segmentation, ...]
    close: Callable[[], None]
    elsewhere: DataElsewhere | None = None

    @property
    def precision(self) -> Precision | None:
        """When enough repeats have been made, where their number is to be found out."""
        analysis = self.used.analysis
        most = analysis.max_repeats or MOST_REPEATS
        if analysis.repeats != "auto" or analysis.precision is None:
            return None
        return Precision(analysis.precision, most, self.watched)

    @property
    def rows_precision(self) -> float | None:
        """How wide the intervals that matter may be, where the number of rows is to be found out."""
        return self.used.analysis.precision if self.used.analysis.rows == "auto" else None

    @property
    def rows(self) -> int:
        """Rows of the data, of which not all need be audited."""
        return self.dataset.n_rows if self.dataset.drawn_from is None else self.dataset.drawn_from[0]

    @property
    def sampled_rows(self) -> int | None:
        """Rows of the sample; None where all rows are audited."""
        return None if self.job.sample is None else self.dataset.n_rows

    @property
    def order_by(self) -> str:
        """The statistic that leads."""
        return self.used.analysis.order_by or MEAN

    @property
    def unit(self) -> str:
        """Unit of the prediction that is followed, as configured or as the network tells."""
        told = self.outputs.unit_of(self.job.measure.columns)
        return self.used.analysis.unit or told or "unit of the prediction"
