"""How far an audit is, where somebody looks: a bar at a terminal or in a notebook, and lines in the log elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import click

from nnperm_mlflow.analysis.engine.progress import Progress, nobody

logger = logging.getLogger(__name__)

AnyProgress = Progress | Literal[False] | None
"""A listener of one's own, nobody (False), or whoever looks (None)."""

_LOG_EVERY_SECONDS, _SHOW_EVERY_SECONDS = 10.0, 0.25


@contextmanager
def watched(progress: AnyProgress = None) -> Iterator[Progress]:
    """Give the listener that was asked for; else one that shows a bar where somebody looks, and logs lines elsewhere.

    Parameters
    ----------
    progress : callable, False or None
        False tells nobody.
    """
    if progress is not None:
        yield nobody if progress is False else progress
    elif _in_a_notebook():
        yield _notebook_bar()
    elif sys.stderr is not None and sys.stderr.isatty():
        with _terminal_bar() as bar:
            yield bar
    else:
        yield _log_lines()


@contextmanager
def _terminal_bar() -> Iterator[Progress]:
    """Give a listener that draws a bar with the time left."""
    stack = ExitStack()
    bar: Any = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if done == 0:
            stack.close()
            bar = stack.enter_context(click.progressbar(length=total, label="rows", file=sys.stderr, show_pos=True))
        bar.update(done - bar.pos)
        if done == total:
            stack.close()  # so that what is said next stands in a line of its own

    try:
        yield show
    finally:
        with suppress(OSError):  # the terminal may be gone
            stack.close()


def _in_a_notebook() -> bool:
    """Tell whether a kernel runs this, whose front end shows HTML; IPython at a terminal has none."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


@dataclass
class _Standing:
    """How far a loop is, as a front end shows it.

    Attributes
    ----------
    done, total : int
        Rows.
    started : float
        By the monotonic clock, in seconds.
    """

    done: int = 0
    total: int = 0
    started: float = 0.0

    def take(self, done: int, total: int) -> None:
        """Take in what a loop reports; none done is the beginning of another one."""
        if done == 0:
            self.started = time.monotonic()
        self.done, self.total = done, total

    def __repr__(self) -> str:
        told = f"{self.done:,} of {self.total:,} rows done"
        if not self.done:
            return told
        left = (time.monotonic() - self.started) / self.done * (self.total - self.done)
        return f"{told}, about {left:.0f} s left"

    def _repr_html_(self) -> str:
        return f'<progress value="{self.done}" max="{self.total}"></progress> {self}'


def _notebook_bar() -> Progress:
    """Return a listener that shows a bar in the output of the cell, in the same place until its loop ends."""
    from IPython.display import display  # noqa: PLC0415 - it is there, since a kernel runs

    standing, place, shown = _Standing(), None, 0.0

    def show(done: int, total: int) -> None:
        nonlocal place, shown
        standing.take(done, total)
        if done == 0:
            place = display(standing, display_id=True)
        elif place is not None and (done == total or time.monotonic() - shown >= _SHOW_EVERY_SECONDS):
            place.update(standing)
            shown = time.monotonic()

    return show


def _log_lines() -> Progress:
    """Return a listener that logs a line now and then."""
    standing, told = _Standing(), time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        standing.take(done, total)
        if done and (done == total or time.monotonic() - told >= _LOG_EVERY_SECONDS):
            logger.info("%s", standing)
            told = time.monotonic()

    return tell
