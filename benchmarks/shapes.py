"""The models and data that are measured; made up from a seed, of the sizes that the audit is for."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import keras
import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from scipy.special import ndtr
from sklearn.ensemble import RandomForestRegressor

N_CODES = 10
_TRAINING_ROWS = 2_000  # of the forest

layers = keras.layers


@dataclass(frozen=True)
class Shape:
    """How large a model's inputs are.

    Attributes
    ----------
    n_numbers, n_codes, n_channels, n_steps : int
        Static numbers, categories, and temporal channels with their steps.
    reads : str
        What reads the history, "lstm" or "transformer"; or "forest", for a random forest on the numbers.
    together : float
        Correlation of each two features with each other, and of the steps of a series; codes are cut from numbers then.
    """

    n_numbers: int = 0
    n_codes: int = 0
    n_channels: int = 0
    n_steps: int = 0
    reads: str = "lstm"
    together: float = 0.0


SHAPES = {
    "article": Shape(100, 16, 12, 24),
    "dense": Shape(100, 16),
    "lstm": Shape(n_channels=12, n_steps=24),
    "transformer": Shape(100, 16, 12, 24, reads="transformer"),
    "uci": Shape(2, 3, 3, 6),
    "forest": Shape(20, reads="forest"),
}


def save_model(shape: Shape, folder: Path) -> Path:
    """Make a model of a shape and write it to a folder; return its path."""
    if shape.reads != "forest":
        path = folder / "model.keras"
        make_network(shape).save(path)
        return path
    path = folder / "forest"
    table, _ = make_data(shape, _TRAINING_ROWS)
    forest = make_forest(table)
    mlflow.sklearn.save_model(
        forest,
        path,
        signature=infer_signature(table, forest.predict(table)),
        serialization_format="cloudpickle",
        pip_requirements=["scikit-learn"],  # found out by loading the model otherwise
    )
    return path


def make_forest(table: pd.DataFrame) -> RandomForestRegressor:
    """Train a random forest of 100 trees on what depends on each column less than on the one before."""
    weights = 1 / np.arange(1, len(table.columns) + 1)
    noise = np.random.default_rng(1).normal(size=len(table))
    return RandomForestRegressor(100, random_state=0).fit(table, table.to_numpy() @ weights + noise)


def make_network(shape: Shape) -> keras.Model:
    """Build a network with random weights, known by their seed, with inputs by the article's names."""
    keras.utils.set_random_seed(0)
    given, joined = [], []
    if shape.n_numbers:
        given.append(keras.Input((shape.n_numbers,), name="num_input"))
        joined.append(layers.BatchNormalization()(given[-1]))
    for number in range(shape.n_codes):
        given.append(keras.Input((1,), name=f"code{number}_input", dtype="int32"))
        joined.append(layers.Flatten()(layers.Embedding(N_CODES, 4)(given[-1])))
    static = layers.Dense(64, activation="relu")(layers.Concatenate()(joined)) if joined else None
    read = None
    if shape.n_channels:
        given.append(keras.Input((shape.n_steps, shape.n_channels), name="temporal_input"))
        read = _read_history(shape, given[-1])
    parts = [part for part in (static, read) if part is not None]
    hidden = layers.Dense(64, activation="relu")(layers.Concatenate()(parts) if len(parts) > 1 else parts[0])
    return keras.Model(given, layers.Dense(1, activation="sigmoid")(hidden))


def _read_history(shape: Shape, history: object) -> object:
    if shape.reads == "lstm":
        return layers.LSTM(64)(layers.Masking()(history))
    wide = layers.Dense(64)(history)
    seen = layers.LayerNormalization()(layers.Add()([wide, layers.MultiHeadAttention(4, 16)(wide, wide)]))
    deep = layers.Dense(64)(layers.Dense(128, activation="relu")(seen))
    return layers.GlobalAveragePooling1D()(layers.LayerNormalization()(layers.Add()([seen, deep])))


def make_data(shape: Shape, n_rows: int) -> tuple[pd.DataFrame, np.ndarray | None]:
    """Return a static table with the columns n0.., code0.., and a history of shape (n_rows, n_steps, n_channels)."""
    rng, common = np.random.default_rng(0), np.random.default_rng(1).normal(size=n_rows)

    def joined(own: np.ndarray) -> np.ndarray:
        if not shape.together:
            return own
        shared = common.reshape(n_rows, *(1,) * (own.ndim - 1))
        return math.sqrt(shape.together) * shared + math.sqrt(1 - shape.together) * own

    def code() -> np.ndarray:
        if not shape.together:
            return rng.integers(0, N_CODES, n_rows)
        return np.floor(N_CODES * ndtr(joined(rng.normal(size=n_rows))))

    columns = {f"n{number}": joined(rng.normal(size=n_rows)).astype(np.float32) for number in range(shape.n_numbers)}
    columns |= {f"code{number}": code().astype(np.int32) for number in range(shape.n_codes)}
    history = None
    if shape.n_channels:
        history = joined(rng.normal(size=(n_rows, shape.n_steps, shape.n_channels))).astype(np.float32)
    return pd.DataFrame(columns, index=range(n_rows)), history


def feature_names(shape: Shape) -> list[str]:
    """Return the names of all features in the order of the network's inputs."""
    numbers = [f"n{number}" for number in range(shape.n_numbers)]
    codes = [f"code{number}" for number in range(shape.n_codes)]
    return [*numbers, *codes, *[f"channel{number}" for number in range(shape.n_channels)]]
