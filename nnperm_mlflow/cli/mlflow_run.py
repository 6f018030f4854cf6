"""What a program owes to the `mlflow run` that has started it: to end when that ends, and to be called killed then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil

_SHELLS = {"bash", "dash", "sh"}  # by which MLflow calls a program
_LOOKS_EVERY = 0.5  # seconds


def find_caller() -> psutil.Process | None:
    """Return the process that has started this one, past the shells between them; None on Windows.

    There MLflow ends a program without a signal that it could heed.
    """
    if sys.platform == "win32":
        return None
    for parent in psutil.Process().parents():
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if parent.name() not in _SHELLS:
                return parent
    return None


def end_with(caller: psutil.Process) -> None:
    """Stop this process by SIGTERM once its caller has ended: MLflow passes that signal on to nobody."""
    own = threading.main_thread().ident

    def watch() -> None:
        while _lives(caller):
            time.sleep(_LOOKS_EVERY)
        if own is not None:
            signal.pthread_kill(own, signal.SIGTERM)

    threading.Thread(target=watch, name="ends with mlflow run", daemon=True).start()


def call_killed_afterwards(caller: psutil.Process) -> None:
    """Leave a process behind that calls the run of this one killed once MLflow has called it failed."""
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if run_id and _lives(caller):
        command = [sys.executable, "-m", "nnperm_mlflow.registry.killed_runs", str(caller.pid), run_id]
        quiet = subprocess.DEVNULL
        subprocess.Popen(  # noqa: S603 - a list of arguments, and no shell
            command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
