#!/usr/bin/env bash
# Guess: after mlflow.set_registry_uri(URI), mlflow.set_registry_uri(None) returns to the registry of the tracking URI.
# Seen: the registry stays. The first call also put MLFLOW_REGISTRY_URI into the process's environment, for processes that
#   it starts, and the second leaves it there, from where it is read again. An empty string returns to the registry of the
#   tracking URI, but leaves the variable, too: processes started from then on register elsewhere than this one.
# Why it matters: a test or a notebook that sets a registry and takes it back goes on to register into the first one, and so
#   does every process that it starts; what looks like a reset is none.
# Exits with another status than 0 where MLflow does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/python" -m pip install --quiet "mlflow==3.17.2" 2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
cd "$tmp"
unset MLFLOW_REGISTRY_URI
MLFLOW_DISABLE_TELEMETRY=true MLFLOW_TRACKING_URI="sqlite:///$tmp/store.db" "$tmp/venv/bin/python" -W ignore - 2> log <<'PYTHON' || { tail -3 log; exit 1; }
import os
import subprocess
import sys

import mlflow

before = mlflow.get_registry_uri()
mlflow.set_registry_uri("sqlite:///other.db")
told = []
for nothing in (None, ""):
    mlflow.set_registry_uri(nothing)
    told += [mlflow.get_registry_uri(), os.environ.get("MLFLOW_REGISTRY_URI")]
child = subprocess.run(
    [sys.executable, "-c", "import mlflow; print(mlflow.get_registry_uri())"], capture_output=True, text=True, check=True
).stdout.strip()
del os.environ["MLFLOW_REGISTRY_URI"]
after = mlflow.get_registry_uri()
print(f"mlflow {mlflow.__version__}: after None and '' the registry and its variable are {told}, in a child {child}; "
      f"without the variable it is {after}")
other = "sqlite:///other.db"
sys.exit(0 if [*told, child, after] == [other, other, before, other, other, before] else 1)
PYTHON
