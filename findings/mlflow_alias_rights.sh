#!/usr/bin/env bash
# Guess: under MLflow's basic-auth whoever may set the alias of a registered model may take it away again.
# Seen with mlflow 3.17.2: with EDIT on the model an alias is set, and moved from one version to another, but taking it
#   away is refused with 403; that needs MANAGE, as deleting the model does.
# Why it matters: a service with EDIT can move `champion` to the version before, but cannot undo the first promotion there
#   ever was: no alias was there before it. A tidy-up "delete, then set" fails in its first half and leaves the alias.
# Exits with another status than 0 where MLflow does otherwise.
set -euo pipefail
tmp=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$tmp"' EXIT
"${PYTHON:-python3}" -m venv "$tmp/venv"
"$tmp/venv/bin/python" -m pip install --quiet "mlflow==3.17.2" "mlflow[auth]==3.17.2" 2> "$tmp/pip.log" || { cat "$tmp/pip.log"; exit 2; }
cd "$tmp"
cat > auth.ini <<INI
[mlflow]
default_permission = READ
database_uri = sqlite:///$tmp/auth.db
admin_username = admin
admin_password = a-long-password-1
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
INI
export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
port=$("$tmp/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
MLFLOW_AUTH_CONFIG_PATH="$tmp/auth.ini" MLFLOW_FLASK_SERVER_SECRET_KEY=for-this-test-alone "$tmp/venv/bin/python" -m mlflow server \
    --app-name basic-auth --backend-store-uri "sqlite:///$tmp/store.db" --host 127.0.0.1 --port "$port" --workers 1 > server.log 2>&1 &
server=$!
for _ in $(seq 120); do
    "$tmp/venv/bin/python" -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/health')" 2> /dev/null && break
    sleep 1
done
"$tmp/venv/bin/python" -W ignore - "http://127.0.0.1:$port" 2> log <<'PYTHON' || { tail -3 log; exit 1; }
import os
import sys

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client

uri = sys.argv[1]


def be(name: str) -> None:
    os.environ.update(MLFLOW_TRACKING_USERNAME=name, MLFLOW_TRACKING_PASSWORD="a-long-password-1")


def outcome(call, *values: str) -> int:
    try:
        call(*values)
    except MlflowException as error:
        return error.get_http_status_code()
    return 200


be("admin")
client = MlflowClient(uri, uri)
users = get_app_client("basic-auth", tracking_uri=uri)
client.create_registered_model("credit")
for version in ("1", "2"):
    client.create_model_version("credit", f"s3://bucket/model-{version}")
for name, permission in (("editor", "EDIT"), ("manager", "MANAGE")):
    users.create_user(name, "a-long-password-1")
    users.grant_user_permission(name, "registered_model", "credit", permission)
be("editor")
seen = {
    "set": outcome(client.set_registered_model_alias, "credit", "champion", "1"),
    "moved": outcome(client.set_registered_model_alias, "credit", "champion", "2"),
    "taken away": outcome(client.delete_registered_model_alias, "credit", "champion"),
}
be("manager")
seen["taken away with MANAGE"] = outcome(client.delete_registered_model_alias, "credit", "champion")
print(f"mlflow {mlflow.__version__}, with EDIT: {seen}")
sys.exit(0 if [*seen.values()] == [200, 200, 403, 200] else 1)
PYTHON
