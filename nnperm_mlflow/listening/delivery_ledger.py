"""What a listener remembers on disk: deliveries that were taken, audits that failed, when it was first started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huey.constants import EmptyData
from huey.storage import SqliteStorage

from nnperm_mlflow.listening.versions import Version
from nnperm_mlflow.listening.webhook_signature import MOST_AGE_SECONDS

MOST_TRIES = 3
"""How often the audit of one version may fail, with one configuration, before it is given up."""


class Deliveries:
    """The ids of deliveries that were taken, as long as one of them could still come again.

    Parameters
    ----------
    database : Path
        Sqlite file; made where there is none.
    """

    def __init__(self, database: Path) -> None:
        self._table = table_in(database, "deliveries")

    def knows(self, delivery: str) -> bool:
        """Tell whether a delivery was taken before."""
        return self._table.has_data_for_key(delivery)

    def remember(self, delivery: str, now: float) -> None:
        """Note that a delivery was taken, at `now` seconds since 1970."""
        self._table.put_data(delivery, str(now).encode())

    def forget_old(self, now: float) -> None:
        """Drop those whose signature is too old by now, even if they were signed ahead of time."""
        for delivery, when in self._table.result_items().items():
            if float(when) < now - 2 * MOST_AGE_SECONDS:
                self._table.pop_data(delivery)


class Failures:
    """How often the audit of a version has failed, counted anew once its configuration has changed.

    Parameters
    ----------
    database : Path
        Sqlite file; made where there is none.
    """

    def __init__(self, database: Path) -> None:
        self._table = table_in(database, "failures")

    def count(self, version: Version, digest: str) -> int:
        """Return how often a version's audit has failed with the configuration of that digest."""
        stored = self._table.peek_data(version.uri)
        if stored is EmptyData:
            return 0
        noted = json.loads(stored)
        return int(noted["count"]) if noted["config"] == digest else 0

    def add(self, version: Version, digest: str) -> int:
        """Count one more failure; return how many there are now."""
        count = self.count(version, digest) + 1
        self._table.put_data(version.uri, json.dumps({"count": count, "config": digest}).encode())
        return count

    def forget(self, uri: str) -> None:
        """Drop what is noted of a version."""
        self._table.pop_data(uri)

    def uris(self) -> set[str]:
        """Return the URIs of the versions of which failures are noted."""
        return set(self._table.result_items())

    def given_up(self) -> int:
        """Return the number of versions that are not tried any more."""
        return sum(json.loads(noted)["count"] >= MOST_TRIES for noted in self._table.result_items().values())


def first_start(database: Path, now: float) -> float:
    """Return when a listener first used this database, in seconds since 1970: `now` where none has."""
    table = table_in(database, "listener")
    table.put_if_empty("first_start", str(now).encode())
    return float(table.peek_data("first_start"))


def table_in(database: Path, name: str) -> Any:  # noqa: ANN401 - huey has no types
    """Return a table of bytes by keys in a database of the listener."""
    return SqliteStorage(name, filename=str(database), fsync=True)
