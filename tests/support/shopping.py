"""A network so small that it is audited in a moment, its data, and policies on it: for audits by the dozen."""

from dataclasses import dataclass
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow.models import infer_signature

from nnperm_mlflow import AuditResult, audit
from nnperm_mlflow.config.policy import Policy

ROWS = 120


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
    register(name)
    config = {"data": {"static": str(folder / "rows.csv")}, "inputs": {"num_input": ["age", "sex"]}}
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(config))
    ages = table["age"].to_numpy()
    return Shop(name, config, file, float(0.5 * np.abs(ages[:, None] - ages).sum() / ROWS**2))


def register(name: str) -> str:
    """Log and register the network once more, which adds two columns up; return the version."""
    given = keras.Input((2,), name="num_input")
    layer = keras.layers.Dense(1, use_bias=False)
    network = keras.Model(given, layer(given))
    layer.set_weights([np.array([[0.5], [0.1]], "float32")])
    some = np.zeros((2, 2), "float32")
    with mlflow.start_run():
        logged = mlflow.tensorflow.log_model(
            network,
            name=name,
            signature=infer_signature({"num_input": some}, some[:, :1]),
            pip_requirements=["keras"],
            registered_model_name=name,
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
