#!/usr/bin/env bash
# The version of a model in MLflow's registry is an int where the tracking URI is a database, and a str over HTTP.
#
# Guess before it was run: a str everywhere, as the documentation of ModelVersion says.
# Seen with mlflow 3.17.2: the same calls on the same store give int with sqlite:/// and str through `mlflow server`, in
# create_model_version, get_model_version, get_model_version_by_alias, search_model_versions and RegisteredModel.aliases.
# Why it matters: `mv.version == "2"`, `aliases["champion"] == mv.version` or a dict keyed by versions works in a test on
# sqlite and fails in production on a server, or the other way round, without an error.
set -euo pipefail
tmp=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/python" -m pip install -q "mlflow==3.17.2" >/dev/null 2>&1
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
cd "$tmp"
port=$("$tmp/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > seen.py <<'PY'
import sys

from mlflow import MlflowClient, __version__

uri = sys.argv[1]
client = MlflowClient(uri, uri)
if not client.search_registered_models("name = 'credit'"):
    client.create_registered_model("credit")
made = client.create_model_version("credit", "s3://bucket/model")
client.set_registered_model_alias("credit", "champion", str(made.version))
found = {
    "create_model_version": made.version,
    "get_model_version": client.get_model_version("credit", str(made.version)).version,
    "get_model_version_by_alias": client.get_model_version_by_alias("credit", "champion").version,
    "search_model_versions": client.search_model_versions("name = 'credit'")[0].version,
    "aliases": client.get_registered_model("credit").aliases["champion"],
}
types = {name: type(value).__name__ for name, value in found.items()}
print(f"mlflow {__version__}, {uri.partition(':')[0]}: {types}")
sys.exit(set(types.values()) != {sys.argv[2]})
PY
"$tmp/venv/bin/python" -W ignore seen.py "sqlite:///$tmp/store.db" int 2>/dev/null
"$tmp/venv/bin/python" -m mlflow server --backend-store-uri "sqlite:///$tmp/store.db" --host 127.0.0.1 --port "$port" \
    --workers 1 >server.log 2>&1 &
server=$!
for _ in $(seq 60); do
    "$tmp/venv/bin/python" -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/health')" 2>/dev/null && break
    sleep 1
done
"$tmp/venv/bin/python" -W ignore seen.py "http://127.0.0.1:$port" str 2>/dev/null
echo "as described"
