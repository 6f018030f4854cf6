"""What identifies an audit: digests of model, data and configuration, and what else its numbers depend on."""

from __future__ import annotations

import logging

from nnperm_mlflow.analysis.engine.self_noise import SelfNoise
from nnperm_mlflow.analysis.uncertainty.intervals import FEWEST_ROWS
from nnperm_mlflow.analysis.uncertainty.variance import count_clusters
from nnperm_mlflow.basics.own_code import package_versions
from nnperm_mlflow.config.audit_config import AuditConfig
from nnperm_mlflow.evidence.audit_record import ROWS_DIGEST, SERVED_DIGEST
from nnperm_mlflow.inputs.dataset import Dataset
from nnperm_mlflow.models.model_files import ModelCode
from nnperm_mlflow.verdict.training_rows import TrainingOverlap

logger = logging.getLogger(__name__)

_TWO_CLASSES = 2


def identify(
    model_digest: str,
    dataset: Dataset,
    used: AuditConfig,
    noise: SelfNoise,
    *,
    served: str,
    trust_model: bool,
    model_code: ModelCode,
    training: TrainingOverlap | None,
    rows_digest: str | None = None,
    predicted_by: str | None = None,
    subgroups: str | None = None,
) -> dict[str, object]:
    """Return what identifies an audit, as its run and its deviation table tell it.

    Parameters
    ----------
    model_digest : str
        Of the model's files, as they were before it was loaded.
    dataset : Dataset
    used : AuditConfig
        With the pinned version filled in.
    noise : SelfNoise
    served : str
        sha256 of those of the files that are served.
    trust_model : bool
        Whether code that came with the model was allowed to run.
    model_code : {"none", "isolated", "in process"}
        Where it ran.
    training : TrainingOverlap or None
        Where the policy asks whether the model was fitted to these rows.
    rows_digest : str or None
        As `inputs.rows_digest` adds it up, where all rows are audited.
    predicted_by : str or None
        Function of the model that was called, as far as anybody has said so.
    subgroups : str or None
        sha256 of who may give to whom in conditional shuffles, where there are such.
    """
    return {
        "model": used.model,
        "model_digest": model_digest,
        SERVED_DIGEST: served,
        "model_trusted": trust_model,
        "model_code": model_code,
        **({} if predicted_by is None else {"predicted_by": predicted_by}),
        "data_digest": dataset.digest(),
        **({} if rows_digest is None else {ROWS_DIGEST: rows_digest}),
        "config_digest": used.digest(),
        "seed": used.analysis.seed,
        "repeats": used.analysis.repeats,
        "within": used.analysis.within,
        **({} if used.analysis.drawing is None else {"donors": used.analysis.drawing}),
        **({} if subgroups is None else {"subgroups": subgroups}),
        **({} if used.data.cluster is None else {"cluster": used.data.cluster}),
        "rows": dataset.n_rows,
        **counts_of(dataset),
        **({} if training is None else training.as_params()),
        "self_noise": noise.largest,
        **({"rows_mix": noise.mixing} if noise.mixing else {}),
        **package_versions(),
    }


def counts_of(dataset: Dataset) -> dict[str, int]:
    """Return how many clusters there are, and how many rows hold the second of two labels, where that can be told."""
    counts = {}
    clusters = dataset.clusters
    if clusters is not None:
        counts["clusters"] = int(clusters.max()) + 1
        if count_clusters(clusters) < FEWEST_ROWS:
            logger.warning(
                "'%s' has %d different values, by their sizes as good as %d alike: below %d clusters no number has an "
                "interval, and so no limit on one is kept",
                dataset.cluster, counts["clusters"], count_clusters(clusters), FEWEST_ROWS,
            )  # fmt: skip
    if dataset.label is not None:
        labels = dataset.label_counts
        if len(labels) == _TWO_CLASSES:
            counts["positives"] = int(labels.iloc[1])
    return counts
