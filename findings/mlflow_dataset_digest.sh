#!/usr/bin/env bash
# Guess: two tables that differ in half of the cells of a text column have different digests as MLflow data sets
#   (mlflow.data.from_pandas), whether or not a cell of that column is missing.
# Seen: a single missing cell takes the whole column out of the digest, so that both tables have the same one. So do
#   columns of flags and of dates, missing cells or not.
# Why it matters: the digest is what MLflow shows to tell data sets apart, and what a check "was the model trained on these
#   rows?" would ask first. An equal digest is no sign of equal data where text has gaps, as real tables have.
# Exits with another status than 0 where MLflow does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --target "$tmp/packages" "mlflow-skinny==3.17.2" "pandas==3.1.1" "numpy==2.4.6" \
  2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
cd "$tmp"
PYTHONPATH="$tmp/packages" MLFLOW_DISABLE_TELEMETRY=true "${PYTHON:-python3}" -W ignore - <<'PYTHON'
import sys

import mlflow
import pandas as pd


def digest(town, **columns):
    table = pd.DataFrame({"income": range(100), "town": town, **columns})
    return mlflow.data.from_pandas(table).digest


one = ["Bonn"] * 100
other = ["Bonn"] * 50 + ["Ulm"] * 50
pairs = {
    "text": (digest(one), digest(other)),
    "text with one missing cell": (digest([None, *one[1:]]), digest([None, *other[1:]])),
    "flags": (digest(one, paid=True), digest(one, paid=False)),
    "dates": (digest(one, day=pd.Timestamp("2024-01-01")), digest(one, day=pd.Timestamp("2025-01-01"))),
}
print(f"mlflow {mlflow.__version__}, pandas {pd.__version__}")
for what, (first, second) in pairs.items():
    print(f"{what}: {first} and {second}, {'the same' if first == second else 'different'}")
alike = [first == second for first, second in pairs.values()]
sys.exit(0 if alike == [False, True, True, True] else 1)
PYTHON
