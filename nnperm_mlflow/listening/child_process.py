"""A process that the listener starts: watched, stopped in time, and what it says kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Literal

from nnperm_mlflow.basics.text import printable

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
    run_id : str or None
        The run that it wrote, where it was asked to tell, and has.
    """

    status: int
    ended: Literal["by itself", "stopped", "timed out"] = "by itself"
    said: list[str] = field(default_factory=list)
    run_id: str | None = None


def run_watched(
    command: Sequence[str], environment: Mapping[str, str], most_seconds: float, stopping: threading.Event
) -> Outcome:
    """Run a command and wait for its end; it is stopped with the listener, and after so many seconds.

    Parameters
    ----------
    command : sequence of str
    environment : mapping of str to str
    most_seconds : float
    stopping : Event
        Is set when the listener stops.
    """
    return wait_for(start(command, environment), most_seconds, stopping)


@dataclass(frozen=True)
class ChildProcess:
    """A process that was started.

    Attributes
    ----------
    process : Popen
    said : file
        What it says.
    """

    process: subprocess.Popen[bytes]
    said: IO[bytes]


def start(command: Sequence[str], environment: Mapping[str, str], lock: IO[bytes] | None = None) -> ChildProcess:
    """Start a command.

    Parameters
    ----------
    command : sequence of str
    environment : mapping of str to str
        All that surrounds it.
    lock : file, optional
        That it holds open, and so locked, while it lives.
    """
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed where its end is waited for
    process = subprocess.Popen(  # noqa: S603 - a list of arguments, and no shell
        list(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C is for the listener, which then stops the process
        pass_fds=[lock.fileno()] if lock and sys.platform != "win32" else (),
    )
    return ChildProcess(process, said)


def wait_for(child: ChildProcess, most_seconds: float, stopping: threading.Event) -> Outcome:
    """Wait for the end of a process, stopped with the listener and where it takes too long.

    Parameters
    ----------
    child : ChildProcess
    most_seconds : float
    stopping : Event
        Is set when the listener stops.
    """
    with child.said as said:
        ended = _end_of(child.process, most_seconds, stopping)
        return Outcome(child.process.returncode, ended, _lines_of(said))


def _end_of(
    process: subprocess.Popen[bytes], most_seconds: float, stopping: threading.Event
) -> Literal["by itself", "stopped", "timed out"]:
    end = time.monotonic() + most_seconds
    while process.poll() is None:
        if stopping.wait(_POLL_SECONDS):
            _stop(process)
            return "stopped"
        if time.monotonic() > end:
            _stop(process)
            return "timed out"
    return "by itself"


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
