"""A small real network with its data, as a user would have them: logged, registered, and a configuration."""

from dataclasses import dataclass
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import yaml
from mlflow.models import infer_signature

N_ROWS, N_STEPS = 400, 6


@dataclass(frozen=True)
class House:
    """What the tests of whole audits need.

    Attributes: the registered name, the network, its inputs by name, the table they came from, the history, the
    configuration file.
    """

    name: str
    network: keras.Model
    inputs: dict[str, np.ndarray]
    table: pd.DataFrame
    history: np.ndarray
    config: Path

    def settings(self) -> dict:
        """The configuration, free to change; its paths are absolute."""
        settings = yaml.safe_load(self.config.read_text())
        settings["data"]["static"] = str(self.config.parent / settings["data"]["static"])
        series = settings["data"]["temporal"]["history"]
        series["file"] = str(self.config.parent / series["file"])
        return settings


def build_house(folder: Path, name: str, unroll: bool = True) -> House:
    """Write data and configuration into `folder`, and make a network with random weights (known by their seed)."""
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "client": [f"c{number:04d}" for number in range(N_ROWS)],
            "age": rng.normal(size=N_ROWS),
            "income": rng.normal(size=N_ROWS),
            "flag": (rng.uniform(size=N_ROWS) < 0.02).astype(float),
            "region": rng.integers(0, 4, N_ROWS),
            "label": rng.integers(0, 2, N_ROWS),
        }
    )
    history = rng.normal(size=(N_ROWS, 2, N_STEPS)).astype("float32")  # channels before steps, unlike the network
    table.to_parquet(folder / "house.parquet")
    np.save(folder / "house_history.npy", history)
    settings = {
        "data": {
            "static": "house.parquet",
            "row_id": "client",
            "label": "label",
            "temporal": {
                "history": {"file": "house_history.npy", "channels": ["balance", "payment"], "channel_axis": 1}
            },
        },
        "inputs": {"num_input": ["age", "income", "flag"]},
        "analysis": {"seed": 3},
    }
    (folder / "house.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    inputs = {
        "num_input": table[["age", "income", "flag"]].to_numpy("float32"),
        "region_input": table[["region"]].to_numpy("int32"),
        "temporal_input": np.moveaxis(history, 1, 2),
    }
    return House(name, build_network(unroll), inputs, table, history, folder / "house.yaml")


def build_network(unroll: bool = True) -> keras.Model:
    """Make the network; unrolled, its LSTM is compiled in half the time, and a part of its steps is not run alone."""
    keras.utils.set_random_seed(11)
    numbers = keras.Input((3,), name="num_input")
    region = keras.Input((1,), name="region_input", dtype="int32")
    history = keras.Input((N_STEPS, 2), name="temporal_input")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(4, 2, embeddings_initializer="normal")(region))
    joined = keras.layers.Concatenate()([numbers, embedded, keras.layers.LSTM(5, unroll=unroll)(history)])
    return keras.Model(
        {"num_input": numbers, "region_input": region, "temporal_input": history},
        keras.layers.Dense(1, activation="sigmoid", name="risk")(joined),
    )


def register(house: House, experiment: str = "tests") -> str:
    """Log and register the network in MLflow's current store; return the version."""
    mlflow.set_experiment(experiment)
    predictions = house.network(house.inputs, training=False).numpy()
    with mlflow.start_run():
        logged = mlflow.tensorflow.log_model(
            house.network,
            name=house.name,
            signature=infer_signature(house.inputs, predictions),
            pip_requirements=["keras"],
            registered_model_name=house.name,
        )
    return str(logged.registered_model_version)
