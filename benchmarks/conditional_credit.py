"""Ranks the features of a network on the credit clients by plain and by conditional shuffles.

NNPERM_UCI_CSV=.../UCI_Credit_Card.csv python benchmarks/conditional_credit.py
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import keras
import mlflow
import pandas as pd
from mlflow.models import infer_signature
from scipy.stats import spearmanr

import nnperm_mlflow
from nnperm_mlflow.analysis.statistics.order import conditionals, plain

_TEST_ROWS, _EPOCHS, _REPEATS = 4_000, 15, 5
_BILLS = [f"BILL_AMT{month}" for month in range(1, 7)]


def main() -> None:
    """Print a row for each feature, and how the two orders go together."""
    rows = pd.read_csv(os.environ["NNPERM_UCI_CSV"]).sample(frac=1, random_state=0, ignore_index=True)
    outcome, columns = rows.columns[-1], list(rows.columns[1:-1])
    test, training = rows[:_TEST_ROWS], rows[_TEST_ROWS:]
    with tempfile.TemporaryDirectory() as folder:
        test.to_csv(Path(folder) / "test.csv", index=False)
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment(experiment_id=mlflow.create_experiment("credit", (Path(folder) / "artifacts").as_uri()))
        register(training[columns].to_numpy("float32"), training[outcome].to_numpy("float32"))
        data = {"static": str(Path(folder) / "test.csv"), "row_id": rows.columns[0], "label": outcome}
        analysis = {"rare_below": 0.0, "repeats": _REPEATS, "donors": "conditional", "groups": {"bills": _BILLS}}
        settings = {"data": data, "inputs": {"rows": columns}, "analysis": analysis}
        summary = nnperm_mlflow.audit(settings, model_uri="models:/credit/1", progress=False).summary
    one, other = (part(summary).set_index("feature")["mean"] for part in (plain, conditionals))
    print(f"bills as one group: {one['bills']:.3f} plain, {other['bills']:.3f} conditional")
    one, other = one.drop("bills"), other.drop("bills")
    ranks = pd.DataFrame({"plain": one.rank(ascending=False), "conditional": other.rank(ascending=False)})
    print(ranks.sort_values("plain").astype(int).to_string())
    print(f"Spearman's correlation of the two orders: {spearmanr(one, other.reindex(one.index)).statistic:.2f}")


def register(inputs: object, outcomes: object) -> None:
    """Train a dense network on standardized columns, and register it."""
    keras.utils.set_random_seed(0)
    scaled = keras.layers.Normalization()
    scaled.adapt(inputs)
    given = keras.Input((23,), name="rows")
    hidden = keras.layers.Dense(64, activation="relu")(scaled(given))
    hidden = keras.layers.Dense(32, activation="relu")(hidden)
    network = keras.Model(given, keras.layers.Dense(1, activation="sigmoid")(hidden))
    network.compile("adam", "binary_crossentropy")
    network.fit(inputs, outcomes, batch_size=256, epochs=_EPOCHS, verbose=0)
    signature = infer_signature(inputs[:2], network.predict(inputs[:2], verbose=0))
    mlflow.tensorflow.log_model(network, name="credit", signature=signature, registered_model_name="credit")


if __name__ == "__main__":
    main()
