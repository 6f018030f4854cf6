"""The worked example on real data: 30,000 clients of a bank and whether they defaulted on their credit card.

Yeh, I. C. and Lien, C. H. (2009), "The comparisons of data mining techniques for the predictive accuracy of probability
of default of credit card clients", Expert Systems with Applications 36(2), 2473-2480; UCI data set 350.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd

from nnperm_mlflow.basics.errors import DataError, name_list
from nnperm_mlflow.demo.example import Example, Inputs
from nnperm_mlflow.demo.keras_network import KerasNetwork

LABEL = "default.payment.next.month"
NUMBERS = ["LIMIT_BAL", "AGE"]
CODES = {"SEX": 3, "EDUCATION": 7, "MARRIAGE": 4}
"""Categorical columns with the number of their codes."""
CHANNELS = {
    "PAY": ["PAY_6", "PAY_5", "PAY_4", "PAY_3", "PAY_2", "PAY_0"],
    "BILL_AMT": [f"BILL_AMT{month}" for month in range(6, 0, -1)],
    "PAY_AMT": [f"PAY_AMT{month}" for month in range(6, 0, -1)],
}
"""Temporal channels with their columns, oldest month first."""

_TRAINED_SHARE = 2 / 3
_EPOCHS, _BATCH = 6, 256


def credit_example(csv: Path) -> Example:
    """Train a network on two thirds of the clients; the rest is for the audit.

    Parameters
    ----------
    csv : Path
        `UCI_Credit_Card.csv` as it is distributed.

    Raises
    ------
    DataError
        If the file is missing or not this data set.
    """
    table = read_clients(csv).sample(frac=1, random_state=0)
    n_trained = int(len(table) * _TRAINED_SHARE)
    trained = table[:n_trained]
    audited = table[n_trained:].sort_values("ID").reset_index(drop=True)
    network = train_network(network_inputs(trained), trained[LABEL].to_numpy())
    return Example("credit", KerasNetwork(network), audited, {}, network_inputs(audited), audited[LABEL].to_numpy())


def read_clients(csv: Path) -> pd.DataFrame:
    """Read the raw file and check that it has the columns of the data set."""
    try:
        table = pd.read_csv(csv)
    except (OSError, ValueError) as error:
        raise DataError(f"'{csv}' cannot be read as csv ({type(error).__name__}).") from error
    wanted = ["ID", *NUMBERS, *CODES, *[column for columns in CHANNELS.values() for column in columns], LABEL]
    missing = [column for column in wanted if column not in table.columns]
    if missing:
        raise DataError(
            f"'{csv}' is not the data set 'default of credit card clients': it lacks the columns {name_list(missing)}."
        )
    return table


def network_inputs(table: pd.DataFrame) -> Inputs:
    """Return the network's inputs by name, in raw units; the history has shape (n_rows, 6, 3)."""
    channels = [table[columns].to_numpy(np.float32) for columns in CHANNELS.values()]
    return {
        "num_input": table[NUMBERS].to_numpy(np.float32),
        **{f"{name}_input": table[[name]].to_numpy(np.int32) for name in CODES},
        "temporal_input": np.stack(channels, axis=2),
    }


def train_network(inputs: Inputs, defaulted: np.ndarray) -> keras.Model:
    """Train a network that scales its inputs itself, so that it takes dollars and years."""
    keras.utils.set_random_seed(0)
    scale_numbers, scale_history = keras.layers.Normalization(axis=-1), keras.layers.Normalization(axis=-1)
    scale_numbers.adapt(inputs["num_input"])
    scale_history.adapt(inputs["temporal_input"])
    numbers = keras.Input((len(NUMBERS),), name="num_input")
    codes = {f"{name}_input": keras.Input((1,), name=f"{name}_input", dtype="int32") for name in CODES}
    history = keras.Input((6, len(CHANNELS)), name="temporal_input")
    embedded = [
        keras.layers.Flatten()(keras.layers.Embedding(count, 2)(code))
        for code, count in zip(codes.values(), CODES.values(), strict=True)
    ]
    dense = keras.layers.Dense(16, activation="relu")(scale_numbers(numbers))
    read = keras.layers.LSTM(16)(scale_history(history))
    hidden = keras.layers.Dense(16, activation="relu")(keras.layers.Concatenate()([dense, *embedded, read]))
    network = keras.Model(
        {"num_input": numbers, **codes, "temporal_input": history},
        keras.layers.Dense(1, activation="sigmoid", name="probability_of_default")(hidden),
    )
    network.compile(keras.optimizers.Adam(0.002), "binary_crossentropy")
    network.fit(dict(inputs), defaulted, batch_size=_BATCH, epochs=_EPOCHS, verbose=0)
    return network
