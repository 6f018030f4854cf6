#!/usr/bin/env bash
# A network of Keras 2 with LayerNormalization over several axes predicts one batch, and fails at two of unequal size.
#
# Guess: predict gives the same for any batch_size.
# Seen (tf-keras 2.21.0 on tensorflow-cpu 2.21.0): with a last batch that is smaller, predict is compiled for any number of
#   rows and ends in "InvalidArgumentError ... scale must be 1D tensor[1,6,3]": oneDNN fuses the layer's product and sum
#   into an operation that wants a scale of one axis. Uncompiled, with batches of one size, with TF_ENABLE_ONEDNN_OPTS=0,
#   and in Keras 3, all rows are predicted.
# Why it matters: whoever serves such a network sees it fail or not with the number of rows of a request, and no message
#   leads from there to the cause. What calls it for any number of rows has to fall back to calling it uncompiled.
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
import os
import sys

import keras
import numpy as np
import tf_keras

for package in ("tensorflow-cpu", "tf-keras", "keras", "numpy"):
    print(package, importlib.metadata.version(package))
rows = np.random.default_rng(0).normal(size=(5, 6, 3)).astype("float32")


def outcome(library, batch_size):
    given = library.layers.Input((6, 3))
    network = library.Model(given, library.layers.LayerNormalization(axis=[1, 2])(given))
    try:
        off = np.abs(network.predict(rows, batch_size=batch_size, verbose=0) - np.asarray(network(rows))).max()
    except Exception as error:
        return type(error).__name__
    return "right" if off < 1e-5 else f"off by {off}"


without_onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0"
seen = {(library.__name__, size): outcome(library, size) for library in (tf_keras, keras) for size in (5, 4)}
for (library, size), found in seen.items():
    print(f"oneDNN {'off' if without_onednn else 'on':3} {library:8} 5 rows in batches of {size}: {found}")
expected = {key: "right" for key in seen}
if not without_onednn:
    expected["tf_keras", 4] = "InvalidArgumentError"
print("as written above" if seen == expected else "this has changed")
sys.exit(seen != expected)
PY
for onednn in 1 0; do
    TF_ENABLE_ONEDNN_OPTS=$onednn PYTHONPATH="$tmp/lib" TF_CPP_MIN_LOG_LEVEL=3 python3 -W ignore show.py 2>/dev/null
done
