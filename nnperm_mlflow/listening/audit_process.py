"""An audit as a process of its own: started, watched, stopped in time, and never beside another one."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from nnperm_mlflow.basics.environments import audit_environment
from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.listening.versions import Version

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

AUDIT_PROGRAM = (sys.executable, "-m", "nnperm_mlflow", "audit")

_POLL_SECONDS = 0.2
_END_SECONDS = 30.0  # for an audit that was told to stop to end its run
_MOST_BYTES, _MOST_LINES = 8000, 30  # of what an audit says, at its beginning and at its end
_LONGEST = 500  # letters of a line


@dataclass(frozen=True)
class Outcome:
    """How an audit's process ended.

    Attributes
    ----------
    status : int
        Exit status; negative for the signal that ended it.
    ended : {'by itself', 'stopped', 'timed out'}
        `stopped` where the listener itself was.
    said : list of str
        What it said, line by line; of very much the beginning, which holds the table, and the end.
    """

    status: int
    ended: Literal["by itself", "stopped", "timed out"] = "by itself"
    said: list[str] = field(default_factory=list)


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
    """

    def __init__(
        self,
        lock: Path,
        most_seconds: float,
        environment: Mapping[str, str],
        stopping: threading.Event,
        program: Sequence[str] = AUDIT_PROGRAM,
    ) -> None:
        self._lock = lock
        self._most_seconds = most_seconds
        self._environment = environment
        self._stopping = stopping
        self._program = program

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
        with tempfile.TemporaryFile() as said:
            with self._turn() as lock:
                process = subprocess.Popen(  # noqa: S603 - a list of arguments, and no shell
                    command,
                    env=dict(self._environment),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the listener, which then stops the audit
                    pass_fds=[lock.fileno()] if lock and sys.platform != "win32" else (),
                )
            ended = self._watch(process)
            return Outcome(process.returncode, ended, _lines_of(said))

    def _watch(self, process: subprocess.Popen[bytes]) -> Literal["by itself", "stopped", "timed out"]:
        end = time.monotonic() + self._most_seconds
        while process.poll() is None:
            if self._stopping.wait(_POLL_SECONDS):
                _stop(process)
                return "stopped"
            if time.monotonic() > end:
                _stop(process)
                return "timed out"
        return "by itself"

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


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let an audit end its run as killed; where it does not, end it with all that it has started."""
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()


def _lines_of(said: IO[bytes]) -> list[str]:
    size = said.seek(0, os.SEEK_END)
    is_whole = size <= 2 * _MOST_BYTES
    first, last = (_read(said, at, size if is_whole else _MOST_BYTES) for at in (0, max(0, size - _MOST_BYTES)))
    if is_whole and len(first) <= 2 * _MOST_LINES:
        return first
    return [*first[:_MOST_LINES], "...", *last[-_MOST_LINES:]]


def _read(said: IO[bytes], start: int, n_bytes: int) -> list[str]:
    """Return the lines of a part, without empty ones."""
    said.seek(start)
    lines = said.read(n_bytes).decode("utf-8", "replace").splitlines()
    return [printable(line)[:_LONGEST] for line in lines if line.strip()]
