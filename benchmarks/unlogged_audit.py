"""An audit without MLflow, and the donors that it draws: what contenders of every framework are held against."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job, choose_block_rows
from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.analysis.engine.self_noise import measure_noise
from nnperm_mlflow.analysis.perturbation.donors import donor_positions, shuffle_blocks
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.bound_inputs import BoundInputs, probe_rows
from nnperm_mlflow.models.predictor import Predictor

SEED = 0


def audit(predictor: Predictor, inputs: BoundInputs, settings: AnalysisConfig, folder: Path) -> Path:
    """Do what an audit does between loading a model and logging what came of it; return the deviation table."""
    predictor = predictor.fitted(inputs.read(probe_rows(inputs.n_rows)), settings.exact)
    perturbations = plan_perturbations(inputs, "the network", settings)
    measure = choose_measure(None, 1, ())
    measure_noise(predictor, inputs, measure)
    job = Job(predictor, inputs, perturbations, measure, "the network", settings.seed, settings.repeats)
    path = folder / "deviations.parquet"
    journal = Journal(folder / "blocks")
    find(job, choose_block_rows(job, "auto"), path, lambda done, total: None, journal=journal)
    return path


def donors_of(feature: str, n_rows: int, repeat: int = 0) -> np.ndarray:
    """Return for each row of the data the row whose value it receives."""
    donors = np.empty(n_rows, np.int64)
    for block in shuffle_blocks(n_rows, SEED):
        donors[block.rows] = block.rows[donor_positions(block, SEED, feature, repeat)]
    return donors
