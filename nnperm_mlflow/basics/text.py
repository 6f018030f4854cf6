"""Text for a terminal, for Markdown and for MLflow's filters, in which no letter of a stranger means anything."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

_LONGEST_CELL = 80  # letters
_IN_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>&~-])")
_IN_QUOTES = re.compile(r"['\\]")
_IN_PATTERNS = re.compile(r"[^\w .:/\-]")
"""Letters that mean something to Markdown, between the single quotes of a filter, and to its LIKE."""


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


def cut_middle(line: str, longest: int) -> str:
    """Return a line of at most so many letters, its middle left out where it is longer.

    >>> cut_middle("amount of the bill in September", 20)
    'amount of…September'
    """
    if len(line) <= longest:
        return line
    kept = longest - 1
    return f"{line[: kept - kept // 2].rstrip()}…{line[len(line) - kept // 2 :].lstrip()}"


def in_a_cell(text: str) -> str:
    """Return a text as a terminal's table shows it: printable, and no longer than leaves the numbers in the line."""
    return cut_middle(printable(text), _LONGEST_CELL)


def four_decimals(number: float) -> str:
    """Return a number of a table, in which nothing is no less than nothing.

    >>> four_decimals(-0.00001), four_decimals(-0.25)
    ('0.0000', '-0.2500')
    """
    return f"{round(number, 4) + 0.0:.4f}"


def rows_to_show(total: int, most: int) -> int:
    """Return how many rows of a table to show; a single one more takes the line that would count it.

    >>> rows_to_show(15, 15), rows_to_show(16, 15), rows_to_show(17, 15)
    (15, 16, 15)
    """
    return total if total <= most + 1 else most


def some_of(names: Sequence[str], most: int) -> str:
    """Return names in a line, of very many the first and how many more there are.

    >>> some_of(["age", "dose", "bmi", "sex"], 2)
    'age, dose and 2 more'
    """
    shown = rows_to_show(len(names), most)
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if shown < len(names) else "")


def program(name: str) -> str:
    """Return how a program of this environment is called: by its name where the shell finds it, else by its path."""
    return name if shutil.which(name) else shlex.quote(str(Path(sys.executable).with_name(name)))


def as_text(name: object) -> str:
    """Return a name in which no letter means anything to Markdown."""
    return _IN_MARKDOWN.sub(r"\\\1", " ".join(str(name).split()))


def as_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    r"""Return the lines of a table; cells are text.

    >>> as_table(["feature", "median"], [["a|b", 0.5]])
    ['| feature | median |', '| --- | --- |', '| a\\|b | 0.5 |']
    """
    lines = [header, ["---"] * len(header), *([as_text(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]


def named(key: str, name: str) -> str:
    r"""Return a condition that holds for a name, and perhaps for others like it: compare what is found with the name.

    Parameters
    ----------
    key : str
        As MLflow calls it: ``name``, or ``tags.`nnperm.model` ``.
    name : str
        By the letter, whatever letters these are.

    Examples
    --------
    >>> named("name", "credit")
    "name = 'credit'"
    >>> named("name", "Ada's")
    "name LIKE 'Ada_s'"
    """
    return f"{key} LIKE '{_pattern(name)}'" if _IN_QUOTES.search(name) else f"{key} = '{name}'"


def beginning_with(key: str, start: str) -> str:
    """Return a condition that holds for what begins so, and perhaps for more: compare what is found.

    Parameters
    ----------
    key, start : str
        As for `named`.
    """
    return f"{key} LIKE '{_pattern(start)}%'"


def _pattern(name: str) -> str:
    """Return a name with a wildcard for each letter that may mean something in a pattern or its quotes."""
    return _IN_PATTERNS.sub("_", name)


def rows_in_words(n_rows: int, of: int | None = None, seed: int = 0) -> str:
    """Return how many rows an audit is of, and how they were drawn where they are a sample.

    >>> rows_in_words(20_480, 1_000_000, seed=3)
    '20,480 of 1,000,000 rows (random, seed 3)'
    """
    return f"{n_rows:,} rows" if of in (None, n_rows) else f"{n_rows:,} of {of:,} rows (random, seed {seed})"
