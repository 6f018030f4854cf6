"""Writes the two models of an older registry that the tests audit; run once, with the versions below.

    pip install "mlflow==2.12.2" "tensorflow-cpu==2.15.1" "numpy<2" "setuptools<70"   # Python 3.10
    python make_legacy.py

Each is a network as Keras 2 wrote it and MLflow 2.12 logged it: once as a SavedModel (`save_format: tf`), once as HDF5.
Both have an unnamed tensor signature, and beside them the pickle of global custom objects that the training process
had registered and the network does not need. `expected.npz` holds inputs and what Keras 2 predicted for them.
"""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import tensorflow as tf
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from tensorflow import keras

HERE = Path(__file__).parent


@keras.saving.register_keras_serializable("house")
def untouched_metric(y_true, y_pred):
    return tf.reduce_mean(tf.abs(y_true - y_pred))


def build() -> keras.Model:
    keras.utils.set_random_seed(7)
    numbers = keras.Input((2,), name="num_input")
    sex = keras.Input((1,), name="SEX_input")
    history = keras.Input((6, 2), name="temporal_input")
    embedded = keras.layers.Flatten()(keras.layers.Embedding(3, 2)(sex))
    read = keras.layers.LSTM(4)(history)
    joined = keras.layers.Concatenate()([numbers, embedded, read])
    return keras.Model([numbers, sex, history], keras.layers.Dense(1, activation="sigmoid", name="risk")(joined))


def main() -> None:
    model = build()
    rng = np.random.default_rng(1)
    inputs = {
        "num_input": rng.normal(size=(64, 2)).astype("float32"),
        "SEX_input": rng.integers(1, 3, size=(64, 1)).astype("float32"),
        "temporal_input": rng.normal(size=(64, 6, 2)).astype("float32"),
    }
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 2))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, 1))]),
    )
    for save_format in ("tf", "h5"):
        target = HERE / save_format
        shutil.rmtree(target, ignore_errors=True)
        mlflow.tensorflow.save_model(
            model, target, signature=signature, pip_requirements=["tensorflow==2.15.1"],
            keras_model_kwargs={"save_format": save_format},
        )
    np.savez_compressed(HERE / "expected.npz", prediction=model.predict(inputs, verbose=0), **inputs)


if __name__ == "__main__":
    main()
