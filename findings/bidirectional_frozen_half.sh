#!/usr/bin/env bash
# A bidirectional layer of Keras 2 of which one half was frozen comes back from its HDF5 file with the halves exchanged.
#
# Guess: what Keras 2 saves as HDF5 it reads as the same network, whatever was frozen.
# Seen (tf-keras 2.21.0): with the forward half frozen, the file holds the weights that can be trained first, and what is
#   read has the two halves exchanged: other predictions, without a word. With the backward half frozen, in Keras's own
#   format, and in Keras 3 (3.15.1) the network comes back as it was. The configuration in the file does not tell (both
#   halves are said to be trainable); the order of the names of the weights does.
# Why it matters: the network that a registry serves is not the one that was trained and evaluated, and nobody is told.
#
# Exit status 0 as long as this is what happens.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m pip install -q --target "$tmp/lib" "tensorflow-cpu==2.21.0" "keras==3.15.1" 2>/dev/null
python3 -m pip install -q --no-deps --target "$tmp/lib" "tf-keras==2.21.0" 2>/dev/null
cd "$tmp"
cat > show.py <<'PY'
import importlib.metadata
import sys

import h5py
import keras
import numpy as np
import tensorflow as tf
import tf_keras

for package in ("tensorflow-cpu", "tf-keras", "keras", "h5py", "numpy"):
    print(package, importlib.metadata.version(package))
rows = np.random.default_rng(0).normal(size=(50, 6, 3)).astype("float32")


def off_after_saving(library, frozen, name):
    """By how much predictions differ once the network was saved and read, as a share of their spread."""
    library.utils.set_random_seed(0)
    given = library.layers.Input((6, 3))
    both = library.layers.Bidirectional(library.layers.LSTM(4))
    network = library.Model(given, library.layers.Dense(1)(both(given)))
    if frozen:
        getattr(both, f"{frozen}_layer").trainable = False
    network.save(name)
    before = np.asarray(network(rows, training=False))
    after = np.asarray(library.models.load_model(name, compile=False)(rows, training=False))
    return float(np.abs(after - before).max() / np.ptp(before))


seen = {}
for library in (tf_keras, keras):
    for frozen in (None, "backward", "forward"):
        for name in ("network.h5", "network.keras"):
            seen[library.__name__, frozen, name] = off = off_after_saving(library, frozen, name)
            print(f"{library.__name__:8} frozen: {frozen!s:8} {name:13} off by {off:.3f} of the spread")
as_written = all((off > 0.1) == (key == ("tf_keras", "forward", "network.h5")) for key, off in seen.items())
print("as written above" if as_written else "this has changed")
sys.exit(not as_written)
PY
PYTHONPATH="$tmp/lib" TF_CPP_MIN_LOG_LEVEL=3 python3 -W ignore show.py 2>/dev/null
