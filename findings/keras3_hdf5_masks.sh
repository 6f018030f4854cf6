#!/usr/bin/env bash
# Guess: what Keras 3 writes as HDF5 without a word it can read back.
# Seen: a network with Masking in front of an LSTM is written (Keras records the mask as operations of the graph, NotEqual
#   and Any), and cannot be read: "Unknown layer: 'NotEqual'", with the advice to register a custom object. As .keras it is
#   read back as it was. The same goes for every operator on a tensor of the graph (x + 1, x[:, 0]).
# Why it matters: the version stands in the registry, and its training process has ended, when the first load fails; and the
#   message makes a class of one's own of what is Keras's.
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
given = keras.Input((5, 2))
network = keras.Model(given, keras.layers.LSTM(3)(keras.layers.Masking()(given)))
rows = np.random.default_rng(0).normal(size=(4, 5, 2)).astype("float32")
rows[:, 3:] = 0
said = {}
for ending in ("keras", "h5"):
    path = f"{sys.argv[1]}/network.{ending}"
    network.save(path)
    try:
        again = keras.saving.load_model(path)
        said[ending] = f"off by {float(np.abs(again.predict(rows, verbose=0) - network.predict(rows, verbose=0)).max()):.1e}"
    except ValueError as error:
        said[ending] = f"ValueError: {error}".splitlines()[0][:90]
    print(f"as .{ending}: {said[ending]}")
as_seen = said["keras"].startswith("off by 0") and "Unknown layer: 'NotEqual'" in said["h5"]
print("as seen before" if as_seen else "NO LONGER as seen before")
sys.exit(not as_seen)
PYTHON
