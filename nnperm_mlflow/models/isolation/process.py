"""The process of a model, as the audit sees it: started early, asked one thing at a time, ended with the audit."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import RawIOBase
from itertools import islice
from typing import Any, cast

import numpy as np

from nnperm_mlflow.basics import errors
from nnperm_mlflow.basics.environments import model_environment
from nnperm_mlflow.basics.errors import AuditError, ModelError, PredictionError
from nnperm_mlflow.basics.stderr_filter import open_filter
from nnperm_mlflow.basics.text import printable
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.models.isolation._frames import MalformedError, read_answer, send_values
from nnperm_mlflow.models.isolation._home import Home

_PROGRAM = (sys.executable, "-m", "nnperm_mlflow.models.isolation.worker")
_OWN_LOGGER = "nnperm_mlflow"
_END_SECONDS = 10.0  # for a process whose pipe has closed to be gone

_AHEAD = {"wanting": 2, "predicted": 1}
"""Changes that are sent where the model's side wants one, and where it has predicted one."""

_PIPE_BYTES = 1 << 20  # of the pipes between, where the system lets them be larger than 64 KiB

Answer = tuple[dict[str, Any], list[np.ndarray]]


_STARTED_AHEAD: list[ModelProcess] = []


def start_ahead() -> None:
    """Start a process before there is an audit: it loads its libraries while this process loads its own."""
    _STARTED_AHEAD.append(ModelProcess())


def take_process() -> ModelProcess:
    """Return a process for a model: one that was started ahead, else a new one."""
    return _STARTED_AHEAD.pop() if _STARTED_AHEAD else ModelProcess()


class ModelCodeError(Exception):
    """What was raised in the process of a model, with its traceback as text; it may hold data."""


class ModelProcess:
    """A process for one model. It begins to load libraries at once, before there is a model.

    It works in a directory of its own, which is its home, too, and goes with it.

    Parameters
    ----------
    backend : str, optional
        What Keras shall run on there; by default what it runs on here.

    Attributes
    ----------
    calls : int
        Calls of the model, as of the last answer.
    """

    def __init__(self, backend: str | None = None) -> None:
        home = Home.make()
        environment = model_environment(os.environ, home.path)
        stderr = open_filter()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - a list of arguments, and no shell
                _PROGRAM,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=home.path,
                env=environment if backend is None else {**environment, "KERAS_BACKEND": backend},
                start_new_session=True,  # Ctrl-C is for the audit, which then ends this
            )
        finally:
            os.close(stderr)
        self._requests = cast("RawIOBase", self._process.stdin)
        self._answers = cast("RawIOBase", self._process.stdout)
        for stream in (self._requests, self._answers):
            _enlarge(stream.fileno())
        self._ends = weakref.finalize(self, _end, self._process, home, os.getpid())
        self._forgotten: list[int] = []
        self.calls = 0

    def close(self) -> None:
        """End the process, and whatever the model has started in it."""
        self._ends()

    def forget(self, block: int) -> None:
        """Let go of rows that were begun, with the next request."""
        self._forgotten.append(block)

    def ask(self, do: str, **more: object) -> Answer:
        """Ask something, and wait for the answer.

        Raises
        ------
        AuditError
            As the model's side has it, or of class `PredictionError` where the model fails in another way or its
            process ends.
        """
        self._request(do, more)
        return self._receive()

    def predict(self, block: int, changes: Iterable[Change]) -> Iterator[np.ndarray]:
        """Yield, for each change, what the model's side predicts.

        Changes are drawn as the model asks for them and as many again ahead, so that it predicts while what came before
        is dealt with here.
        """
        self._request("predict", {"block": block})
        waiting, ended = iter(changes), False
        try:
            while not ended:
                told, arrays = self._receive()
                n_more = _AHEAD.get(told["is"], 0)
                for change in islice(waiting, n_more):
                    self._send({"do": "go on", "change": change})
                    n_more -= 1
                if n_more:
                    self._send({"do": "go on", "change": None})
                if told["is"] == "predicted":
                    yield arrays[0]
                ended = told["is"] == "answer"
        except (GeneratorExit, Exception) as error:
            if not isinstance(error, AuditError) and self._ends.alive:
                self._stop_predicting()
            raise
        except BaseException:
            self.close()  # whoever stops the audit waits for no call
            raise

    def _stop_predicting(self) -> None:
        self._send({"do": "stop"})
        with suppress(AuditError):
            while self._receive()[0]["is"] != "answer":
                pass

    def _request(self, do: str, more: dict[str, Any]) -> None:
        forgotten, self._forgotten = self._forgotten, []
        self._send({"do": do, "forget": forgotten, **more})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            send_values(self._requests, message)
        except (OSError, ValueError) as error:  # it has ended, or was closed
            raise self._gone() from error

    def _receive(self) -> Answer:
        while True:
            try:
                told, arrays = read_answer(self._answers)
                kind = told["is"]
                self.calls = int(told.get("calls", self.calls))
                if kind == "error":
                    raise _raised(told)
                if kind != "log":
                    return told, arrays
                _log(told)
            except (EOFError, OSError) as error:
                raise self._gone() from error
            except (MalformedError, KeyError, TypeError, ValueError) as error:
                self.close()
                raise ModelError(
                    "the process of the model sent something that is no answer: code that came with the model has "
                    "written where it has no business. The audit goes on with nothing that it says."
                ) from error

    def _gone(self) -> PredictionError:
        """Return the error for a process that has ended by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        status = self._process.returncode
        self.close()
        how = "closed its side" if status is None else f"ended with exit status {status}"
        if status is not None and status < 0:
            how = f"was killed ({_signal_name(-status)})"
        hint = " Memory may have been short." if status == -signal.SIGKILL else ""
        return PredictionError(
            f"the process in which the model's own code runs {how}.{hint} What it wrote last stands on standard error; "
            "smaller blocks (analysis: block_rows) take less memory."
        )


def _enlarge(pipe: int) -> None:
    """Let a pipe hold several predictions, so that neither side waits for the other to read."""
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415 - of Unix alone

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _raised(told: dict[str, Any]) -> AuditError:
    """Return the error that the model's side tells of, with its traceback as the cause."""
    kind, text = str(told["kind"]), str(told["text"])
    known = getattr(errors, kind, None) if told["own"] is True else None
    if isinstance(known, type) and issubclass(known, AuditError):
        error: AuditError = known(text)
    else:
        error = PredictionError(
            f"the model failed ({printable(kind)}). What it says may hold data, and is shown with --debug alone."
        )
    error.__cause__ = ModelCodeError(str(told["trace"]))
    return error


def _log(told: dict[str, Any]) -> None:
    """Log what was logged on the model's side, by this package alone."""
    name = str(told["logger"])
    if name.partition(".")[0] == _OWN_LOGGER:
        logging.getLogger(name).log(int(told["level"]), "%s", told["text"])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end(process: subprocess.Popen[bytes], home: Home, owner: int) -> None:
    """End a process and its group, and wait for it; where the one that has started it has forked, only there."""
    if os.getpid() != owner:
        return
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    process.wait()
    home.remove()
