"""Stores of MLflow in which nothing is yet: their schema takes seconds to make, so that it is made once and copied."""

import tempfile
from functools import cache
from pathlib import Path

from mlflow.db import upgrade


@cache
def _schema():
    """Return the bytes of an sqlite database of MLflow's, as `mlflow db upgrade` makes it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mlflow.db"
        upgrade.callback(f"sqlite:///{file}")
        return file.read_bytes()


def empty_store(file):
    """Write an empty tracking store and registry; return its URI."""
    file.write_bytes(_schema())
    return f"sqlite:///{file}"
