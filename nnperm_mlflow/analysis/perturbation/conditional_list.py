"""Which features are also shuffled among rows that are alike, beside the plain shuffle."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import numpy as np

from nnperm_mlflow.analysis.perturbation.kinds import Conditional, Perturbation, Shuffle
from nnperm_mlflow.analysis.perturbation.perturbation_list import known_features
from nnperm_mlflow.analysis.perturbation.subgroups.folds import FEWEST_ROWS
from nnperm_mlflow.analysis.perturbation.subgroups.learning import SubgroupLearner
from nnperm_mlflow.basics.errors import DataError
from nnperm_mlflow.config.audit_config import CONDITIONAL, AnalysisConfig
from nnperm_mlflow.inputs.bound_inputs import BoundInputs

logger = logging.getLogger(__name__)


def with_conditionals(
    perturbations: Sequence[Perturbation],
    inputs: BoundInputs,
    analysis: AnalysisConfig,
    clusters: np.ndarray | None = None,
) -> list[Perturbation]:
    """Return what an audit does, each shuffle that is asked for followed by one among rows that are alike.

    Parameters
    ----------
    perturbations : sequence of Perturbation
        See `perturbation_list.plan_perturbations`.
    inputs : BoundInputs
        All rows of the data.
    analysis : AnalysisConfig
    clusters : ndarray of shape (n_rows,), int64, or None
        Number of each row's cluster.

    Returns
    -------
    list of Perturbation
        As they are where `analysis` names no conditional donors.

    Raises
    ------
    DataError
        If there are too few rows to learn from.
    """
    if analysis.donors is None:
        return [*perturbations]
    if inputs.n_rows < FEWEST_ROWS:
        raise DataError(
            f"analysis: donors: which rows are alike is learned on half of the rows, and takes {FEWEST_ROWS} in all; "
            f"there are {inputs.n_rows}. Give more rows, or name columns under 'within' whose values part them."
        )
    learner, known = SubgroupLearner(inputs, analysis.seed, clusters), known_features(inputs, analysis)
    found: list[Perturbation] = []
    for perturbation in perturbations:
        found.append(perturbation)
        if not isinstance(perturbation, Shuffle):
            continue
        feature = perturbation.feature
        if analysis.donors == CONDITIONAL:
            found.append(Conditional(feature, learner.learn(feature, known)))
        elif feature.name in analysis.donors:
            found.append(Conditional(feature, learner.learn(feature, known, analysis.donors[feature.name])))
    logger.info("conditional donors: learned for %d features", len(found) - len(perturbations))
    return found


def digest_of(perturbations: Sequence[Perturbation]) -> str | None:
    """Return the sha256 (64 hex digits) of who may give to whom in conditional shuffles; None where there are none."""
    digests = sorted(done.subgroups.digest for done in perturbations if isinstance(done, Conditional))
    return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else None
