"""What all commands share: options, the set-up of this process, errors as one message, the bar of progress."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from nnperm_mlflow.basics.errors import AuditError
from nnperm_mlflow.basics.locations import without_secrets, without_secrets_in
from nnperm_mlflow.basics.text import in_lines, printable, program
from nnperm_mlflow.cli.signals import stoppable

EXIT_FAIL, EXIT_ERROR = 1, 2
"""Exit statuses: a verdict of fail, and whatever hindered the command."""

_QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""Defaults for this program's own process, so that TensorFlow and MLflow are quiet."""

_Command = TypeVar("_Command", bound=Callable[..., Any])


def tracking_options(command: _Command) -> _Command:
    """Add the options that every command has: the store, and `--debug`."""
    options = [
        click.option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help="MLflow's tracking store."),
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


run_option = click.option(
    "--run-id", envvar="MLFLOW_RUN_ID", hidden=True, help="A run to continue (set by 'mlflow run')."
)


class _Printable(logging.Formatter):
    """Lets each message be one line that steers no terminal, whatever names it holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as the base class calls it
        return printable(super().formatMessage(record))


def log_to_stderr(form: str, *, force: bool = False) -> None:
    """Let warnings, and what this program tells, go to standard error.

    Parameters
    ----------
    form : str
        Of a line, as `logging` takes it.
    force : bool
        Whether it goes before what has been said on that.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable(form))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=force)


@contextmanager
def prepared(tracking_uri: str | None, debug: bool) -> Iterator[None]:
    """Set up this process, and turn what hinders a command into one message and exit status 2."""
    _replace_closed_streams()
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    log_to_stderr("%(message)s")
    logging.getLogger("nnperm_mlflow").setLevel(logging.INFO)
    with stoppable(by_mlflow_run=bool(click.get_current_context().obj)), _told(debug):
        if tracking_uri:
            import mlflow  # noqa: PLC0415

            mlflow.set_tracking_uri(tracking_uri)
        yield


def _replace_closed_streams() -> None:
    """Put something harmless where a standard stream was closed: a file opened later would get what is meant for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
            setattr(sys, name, nowhere)


@contextmanager
def _told(debug: bool) -> Iterator[None]:
    """Turn what hinders a command into one message and exit status 2."""
    try:
        yield
    except click.ClickException:
        raise
    except Exception as error:  # its status, 1, would be that of a verdict
        if debug:
            click.echo(without_secrets_in("".join(traceback.format_exception(error))), err=True)
        kind = type(error).__name__
        if isinstance(error, AuditError):
            first, *more = error.lines or (str(error),)
            told = [f"{kind}: {first}", *more]
        else:  # its words may hold data
            told = [f"unexpected {kind}: --debug shows what it says and where it comes from; please report it"]
        click.echo(in_lines(told), err=True)
        sys.exit(EXIT_ERROR)


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """Give a listener that draws a bar with the time left; none where nobody looks, so that lines are logged."""
    if not sys.stderr.isatty():
        yield None
        return
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


def ui_command(store: str) -> str:
    """Return the command line that shows a store in MLflow's UI."""
    return f"{program('mlflow')} ui --backend-store-uri {shown(store)}"


def shown(store: str) -> str:
    """Return a store's URI for a command line, without what is secret in it."""
    return shlex.quote(without_secrets(store))
