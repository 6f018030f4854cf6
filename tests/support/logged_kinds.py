"""Kinds of logged model: how each is logged, and what its own library predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow.models import infer_signature

Own = Callable[[pd.DataFrame], np.ndarray]
"""What a model's own library predicts for a table: shape (n_rows,)."""

_SOURCE = np.random.default_rng(3)
_N_ROWS = 40
TABLE = pd.DataFrame(
    {
        "a": _SOURCE.integers(-16, 17, _N_ROWS) / 8,  # the same number in single precision
        "b": _SOURCE.integers(-16, 17, _N_ROWS) / 8,
        "c": np.arange(_N_ROWS) % 4,
    }
)
SCORE = TABLE["a"] + TABLE["b"] / 2 + TABLE["c"] / 4 - 0.3
LABELS = (SCORE > 0).astype(int)
TWO = {"inputs": {"numbers": ["a", "b"], "code": "c"}}


@dataclass(frozen=True)
class Kind:
    """A kind of logged model.

    Attributes
    ----------
    name, logged : str
        What it is, and how it is logged, as the table says it.
    make : callable
        Saves a model to a path as MLflow does; returns what the model's own library predicts.
    config : mapping
        Of its audit.
    columns : sequence of str
        Of the table that it is audited on.
    packages : tuple of str
        That it takes.
    missing : str
        A package that is not there: what is told then.
    """

    name: str
    logged: str
    make: Callable[[Path], Own | None]
    config: Mapping[str, Any] = field(default_factory=dict)
    columns: Sequence[str] = tuple(TABLE)
    packages: tuple[str, ...] = ()
    missing: str = ""


def signature_of(table: pd.DataFrame) -> Any:
    return infer_signature(table, np.zeros(len(table)))


def arrays(table: pd.DataFrame) -> dict[str, np.ndarray]:
    return {"numbers": table[["a", "b"]].to_numpy("float32"), "code": table[["c"]].to_numpy("int64")}


# Tables


def of_a_table(flavour: str, fit: Callable[[pd.DataFrame], Any], **more: Any) -> Callable[[Path], Own]:
    """Return what saves a model of a DataFrame."""

    def make(path: Path) -> Own:
        model = fit(TABLE)
        options = {"signature": signature_of(TABLE), "pip_requirements": [flavour], **more}
        getattr(mlflow, flavour).save_model(model, str(path), **options)
        served = mlflow.pyfunc.load_model(str(path))
        return lambda table: np.asarray(served.predict(table), dtype=np.float64).reshape(len(table))

    return make


def sklearn(kind: str, **more: Any) -> Callable[[Path], Own]:
    def fit(table: pd.DataFrame) -> Any:
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LinearRegression, LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        models = {
            "regressor": LinearRegression(),
            "classifier": LogisticRegression(),
            "pipeline": make_pipeline(StandardScaler(), LinearRegression()),
            "forest": RandomForestClassifier(5, random_state=0),
        }
        return models[kind].fit(table, SCORE if kind in ("regressor", "pipeline") else LABELS)

    return of_a_table("sklearn", fit, **more)


def trees(flavour: str, kind: str, **more: Any) -> Callable[[Path], Own]:
    def fit(table: pd.DataFrame) -> Any:
        outcome = SCORE if "Regressor" in kind else LABELS
        if flavour == "xgboost":
            import xgboost

            if kind == "Booster":
                return xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(table, outcome), 3)
            return getattr(xgboost, kind)(n_estimators=3).fit(table, outcome)
        if flavour == "lightgbm":
            import lightgbm

            if kind == "Booster":
                rows = lightgbm.Dataset(table, outcome)
                return lightgbm.train({"objective": "binary", "min_data_in_leaf": 2, "verbose": -1}, rows, 3)
            return getattr(lightgbm, kind)(n_estimators=3, min_child_samples=2, verbose=-1).fit(table, outcome)
        import catboost

        return getattr(catboost, kind)(iterations=3, verbose=0, allow_writing_files=False).fit(table, outcome)

    return of_a_table(flavour, fit, **more)


class Summing(mlflow.pyfunc.PythonModel):
    """A model of Python's."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> np.ndarray:
        return (model_input["a"] + 2 * model_input["b"] - model_input["c"] / 8).to_numpy()


def python_model(path: Path) -> Own:
    mlflow.pyfunc.save_model(str(path), python_model=Summing(), signature=signature_of(TABLE), pip_requirements=[])
    return lambda table: Summing().predict(None, table)


class Answering(mlflow.pyfunc.PythonModel):
    """A model that answers in text."""

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[str]:
        return [f"a is {value}" for value in model_input["a"]]


def answering(path: Path) -> None:
    mlflow.pyfunc.save_model(str(path), python_model=Answering(), signature=signature_of(TABLE), pip_requirements=[])


def python_model_from_code(path: Path) -> Own:
    source = path.parent / "summing.py"
    source.write_text(
        "import mlflow\nfrom tests.support.logged_kinds import Summing\nmlflow.models.set_model(Summing())\n"
    )
    mlflow.pyfunc.save_model(str(path), python_model=str(source), signature=signature_of(TABLE), pip_requirements=[])
    return lambda table: Summing().predict(None, table)


def as_mlflow_writes(flavour: str, stored: str | None) -> Callable[[Path], None]:
    """Return what writes an MLmodel file as MLflow does for a flavour whose library is not there."""
    data = {} if stored is None else {"data": stored}

    def make(path: Path) -> None:
        path.mkdir()
        served = {"loader_module": f"mlflow.{flavour}", "python_version": "3.11", **data}
        flavours = {flavour: data, "python_function": served}
        told = {"flavors": flavours, "signature": signature_of(TABLE).to_dict()}
        (path / "MLmodel").write_text(yaml.safe_dump(told))
        if stored is not None:
            (path / stored).touch()

    return make
