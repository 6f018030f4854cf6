"""What all commands share: options, the set-up of this process, errors as one message."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from nnperm_mlflow.basics.errors import AuditError
from nnperm_mlflow.basics.locations import without_secrets, without_secrets_in
from nnperm_mlflow.basics.text import in_lines, printable, program
from nnperm_mlflow.cli.native_stderr import quieten_tensorflow
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


class WithSwitches(click.Command):
    """Lets a switch stand before an argument, and be followed by true or false, as `mlflow run` gives it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join each switch with the value that follows it, or with true."""
        switches = {name for option in self.params for name in option.opts if _is_switch(option)}
        joined: list[str] = []
        for word in args:
            if joined and joined[-1] in switches:
                is_value = word.lower() in ("true", "false")
                joined[-1] = f"{joined[-1]}={word if is_value else 'true'}"
                if is_value:
                    continue
            joined.append(word)
        return super().parse_args(ctx, joined)


def _is_switch(option: click.Parameter) -> bool:
    """Tell whether an option may stand without the value that it takes."""
    return isinstance(option, click.Option) and option.flag_value == "true"


def one_uri(argument: str | None, option: str | None) -> str | None:
    """Return the model's URI, which may stand as an argument or behind `--model-uri`, where `mlflow run` puts it.

    Raises
    ------
    UsageError
        If two are given that differ.
    """
    given = {uri for uri in (argument, option) if uri}
    if len(given) > 1:
        shown_ones = [printable(without_secrets(str(uri))) for uri in (argument, option)]
        raise click.UsageError("two models are named, '{}' and '{}' (--model-uri): give one.".format(*shown_ones))
    return next(iter(given), None)


run_option = click.option(
    "--run-id", envvar="MLFLOW_RUN_ID", hidden=True, help="A run to continue (set by 'mlflow run')."
)


class _Printable(logging.Formatter):
    """Lets each message be one line that steers no terminal, whatever names it holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as the base class calls it
        return printable(super().formatMessage(record))


def _is_no_small_talk(record: logging.LogRecord) -> bool:
    """Tell whether a record is ours, or tells of an error: of tracing and optimizers TensorFlow speaks to modellers."""
    return record.levelno >= logging.ERROR or record.name.partition(".")[0] not in ("tensorflow", "absl")


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
    handler.addFilter(_is_no_small_talk)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=force)


@contextmanager
def prepared(tracking_uri: str | None, debug: bool, trust_model: bool = False) -> Iterator[None]:
    """Set up this process, and turn what hinders a command into one message and exit status 2.

    Where a model is trusted, the process for its code begins to load libraries now, beside this one.
    """
    _replace_closed_streams()
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not debug and os.environ["TF_CPP_MIN_LOG_LEVEL"] >= _QUIET["TF_CPP_MIN_LOG_LEVEL"]:
        quieten_tensorflow()
    log_to_stderr("%(message)s")
    logging.getLogger("nnperm_mlflow").setLevel(logging.INFO)
    with stoppable(by_mlflow_run=bool(click.get_current_context().obj)), _told(debug):
        if trust_model:
            from nnperm_mlflow.models.isolation.process import start_ahead  # noqa: PLC0415 - for trusted models alone

            start_ahead()
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


def files_lines(
    directory: Path | None, pictures: Sequence[str], tables: Sequence[str], pages: Sequence[str] = ()
) -> list[str]:
    """Return lines that say where pages, pictures and tables lie.

    Parameters
    ----------
    directory : Path or None
        Where all files of the run lie as well; None where they are in the run alone.
    pictures, tables, pages : sequence of str
        Names of files.
    """
    lines = []
    for what, names in (("page", pages), ("picture", pictures), ("table", tables)):
        if not names:
            continue
        places = [name if directory is None else str(directory / name) for name in names]
        in_run = " in the run" if directory is None else ""
        lines.append(f"{what}{'s' * (len(names) > 1)}: {', '.join(places)}{in_run}")
    lines[-1] += " (with --output DIR there, too)" if directory is None else ", beside all other files of the run"
    return lines


def ui_command(store: str) -> str:
    """Return the command line that shows a store in MLflow's UI."""
    return f"{program('mlflow')} ui --backend-store-uri {shown(store)}"


def shown(store: str) -> str:
    """Return a store's URI for a command line, without what is secret in it."""
    return shlex.quote(without_secrets(store))
