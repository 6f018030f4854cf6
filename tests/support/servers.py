"""Real servers on loopback, MLflow's and one of files, and waiting for what other processes do."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import requests

from tests.support.empty_stores import empty_store


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def running_server(folder, extra_env=None, extra_args=(), *, port=None, store=None, artifacts=None):
    """Run a tracking server and give its address; without a `store` and a place for artifacts both are in `folder`.

    There another server may go on after it.
    """
    port = port or free_port()
    if store is None and not (folder / "mlflow.db").exists():
        empty_store(folder / "mlflow.db")
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", store or f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", artifacts or str(folder / "artifacts"), *extra_args,
    ]  # fmt: skip
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(extra_env or {})}
    with (
        (folder / "log").open("a") as log,
        subprocess.Popen(
            command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        address = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: is_healthy(address), lambda: f"no server:\n{(folder / 'log').read_text()}")
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def guarded(folder, admin, password, database=None):
    """Write settings of a server that asks who somebody is and lets everybody read; give what `running_server` takes.

    Credentials are checked once in five minutes, since that alone takes a tenth of a second.
    """
    settings = folder / "auth.ini"
    settings.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {database or f'sqlite:///{folder}/auth.db'}\n"
        f"admin_username = {admin}\nadmin_password = {password}\nauth_cache_ttl_seconds = 300\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environment = {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "for tests only"}
    return {"extra_env": environment, "extra_args": ("--app-name", "basic-auth")}


@contextmanager
def serving_files(folder):
    """Serve the files of a folder; gives the address, and the list of paths that have been asked for."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *said):
            asked.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield SimpleNamespace(address=f"http://127.0.0.1:{server.server_port}", asked=asked)
        finally:
            server.shutdown()


def is_healthy(address):
    try:
        return requests.get(f"{address}/health", timeout=2).ok
    except requests.RequestException:
        return False


def wait_until(condition, message, most_seconds=120):
    """Wait until `condition()` holds, or fail with a message, which may be a function that makes one by then."""
    end = time.monotonic() + most_seconds
    while not condition():
        assert time.monotonic() < end, message() if callable(message) else message
        time.sleep(0.2)
