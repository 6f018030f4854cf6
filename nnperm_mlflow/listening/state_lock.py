"""A state directory, held by one listener at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from nnperm_mlflow.basics.errors import ConfigError


@contextmanager
def only_listener(state: Path) -> Iterator[None]:
    """Hold a state directory, made where there is none, so that no other listener works on its queue.

    The lock is sqlite's on a file, which ends with the process, however that ends.

    Parameters
    ----------
    state : Path

    Raises
    ------
    ConfigError
        If another listener holds it, or it cannot be used.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = sqlite3.connect(state / "lock.db", timeout=0, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(
            f"the state directory '{state}' cannot be used ({error}). Give another with --state-dir."
        ) from error
    with closing(lock):
        try:
            lock.execute("begin exclusive")
        except sqlite3.OperationalError as error:
            raise ConfigError(
                f"the state directory '{state}' cannot be held ({error}): another listener uses it. Stop that one, or "
                "give this one its own with --state-dir."
            ) from error
        yield
