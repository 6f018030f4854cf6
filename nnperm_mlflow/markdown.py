"""Text and tables as Markdown in which no letter of a stranger means anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_MEANS_SOMETHING = re.compile(r"([\\`*_{}\[\]()#+!|<>&~-])")


def as_text(name: object) -> str:
    """Return a name in which no letter means anything to Markdown."""
    return _MEANS_SOMETHING.sub(r"\\\1", " ".join(str(name).split()))


def as_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    r"""Return the lines of a table; cells are text.

    >>> as_table(["feature", "median"], [["a|b", 0.5]])
    ['| feature | median |', '| --- | --- |', '| a\\|b | 0.5 |']
    """
    lines = [header, ["---"] * len(header), *([as_text(cell) for cell in row] for row in rows)]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]
