"""The versions that wait for their audit: a queue on disk, of one place for each version and of a bounded length."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from huey import SqliteHuey
from huey.registry import Message
from huey.serializer import Serializer

from nnperm_mlflow.listening.versions import Version


class Backlog:
    """Takes versions from several threads, and gives them to one that audits them, in the order they came.

    Parameters
    ----------
    database : Path
        Sqlite file; made where there is none. What waits in it from before is still there.
    most_waiting : int
        No more versions wait than these.
    audit : callable
        Is given one version after the other by `run_next`. What it raises is logged; the version is then gone from
        here.
    """

    def __init__(self, database: Path, most_waiting: int, audit: Callable[[Version], None]) -> None:
        self._most_waiting = most_waiting
        self._lock = threading.Lock()
        self._running: Version | None = None
        self._huey = SqliteHuey(
            "audits", filename=str(database), results=False, fsync=True, strict_fifo=True, serializer=_AsJson()
        )
        self._task = self._huey.task(name="audit")(lambda name, number: audit(Version(name, number)))

    def add(self, version: Version) -> Literal["queued", "waiting", "running", "full"]:
        """Let a version wait for its audit, unless it does already, is in it, or there are too many.

        Returns
        -------
        str
            `queued` where it was added, else why not.
        """
        with self._lock:
            if version == self._running:
                return "running"
            waiting = self._waiting()
            if version in waiting:
                return "waiting"
            if len(waiting) >= self._most_waiting:
                return "full"
            self._huey.enqueue(self._task.s(version.name, version.number))
            return "queued"

    def run_next(self) -> bool:
        """Take the version that has waited longest and audit it; return False where none waits."""
        with self._lock:
            task = self._huey.dequeue()
            self._running = task and Version(*task.args)
        if task is None:
            return False
        try:
            self._huey.execute(task)
        finally:
            with self._lock:
                self._running = None
        return True

    @property
    def waiting(self) -> int:
        """How many versions wait."""
        return self._huey.pending_count()

    @property
    def is_full(self) -> bool:
        """Whether no more versions are taken."""
        return self.waiting >= self._most_waiting

    @property
    def running(self) -> Version | None:
        """The version that is being audited."""
        return self._running

    def _waiting(self) -> set[Version]:
        return {Version(*task.args) for task in self._huey.pending()}


class _AsJson(Serializer):  # type: ignore[misc] # huey has no types
    """Tasks as JSON instead of pickles: whoever can write the file can then name versions, and not run code."""

    def _serialize(self, data: Message) -> bytes:
        return json.dumps(data).encode()

    def _deserialize(self, data: bytes) -> Any:  # noqa: ANN401
        return Message(*json.loads(data))
