"""The students' network in Keras."""

from __future__ import annotations

import keras
import numpy as np

from nnperm_mlflow.demo.example import Inputs
from nnperm_mlflow.demo.keras_network import KerasNetwork
from nnperm_mlflow.demo.students import HAIR_COLOURS, N_WEEKS

_EPOCHS, _BATCH = 12, 128


def train_network(inputs: Inputs, passed: np.ndarray) -> KerasNetwork:
    """Train a network with static, categorical and temporal inputs; returns it with weights."""
    keras.utils.set_random_seed(0)
    numbers = keras.Input((2,), name="num_input")
    hair = keras.Input((1,), name="hair_colour_input", dtype="int32")
    history = keras.Input((N_WEEKS, 1), name="temporal_input")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(HAIR_COLOURS, 2)(hair))
    read = keras.layers.LSTM(8)(keras.layers.Rescaling(0.2)(history))
    joined = keras.layers.Concatenate()([numbers, embedded, read])
    hidden = keras.layers.Dense(16, activation="relu")(joined)
    network = keras.Model(
        {"num_input": numbers, "hair_colour_input": hair, "temporal_input": history},
        keras.layers.Dense(1, activation="sigmoid", name="chance_of_passing")(hidden),
    )
    network.compile(keras.optimizers.Adam(0.005), "binary_crossentropy")
    network.fit(dict(inputs), passed, batch_size=_BATCH, epochs=_EPOCHS, verbose=0)
    return KerasNetwork(network)
