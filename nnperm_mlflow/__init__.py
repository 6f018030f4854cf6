"""Audits a registered network: how far its predictions move when one input feature is disturbed.

`audit` does the work and writes it into an MLflow run, `plan_audit` tells what it would take, `AuditConfig` and
`load_config` say what is asked for, `AuditResult` is what came out, `compare` tells what changed between two versions,
`history` what happened to a model, `Dataset` and `Series` hold data that are in memory already.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnperm_mlflow.auditing import audit, plan_audit
    from nnperm_mlflow.comparing import compare
    from nnperm_mlflow.config import AuditConfig, load_config
    from nnperm_mlflow.errors import AuditError
    from nnperm_mlflow.inputs.dataset import Dataset, Series, dataset_from
    from nnperm_mlflow.result import AuditResult
    from nnperm_mlflow.reviewing import history

__version__ = "0.1.0"

_HOME = {
    "AuditConfig": "config",
    "AuditError": "errors",
    "AuditResult": "result",
    "Dataset": "inputs.dataset",
    "Series": "inputs.dataset",
    "audit": "auditing",
    "compare": "comparing",
    "dataset_from": "inputs.dataset",
    "history": "reviewing",
    "load_config": "config",
    "plan_audit": "auditing",
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
