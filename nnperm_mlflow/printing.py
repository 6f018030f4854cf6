"""What is shown on a line of a log or a terminal: strangers' text, and programs to run."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path


def printable(text: str) -> str:
    r"""Return a text in which what would break the line, move the cursor or steer a terminal is spelt out.

    >>> print(printable("two\nlines"))
    two\nlines
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def in_lines(lines: Iterable[str]) -> str:
    r"""Return a text of these lines, each of which stays one: for all that a command prints.

    >>> print(in_lines(["a", "b\nc"]))
    a
    b\nc
    """
    return "\n".join(map(printable, lines))


def program(name: str) -> str:
    """Return how a program of this environment is called: by its name where the shell finds it, else by its path."""
    return name if shutil.which(name) else shlex.quote(str(Path(sys.executable).with_name(name)))
