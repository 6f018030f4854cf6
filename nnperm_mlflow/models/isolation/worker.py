"""The process of a model: `python -m nnperm_mlflow.models.isolation.worker`, started by an audit and ended with it.

Requests come on standard input and answers go to standard output, which nothing else may write to: what the model
prints goes to standard error. Where the audit is gone, by whatever signal, its end of the pipe is closed, and this
process ends in the middle of whatever it does.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import signal
import sys
import threading
from contextlib import suppress
from io import FileIO
from typing import Any, NoReturn

_USUAL = ("mlflow.pyfunc", "sklearn.ensemble", "mlflow.sklearn")
"""What most models that are code import when they are loaded; that takes seconds, in which the audit would wait."""


def main() -> NoReturn:
    """Serve until the audit ends."""
    requests, answers = FileIO(os.dup(0), "r"), FileIO(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="replace")  # no line waits for an end
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, waiting), daemon=True).start()
    from nnperm_mlflow.models.isolation._host import OWN_LOGGER, Host, Speaker  # noqa: PLC0415 - takes seconds

    speaker = Speaker(answers)
    logging.getLogger(OWN_LOGGER).addHandler(speaker)
    logging.getLogger(OWN_LOGGER).propagate = False
    _load_ahead(waiting)
    Host(waiting, speaker).serve()
    raise AssertionError("a host serves for ever")


def _load_ahead(waiting: queue.SimpleQueue[Any]) -> None:
    """Load what a model is likely to need while nothing is asked: the audit loads its own libraries meanwhile."""
    for name in _USUAL:
        if not waiting.empty():
            return
        with suppress(ImportError):
            importlib.import_module(name)


def _receive(requests: FileIO, waiting: queue.SimpleQueue[Any]) -> None:
    """Pass requests on; end this process, and what the model has started, where no more can come."""
    from nnperm_mlflow.models.isolation._frames import read_values  # noqa: PLC0415 - so that the main thread begins

    try:
        while True:
            waiting.put(read_values(requests))
    finally:
        if sys.platform != "win32" and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)


if __name__ == "__main__":
    main()
