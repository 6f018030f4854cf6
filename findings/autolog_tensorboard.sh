#!/usr/bin/env bash
# mlflow.tensorflow.autolog() ends a training that runs without it, where TensorBoard is not installed.
#
# Guess before it was run: training runs as without autologging, and what needs TensorBoard is left out with a warning;
# MLflow's callbacks are wrapped so that their errors do not reach the training.
# Seen with mlflow 3.17.2 and tensorflow-cpu 2.21.0 (keras 3.15.1), a plain `pip install` of the two: TensorFlow does not
# bring TensorBoard any more, MLflow's callback calls tf.summary, and model.fit raises TBNotInstalledError. With
# tensorboard 2.21.0 beside them the same script trains and the model is logged.
# Why it matters: a training script that worked breaks with an upgrade of TensorFlow, by the line that promises to watch
# it alone; the error names neither MLflow nor autologging. `pip install tensorboard` is the way.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/python" -m pip install -q "mlflow==3.17.2" "tensorflow-cpu==2.21.0" "keras==3.15.1" >/dev/null 2>&1
export MLFLOW_DISABLE_TELEMETRY=true TF_CPP_MIN_LOG_LEVEL=3
cd "$tmp"
cat > train.py <<'PY'
import sys

import keras
import mlflow
import numpy as np
import tensorflow as tf


def train():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.compile("sgd", "mse")
    network.fit(np.zeros((8, 2)), np.zeros(8), epochs=1, verbose=0)


mlflow.set_tracking_uri("sqlite:///store.db")
print(f"mlflow {mlflow.__version__}, tensorflow {tf.__version__}, keras {keras.__version__}")
train()
print("without autologging: trained")
mlflow.tensorflow.autolog(silent=True)
try:
    with mlflow.start_run():
        train()
    seen = "trained"
except Exception as error:
    seen = type(error).__name__
print(f"with autologging, {sys.argv[1]}: {seen}")
sys.exit(seen != sys.argv[2])
PY
"$tmp/venv/bin/python" -W ignore train.py "without TensorBoard" TBNotInstalledError 2>/dev/null
"$tmp/venv/bin/python" -m pip install -q "tensorboard==2.21.0" >/dev/null 2>&1
"$tmp/venv/bin/python" -W ignore train.py "with TensorBoard" trained 2>/dev/null
echo "as described"
