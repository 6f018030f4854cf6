"""An audit as a process of its own: what it is called with, what surrounds it, and never beside another one."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from nnperm_mlflow.basics.environments import audit_environment
from nnperm_mlflow.listening.child_process import Outcome, start, wait_for
from nnperm_mlflow.listening.versions import Version

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

AUDIT_PROGRAM = (sys.executable, "-m", "nnperm_mlflow", "audit")

_POLL_SECONDS = 0.2


class AuditProgram:
    """Runs audits, one at a time.

    Parameters
    ----------
    lock : Path
        File that an audit holds locked while it lives, longer than a listener that was killed: the next listener
        waits for it.
    most_seconds : float
        How long an audit may take.
    environment : mapping of str to str
        What surrounds the audit; the tracking store comes from there, so that no password shows in a list of
        processes.
    stopping : Event
        Is set when the listener stops; the audit is then stopped too.
    program : sequence of str
        What is called with the model and the configuration.
    tells_run : bool
        Whether it is also called with a file (`--run-file`) for the id of its run.
    """

    def __init__(
        self,
        lock: Path,
        most_seconds: float,
        environment: Mapping[str, str],
        stopping: threading.Event,
        program: Sequence[str] = AUDIT_PROGRAM,
        *,
        tells_run: bool = False,
    ) -> None:
        self._lock = lock
        self._most_seconds = most_seconds
        self._environment = environment
        self._stopping = stopping
        self._program = program
        self._tells_run = tells_run

    def wait_for_others(self) -> bool:
        """Wait for an audit that a killed listener has left behind, as long as an audit may take.

        Returns
        -------
        bool
            False where it goes on even then, or the listener is stopped meanwhile.
        """
        end = time.monotonic() + self._most_seconds
        told = False
        while not self._stopping.is_set():
            with self._turn() as is_ours:
                if is_ours:
                    return True
            if time.monotonic() > end:
                logger.error(
                    "an audit that an earlier listener has begun does not end: end what holds '%s'", self._lock
                )
                return False
            if not told:
                logger.info("an audit that an earlier listener has begun is still running: waiting for its end")
                told = True
            self._stopping.wait(_POLL_SECONDS)
        return False

    def __call__(self, version: Version, config: Path) -> Outcome:
        """Audit a version and wait for the end.

        Parameters
        ----------
        version : Version
        config : Path
            The configuration file.

        Returns
        -------
        Outcome
        """
        command = [*self._program, "--model-uri", version.uri, "--config", str(config)]
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "run"
            asked = ["--run-file", str(told)] if self._tells_run else []
            with self._turn() as lock:
                child = start([*command, *asked], self._environment, lock)
            outcome = wait_for(child, self._most_seconds, self._stopping)
            return replace(outcome, run_id=_run_in(told))

    @contextmanager
    def _turn(self) -> Iterator[IO[bytes] | None]:
        """Give the locked file, or None where an audit holds it; a process that inherits it keeps the lock."""
        with self._lock.open("ab") as file:
            if sys.platform != "win32":
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield None
                    return
            yield file


KEY_PASSWORD = "NNPERM_KEY_PASSWORD"  # noqa: S105 - the name of a variable


def surroundings(tracking_uri: str, withheld: Collection[str], passed: Collection[str] = ()) -> dict[str, str]:
    """Return the surroundings of an audit: of the listener's own what it needs, and no run to continue.

    Parameters
    ----------
    tracking_uri : str
    withheld : collection of str
        The variables that hold secrets of the listener, which no audit gets; nor the password of a key.
    passed : collection of str
        Names of variables that it gets besides.
    """
    needed = audit_environment(os.environ, passed)
    kept = {name: value for name, value in needed.items() if name not in (*withheld, KEY_PASSWORD, "MLFLOW_RUN_ID")}
    return {**kept, "MLFLOW_TRACKING_URI": tracking_uri}


def _run_in(told: Path) -> str | None:
    """Return the id of a run that a file holds."""
    try:
        match = re.fullmatch(r"([0-9a-f]{32})\s*", told.read_text(encoding="utf-8")[:100])
    except (OSError, UnicodeDecodeError):
        return None
    return match[1] if match else None
