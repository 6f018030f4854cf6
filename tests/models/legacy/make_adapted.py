"""Writes a SavedModel of Keras 2 as training leaves it: with adapted layers, and an optimizer that keeps slots.

    pip install "tensorflow-cpu==2.21.0" "tf-keras==2.21.0"   # Python 3.11
    python make_adapted.py

Its optimizer is of the kind that TensorFlow 2.0 to 2.10 had. `adapted/expected.npz` holds inputs and what Keras 2
predicted for them.
"""

import shutil
from pathlib import Path

import numpy as np
import tf_keras as keras
import yaml

HERE = Path(__file__).parent / "adapted"
layers = keras.layers


def main() -> None:
    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(1)
    rows = {
        "num_input": rng.normal(5, 3, size=(32, 2)).astype("float32"),
        "age_input": rng.integers(18, 90, size=(32, 1)).astype("float32"),
        "city_input": rng.choice(["Ulm", "Bonn", "Köln"], size=(32, 1)).astype(object),
    }
    normal, bins = layers.Normalization(), layers.Discretization(num_bins=4, output_mode="one_hot")
    words = layers.StringLookup(output_mode="one_hot")
    for layer, name in ((normal, "num_input"), (bins, "age_input"), (words, "city_input")):
        layer.adapt(rows[name])
    given = [
        keras.Input((2,), name="num_input"),
        keras.Input((1,), name="age_input"),
        keras.Input((1,), name="city_input", dtype="string"),
    ]
    joined = layers.Concatenate()([normal(given[0]), bins(given[1]), words(given[2])])
    network = keras.Model(given, layers.Dense(1, activation="sigmoid", name="risk")(joined))
    network.compile(keras.optimizers.legacy.Adam(), "binary_crossentropy")
    network.fit(rows, rng.integers(0, 2, 32), verbose=0)
    shutil.rmtree(HERE, ignore_errors=True)
    network.save(HERE / "data" / "model", save_format="tf")
    flavours = {
        "tensorflow": {"data": "data", "model_type": "keras", "save_format": "tf"},
        "python_function": {"loader_module": "mlflow.tensorflow", "data": "data"},
    }
    (HERE / "MLmodel").write_text(yaml.safe_dump({"flavors": flavours}))
    prediction = network.predict(rows, verbose=0)
    rows["city_input"] = rows["city_input"].astype(str)
    np.savez_compressed(HERE / "expected.npz", prediction=prediction, **rows)


if __name__ == "__main__":
    main()
