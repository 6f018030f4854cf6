"""A model so small that it is audited in a moment, its data, and policies on it: for audits by the dozen."""

from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import yaml

from nnperm_mlflow import AuditResult, audit
from nnperm_mlflow.config.policy import Policy

ROWS = 120


class Scorer(mlflow.pyfunc.PythonModel):
    """Adds two columns up."""

    def predict(self, context, model_input, params=None):
        """Return a number for each row."""
        return (0.5 * model_input["age"] + 0.1 * model_input["sex"]).to_numpy()


@dataclass(frozen=True)
class Shop:
    """A registered model with its data.

    Attributes: its name, the configuration without seed and repeats, the file that holds that, and the mean deviation
    of `age` over all pairs of rows.
    """

    name: str
    config: dict
    file: Path
    true: float


def open_shop(name: str, folder: Path) -> Shop:
    """Write data and configuration into `folder`, and register version 1 of the model."""
    mlflow.set_experiment("tests")
    rng = np.random.default_rng(8)
    table = pd.DataFrame({"age": rng.normal(size=ROWS), "sex": rng.integers(0, 2, ROWS).astype(float)})
    table.to_csv(folder / "rows.csv", index=False)
    register(name, table)
    config = {"data": {"static": str(folder / "rows.csv")}}
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(config))
    ages = table["age"].to_numpy()
    return Shop(name, config, file, float(0.5 * np.abs(ages[:, None] - ages).sum() / ROWS**2))


def register(name: str, table: pd.DataFrame) -> str:
    """Log and register the model once more; return the version."""
    signature = mlflow.models.infer_signature(table, table["age"].to_numpy())
    with mlflow.start_run():
        logged = mlflow.pyfunc.log_model(
            name=name,
            python_model=Scorer(),
            registered_model_name=name,
            signature=signature,
            pip_requirements=["pandas"],
        )
    return str(logged.registered_model_version)


def policy(limit: float, name: str = "limits", mode: str = "enforce", **trial: object) -> Policy:
    """Return a policy with a trial, on the mean deviation of `age`."""
    checks = [{"feature": "age", "max": limit}]
    return Policy.model_validate({"format": 2, "name": name, "mode": mode, "checks": checks, "trial": trial})


def run_audit(shop: Shop, used: Policy | None = None, version: str = "1", **analysis: object) -> AuditResult:
    """Audit a version of the model."""
    config = {**shop.config, "analysis": analysis}
    return audit(config, model_uri=f"models:/{shop.name}/{version}", policy=used, trust_model=True, isolate=False)
