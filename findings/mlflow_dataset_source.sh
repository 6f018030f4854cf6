#!/usr/bin/env bash
# Guess: two runs that log the same table from two files (mlflow.data.from_pandas with another `source`) each tell the file
#   that they were given.
# Seen: within an experiment both tell the first file. A data set is known by its name ("dataset", where none is given) and
#   its digest, and what was logged as its source the first time stays.
# Why it matters: who looks up what a model was trained on finds a place that another run named, perhaps long gone, or none
#   at all where the first run logged the table without a source. A name of one's own for each data set helps.
# Exits with another status than 0 where MLflow does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/python" -m pip install --quiet "mlflow==3.17.2" 2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
cd "$tmp"
MLFLOW_DISABLE_TELEMETRY=true MLFLOW_TRACKING_URI="sqlite:///$tmp/store.db" "$tmp/venv/bin/python" -W ignore - 2> log <<'PYTHON' || { tail -3 log; exit 1; }
import json
import sys

import mlflow
import pandas as pd

mlflow.set_experiment("training")
table = pd.DataFrame({"income": range(10)})


def logged(source, **name):
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(table, source=source, **name), context="training")
    (found,) = mlflow.MlflowClient().get_run(run.info.run_id).inputs.dataset_inputs
    return json.loads(found.dataset.source)["uri"]


table.to_csv("june.csv", index=False)
table.to_csv("july.csv", index=False)
told = [logged("june.csv"), logged("july.csv"), logged("july.csv", name="july")]
print(f"mlflow {mlflow.__version__}: june.csv, july.csv, and july.csv under a name of its own are told as {told}")
sys.exit(0 if told == ["june.csv", "june.csv", "july.csv"] else 1)
PYTHON
