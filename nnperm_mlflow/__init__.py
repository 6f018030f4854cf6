"""Audits a registered network: how far its predictions move when one input feature is disturbed.

`audit` does the work and writes it into an MLflow run, `plan_audit` tells what it would take, `AuditConfig` and
`load_config` say what is asked for, `AuditResult` is what came out, `compare` tells what changed between two versions,
`history` what happened to a model, `Dataset` and `Series` hold data that are in memory already.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnperm_mlflow.auditor.procedure import audit, plan_audit
    from nnperm_mlflow.auditor.result import AuditResult
    from nnperm_mlflow.basics.errors import AuditError
    from nnperm_mlflow.comparison.model_history import history
    from nnperm_mlflow.comparison.procedure import compare
    from nnperm_mlflow.config.configuration import AuditConfig, load_config
    from nnperm_mlflow.inputs.dataset import Dataset, Series, dataset_from

__version__ = "0.1.0"

_HOME = {
    "AuditConfig": "config.configuration",
    "AuditError": "basics.errors",
    "AuditResult": "auditor.result",
    "Dataset": "inputs.dataset",
    "Series": "inputs.dataset",
    "audit": "auditor.procedure",
    "compare": "comparison.procedure",
    "dataset_from": "inputs.dataset",
    "history": "comparison.model_history",
    "load_config": "config.configuration",
    "plan_audit": "auditor.procedure",
}
__all__ = [
    "AuditConfig",
    "AuditError",
    "AuditResult",
    "Dataset",
    "Series",
    "audit",
    "compare",
    "dataset_from",
    "history",
    "load_config",
    "plan_audit",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
