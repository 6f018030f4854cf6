#!/usr/bin/env bash
# Guess: MlflowClient.set_model_version_tag is one request to the server, and so is update_model_version.
# Seen: each is two. Before the write the client fetches the registered model, every time, to see whether the name is that
#   of a prompt.
# Why it matters: five tags on a version are ten requests one after the other, a second or more where the server is far
#   away; and a token that may tag a version, but not read the registered model, cannot tag it through this client.
# Exits with another status than 0 where MLflow does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/python" -m pip install --quiet "mlflow==3.17.2" 2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
cd "$tmp"
port=$("$tmp/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export MLFLOW_DISABLE_TELEMETRY=true
"$tmp/venv/bin/mlflow" server --backend-store-uri "sqlite:///$tmp/store.db" --host 127.0.0.1 --port "$port" --workers 1 \
    > server.log 2>&1 &
server=$!
trap 'kill "$server"; wait "$server" 2> /dev/null || true; rm -rf "$tmp"' EXIT
for _ in $(seq 120); do
    "$tmp/venv/bin/python" -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/health')" 2> /dev/null && break
    sleep 1
done
MLFLOW_TRACKING_URI="http://127.0.0.1:$port" "$tmp/venv/bin/python" -W ignore - 2> log <<'PYTHON' || { tail -3 log; exit 1; }
import sys

import mlflow
import requests

client = mlflow.MlflowClient()
client.create_registered_model("credit")
client.create_model_version("credit", "s3://models/credit")  # nobody reads it here
asked, send = [], requests.Session.send


def noted(session, request, **more):
    asked.append(f"{request.method} {request.path_url.partition('mlflow/')[2].partition('?')[0]}")
    return send(session, request, **more)


requests.Session.send = noted


def requests_of(call, *arguments):
    asked.clear()
    call(*arguments)
    return list(asked)


of_version = [requests_of(client.set_model_version_tag, "credit", "1", "state", told) for told in ("new", "old")]
of_description = requests_of(client.update_model_version, "credit", "1", "a network")
of_model = requests_of(client.set_registered_model_tag, "credit", "owner", "risk")
print(f"mlflow {mlflow.__version__}: a version's tag twice {of_version}, its description {of_description}, "
      f"a tag of the registered model {of_model}")
question = "GET registered-models/get"
expected = [question, "POST model-versions/set-tag"]
as_seen = of_version == [expected] * 2 and of_description == [question, "PATCH model-versions/update"]
sys.exit(0 if as_seen and of_model == [question, "POST registered-models/set-tag"] else 1)
PYTHON
