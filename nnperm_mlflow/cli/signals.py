"""Ending in good order where a signal asks for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from nnperm_mlflow.cli.mlflow_run import call_killed_afterwards, end_with, find_caller

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(SystemExit):
    """A signal has come that shall end this process; its exit status is the one that shells give it."""


@contextmanager
def stoppable(by_mlflow_run: bool) -> Iterator[None]:
    """Let a signal end the block, but for those that this process was started to ignore.

    Parameters
    ----------
    by_mlflow_run : bool
        Whether `mlflow run` has started this process, which then ends with it.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):  # None is one that Python did not set, and could not set again
            signal.signal(number, _stop)
    caller = find_caller() if by_mlflow_run else None
    try:
        if caller is not None:
            end_with(caller)
        yield
    except Stopped:
        if caller is not None:
            call_killed_afterwards(caller)
        with suppress(OSError):  # the terminal may be gone
            click.echo("stopped", err=True)
        raise
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def _stop(number: int, frame: object) -> None:
    for each in _SIGNALS:  # a second one would cut short what is done to end
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(128 + number)
