"""Reaching the tracking store, or saying at once that it cannot be reached."""

from __future__ import annotations

import logging
import os
import re
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.tracking.context.registry import resolve_tags
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from nnperm_mlflow.basics.errors import TrackingError
from nnperm_mlflow.basics.locations import without_secrets
from nnperm_mlflow.basics.text import program
from nnperm_mlflow.registry.error_explanation import explained

logger = logging.getLogger(__name__)

PROBE_SECONDS = (4, 8)
"""How long a server may take to accept a connection, and to answer."""

_ENDPOINT = "MLFLOW_S3_ENDPOINT_URL"  # of a store like S3 that is not Amazon's
_DATABASE = re.compile(r"(postgresql|mysql|mssql)\b")  # over a network, each of which MLflow would try for minutes
_RELATIVE_SQLITE = re.compile(r"sqlite:///(?!/|[A-Za-z]:)")


def connect(run_id: str | None = None) -> MlflowClient:
    """Return a client for MLflow's current tracking and registry stores.

    Parameters
    ----------
    run_id : str, optional
        A run that is already there (under `mlflow run`) and that the audit shall continue.

    Returns
    -------
    MlflowClient

    Raises
    ------
    TrackingError
        If a server does not answer within 12 seconds, a database does not let one in, or the store cannot be the one
        that holds the run.
    """
    stores = {str(mlflow.get_tracking_uri()), str(mlflow.get_registry_uri())}
    for store in stores:
        if run_id and _RELATIVE_SQLITE.match(store):
            raise TrackingError(
                f"the tracking URI {store} is relative, and under 'mlflow run' means another database in the project's "
                "directory. Give it absolutely: sqlite:////path/to/mlflow.db."
            )
        if store.startswith(("http://", "https://")):
            _probe(store)
        elif _DATABASE.match(store):
            _probe_database(store)
    _look_for_store()
    return MlflowClient()


BOUNDS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "12",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "60",
    "AWS_MAX_ATTEMPTS": "3",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""How long MLflow's client waits for an answer (seconds), and how often it asks again, unless the caller has said so.

AWS_MAX_ATTEMPTS is boto's, which waits for 60 seconds each time and has no variable for that.

A server that has fallen silent is told of after 12 seconds and given up after three times as many; by its own defaults
MLflow would ask for a quarter of an hour. It would also print the address of each run that ends, with the password if
there is one in the tracking URI.
"""


@dataclass
class _Bounding:
    """The blocks within which this process is bounded, in all its threads: they share one environment."""

    n_blocks: int = 0
    ours: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_BOUNDING = _Bounding()


@contextmanager
def bounded() -> Iterator[None]:
    """Bound all that MLflow's client asks of a server within the block; the bounds go with the last block."""
    with _BOUNDING.lock:
        if _BOUNDING.n_blocks == 0:
            _BOUNDING.ours = {name: value for name, value in BOUNDS.items() if name not in os.environ}
            os.environ.update(_BOUNDING.ours)
        _BOUNDING.n_blocks += 1
    try:
        yield
    finally:
        with _BOUNDING.lock:
            _BOUNDING.n_blocks -= 1
            if _BOUNDING.n_blocks == 0:
                for name in _BOUNDING.ours:
                    os.environ.pop(name, None)


@contextmanager
def connected(run_id: str | None = None) -> Iterator[tuple[MlflowClient, Path]]:
    """Give a client and a directory for downloads; what MLflow refuses inside is told in one line.

    Parameters
    ----------
    run_id : str, optional
        As for `connect`.
    """
    with bounded(), explained(), TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        yield connect(run_id), Path(scratch)


def _probe(server: str) -> None:
    """Ask a server whether it lives; MLflow's own client would try for minutes."""
    problem = _silence_of(f"{server.rstrip('/')}/health")
    if problem is not None:
        raise TrackingError(
            f"the MLflow server at {without_secrets(server)} cannot be reached ({problem}). "
            "Start it, or set MLFLOW_TRACKING_URI (or --tracking-uri) to where it runs."
        )


def _look_for_store() -> None:
    """Say at once where a store of artifacts is silent; boto would try for minutes, and not all commands need it."""
    store = os.environ.get(_ENDPOINT)
    problem = _silence_of(store) if store else None
    if store and problem is not None:
        logger.warning(
            "the store of artifacts at %s cannot be reached (%s): what needs it will fail. Start it, or set %s to "
            "where it runs.",
            without_secrets(store),
            problem,
            _ENDPOINT,
        )


def _silence_of(address: str) -> str | None:
    """Return why a server does not answer; None where it does, whatever it answers."""
    try:
        requests.get(address, timeout=PROBE_SECONDS)
    except requests.exceptions.SSLError:
        return None  # it lives; which certificates to accept, MLflow has settings for
    except requests.RequestException as error:
        return type(error).__name__
    return None


def _probe_database(store: str) -> None:
    """Ask a database whether it lets this user in."""
    shown = without_secrets(store)
    try:
        with create_engine(make_url(store), poolclass=NullPool).connect():
            pass
    except (ArgumentError, ValueError) as error:
        raise TrackingError(
            f"the tracking URI {shown} names no database; expected postgresql://user:password@house:5432/name."
        ) from error
    except SQLAlchemyError as error:
        raise TrackingError(
            f"the database {shown} cannot be reached, or does not let this user in ({type(error).__name__}). Start it, "
            "or mend the tracking URI."
        ) from error


def run_address(experiment_id: str, run_id: str) -> str | None:
    """Return the page of a run in the web UI; None where no server is known."""
    store = str(mlflow.get_tracking_uri())
    if not store.startswith(("http://", "https://")):
        return None
    return f"{without_secrets(store).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"


def command(name: str, *arguments: str) -> str:
    """Return the line that runs a command of ours on the current tracking store.

    A store with a password is left out: the line would show it.
    """
    store = str(mlflow.get_tracking_uri())
    where = ["--tracking-uri", store] if without_secrets(store) == store else []
    return f"{program('nnperm')} {shlex.join([name, *arguments, *where])}"


def current_user() -> str:
    """Return who acts here: the name that the server is told, else the one that MLflow gives its runs."""
    name = os.environ.get("MLFLOW_TRACKING_USERNAME") or resolve_tags().get("mlflow.user") or "unknown"
    return str(name)
