#!/usr/bin/env bash
# Guess: what Keras 3 writes as HDF5 it reads back as the same network, or refuses to read.
# Seen: a layer over several axes (Softmax, UnitNormalization) is read back over its default axis, with exit status 0 and
#   without a warning: predictions are off by as much as they are large. The reader takes a list of more than one axis out
#   of a layer's configuration and puts nothing back.
# Why it matters: MLflow logs HDF5 where it is asked for (keras_model_kwargs={"save_format": "h5"}), and serves what this
#   reader makes of it. Whoever compares the served network with the trained one compares two networks.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m pip install -q --target "$tmp" "keras==3.15.1" "tensorflow-cpu==2.21.0" "h5py==3.14.0" "numpy==2.4.6" 2>/dev/null
PYTHONPATH="$tmp" TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow python3 - "$tmp" <<'PYTHON'
import sys
import warnings

import keras
import numpy as np
import tensorflow as tf

warnings.simplefilter("ignore")
print("keras", keras.__version__, "tensorflow", tf.__version__)
given = keras.Input((2, 3))
rows = np.random.default_rng(0).normal(size=(4, 2, 3)).astype("float32")
found = {}
for layer in (keras.layers.Softmax(axis=[1, 2]), keras.layers.UnitNormalization(axis=[1, 2])):
    network = keras.Model(given, layer(given))
    for ending in ("keras", "h5"):
        path = f"{sys.argv[1]}/network.{ending}"
        network.save(path)
        again = keras.saving.load_model(path)
        off = float(np.abs(again.predict(rows, verbose=0) - network.predict(rows, verbose=0)).max())
        found[type(layer).__name__, ending] = off
        print(f"{type(layer).__name__}(axis=[1, 2]) as .{ending}: off by {off:.3f}, axis read back: {again.layers[-1].axis}")
as_seen = all((off > 0.1) == (ending == "h5") for (_, ending), off in found.items())
print("as seen before" if as_seen else "NO LONGER as seen before")
sys.exit(not as_seen)
PYTHON
