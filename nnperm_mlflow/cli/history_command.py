"""`nnperm history`: what happened to all versions of a registered model."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

import nnperm_mlflow
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.basics.text import in_lines, printable
from nnperm_mlflow.cli.common import prepared, tracking_options

if TYPE_CHECKING:
    from nnperm_mlflow.registry.events import Event

_HEADER = ("when (UTC)", "version", "what", "verdict", "by", "run", "in words")
_WIDTH, _LEAST_WORDS, _LONGEST_NAME = 120, 24, 20  # letters
_DIGITS = 12  # of a digest
_GONE = "*"
_FORMATS = (".png", ".svg", ".pdf")
_DPI = 110


def _picture_path(context: click.Context, option: click.Parameter, value: str | None) -> Path | None:
    """Refuse, before anything is read, a file that a picture cannot be written to."""
    if not value:
        return None
    path = Path(value)
    if path.suffix.lower() not in _FORMATS:
        raise click.BadParameter(f"the picture '{path}' must end in one of {', '.join(_FORMATS)}.")
    if not path.parent.is_dir():
        raise click.BadParameter(f"there is no directory '{path.parent}' for the picture.")
    return path


@click.command("history")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print a list of events with all that is known of each.")
@click.option(
    "--picture", callback=_picture_path, help="Draw how far features moved predictions over the versions: FILE.png."
)
@click.option("--verify", is_flag=True, help="Fetch and read the files of all runs, not of the newest audits alone.")
@click.option("--trust", help="A trust file: of each audit it is told who has signed it, or that it is unsigned.")
@tracking_options
def history_command(
    model: str,
    as_json: bool,
    picture: Path | None,
    verify: bool,
    trust: str | None,
    tracking_uri: str | None,
    debug: bool,
) -> None:
    """List all audits, verdicts and promotions of a registered MODEL (models:/credit), oldest first."""
    with prepared(tracking_uri, debug):
        found = nnperm_mlflow.history(model, verify=verify, trust=trust or None)
        click.echo(json_of(found) if as_json else describe(found))
        if picture is not None:
            _save(found, picture)
            click.echo(f"the picture: {picture}", err=as_json)


def _save(found: nnperm_mlflow.History, picture: Path) -> None:
    figure = found.figure
    try:
        figure.savefig(picture, dpi=_DPI)
    except OSError as error:
        raise ConfigError(f"the picture '{picture}' cannot be written: {error.strerror}.") from error


def json_of(found: nnperm_mlflow.History) -> str:
    """Return the events as JSON: a list, oldest first, with the same keys for each."""
    return json.dumps([asdict(event) for event in found.events], indent=2)


def describe(found: nnperm_mlflow.History) -> str:
    """Return a history for a person: a line per event, and what holds now."""
    if not found.events:
        return in_lines([f"{found.model}: no version has been audited.", *found.copies.values()])
    rows = [_HEADER, *map(_cells, found.events)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER) - 1)]
    lines = [line for row in rows for line in _lines(row, widths)]
    if not all(event.in_registry for event in found.events):
        lines += ["", f"{_GONE} not in the registry any more"]
    if any(event.as_told for event in found.events):
        lines += ["", "as told: as the run says of itself; --verify reads its files"]
    if found.aliases:
        now = ", ".join(f"'{alias}' is version {version}" for alias, version in sorted(found.aliases.items()))
        lines += ["", f"now: {now}"]
    if found.copies:
        lines += ["", *found.copies.values()]
    return in_lines([found.model, "", *lines])


def _cells(event: Event) -> tuple[str, ...]:
    result = event.verdict or ""
    if not event.is_evidence:
        result = "unreadable" if not event.is_readable else event.status.lower()
    words = event.in_words.removeprefix(f"{event.verdict}: ").removeprefix("unreadable: ")
    if event.model_digest:
        words += f", model files {event.model_digest[:_DIGITS]}"
    return (
        f"{event.when[:10]} {event.when[11:16]}",
        event.version if event.in_registry else f"{event.version}{_GONE}",
        event.kind,
        result,
        _short(printable(event.who)),
        event.run_id[:8],
        printable(f"{words}, as told" if event.as_told else words),
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _lines(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return a row in as many lines as its words take."""
    *short, words = cells
    left = "  ".join(cell.ljust(width) for cell, width in zip(short, widths, strict=True))
    room = max(_WIDTH - len(left) - 2, _LEAST_WORDS)
    first, *more = textwrap.wrap(words, room) or [""]
    return [f"{left}  {first}".rstrip(), *(f"{'':{len(left)}}  {line}" for line in more)]
