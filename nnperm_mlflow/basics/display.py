"""How a result shows itself: in a line where Python prints it, and as HTML in a notebook."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from nnperm_mlflow.basics.text import printable

_LONGEST = 200  # letters of a line
_MOST_BYTES = 1 << 20  # of a picture that a notebook keeps
_CELL = 'style="text-align: left; padding: 2px 12px 2px 0; vertical-align: top"'


def in_a_line(kind: str, *parts: str) -> str:
    r"""Return what Python prints of a result.

    Parameters
    ----------
    kind : str
        The class.
    parts : str
        What it is, in words; names of strangers in them break no line.

    Examples
    --------
    >>> in_a_line("Verdict", "pass: 2 of 2 checks are kept", "models:/credit/3")
    '<Verdict pass: 2 of 2 checks are kept; models:/credit/3>'
    """
    line = printable(f"<{kind} {'; '.join(parts)}")
    return f"{line}>" if len(line) < _LONGEST else f"{line[: _LONGEST - 4]}...>"


def as_html(
    heading: str,
    *,
    facts: Iterable[tuple[str, object]] = (),
    header: Sequence[str] = (),
    rows: Iterable[Sequence[object]] = (),
    notes: Iterable[str] = (),
    link: str | None = None,
    picture: Path | None = None,
) -> str:
    """Return what a notebook shows of a result; no letter of a stranger means anything in it.

    Parameters
    ----------
    heading : str
    facts : iterable of (str, object)
        Told one below the other, each behind what it is called.
    header : sequence of str
        Of a table; there is none without it.
    rows : iterable of sequence of object
        Its cells.
    notes : iterable of str
        Sentences below the table.
    link : str, optional
        Address of a page with more.
    picture : Path, optional
        A PNG file; one that is not there, or is larger than a notebook should keep, is left out.
    """
    parts = [f"<p><strong>{_text(heading)}</strong></p>"]
    if told := list(facts):
        parts.append(_table(told))
    if header:
        parts.append(_table(rows, header))
    parts += [f"<p>{_text(note)}</p>" for note in notes]
    if link is not None:
        parts.append(f'<p><a href="{_text(link)}">{_text(link)}</a></p>')
    if picture is not None and picture.is_file() and picture.stat().st_size <= _MOST_BYTES:
        drawn = base64.b64encode(picture.read_bytes()).decode()
        parts.append(f'<img style="max-width: 100%" alt="{_text(picture.name)}" src="data:image/png;base64,{drawn}">')
    return "\n".join(["<div>", *parts, "</div>"])


def _table(rows: Iterable[Sequence[object]], header: Sequence[str] = ()) -> str:
    head = "".join(f"<th {_CELL}>{_text(cell)}</th>" for cell in header)
    body = ["".join(f"<td {_CELL}>{_text(cell)}</td>" for cell in row) for row in rows]
    lines = [*([f"<tr>{head}</tr>"] if head else []), *(f"<tr>{cells}</tr>" for cells in body)]
    return "\n".join(["<table>", *lines, "</table>"])


def _text(cell: object) -> str:
    return escape(printable(str(cell)))
