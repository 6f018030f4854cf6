"""Real parts for the tests: an sqlite store, the credit card clients, a network trained on them."""

import gc
import os
import tempfile
from pathlib import Path

CACHE = tempfile.TemporaryDirectory(prefix="nnperm-tests-", ignore_cleanup_errors=True)
for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):  # audits keep their work there, and that of tests is nobody's
    os.environ[name] = CACHE.name
for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # of networks so small threads wait for each other longer than they compute
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # nor shall threads that wait keep a core busy
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
    os.environ.pop(name, None)  # what surrounds the tests is none of their business

import mlflow
import pytest

from tests.support.empty_stores import empty_store

STORE = pytest.StashKey[str]()
LONG_ROOMS = ("tests/whole/", "tests/spark/", "tests/models/")


def pytest_collection_modifyitems(items):
    """Let long files begin first, so that at the end no process waits for the one that has got such a file."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG_ROOMS))


def pytest_collection_finish():
    """Leave alone, whenever memory is cleared, what has been imported by now: it stays anyway."""
    gc.freeze()


@pytest.fixture(scope="session")
def store(tmp_path_factory, request):
    """URI of an sqlite tracking store and registry, one for all."""
    folder = tmp_path_factory.mktemp("store")
    uri = empty_store(folder / "mlflow.db")
    mlflow.set_tracking_uri(uri)
    mlflow.create_experiment("tests", artifact_location=(folder / "artifacts").as_uri())
    request.config.stash[STORE] = uri
    return uri


@pytest.fixture(scope="module", autouse=True)
def _no_store_of_others(request):
    """No file of tests begins with MLflow speaking to a server of the file before, which has ended."""
    if (uri := request.config.stash.get(STORE, None)) is not None:
        mlflow.set_tracking_uri(uri)


@pytest.fixture
def tracked(store):
    """Let MLflow speak to the sqlite store, in the experiment `tests`; gives a client."""
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("tests")
    return mlflow.MlflowClient()


@pytest.fixture(scope="session")
def uci_csv():
    """Path of UCI_Credit_Card.csv, 30,000 real clients; see the README for where to get it."""
    path = os.environ.get("NNPERM_UCI_CSV", "")
    if not Path(path).is_file():
        pytest.skip("needs UCI_Credit_Card.csv, which is not part of the project: set NNPERM_UCI_CSV to its path")
    return Path(path)


@pytest.fixture(scope="session")
def house(store, tmp_path_factory):
    """A small network, registered in the sqlite store as version 1 of `house`, with its data and configuration."""
    from tests.support.house import build_house, register

    made = build_house(tmp_path_factory.mktemp("house"), "house", unroll=False)
    mlflow.set_tracking_uri(store)
    register(made)
    return made
