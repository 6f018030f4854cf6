"""How a csv file parts its cells and writes its decimals: as configured, or as its first lines plainly show."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from nnperm_mlflow.basics.errors import DataError, name_list

OTHER_SEPARATORS = (";", "\t", "|")  # that are looked for where a header has no comma
_SAMPLE_BYTES = 1 << 20
_SAMPLE_LINES = 200
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_LINE_END = re.compile(r"\r\n|\n|\r")
_TAB_SUFFIX = ".tsv"
_PACKED_SUFFIX = ".gz"

CSV_KEY = """'data: {csv: {sep: ";", decimal: ","}}'"""
"""What to write where a file does not show it."""


@dataclass(frozen=True)
class Dialect:
    """How a csv file is written.

    Attributes
    ----------
    sep : str
        What parts its cells, one character.
    decimal : str or None
        "." or ","; None where that is for its numbers to show.
    packed : bool
        Whether it is packed with gzip.
    """

    sep: str
    decimal: str | None
    packed: bool

    @property
    def options(self) -> dict[str, Any]:
        """What `pandas.read_csv` is told of it, but for decimals. What a line has too much is not made an index."""
        return {"sep": self.sep, "compression": "gzip" if self.packed else None, "index_col": False}

    def open(self, path: Path) -> IO[bytes]:
        """Open a file of this kind, unpacked."""
        return _opened(path, self.packed)


def find_dialect(path: Path, location: str, sep: str | None = None, decimal: str | None = None) -> Dialect:
    """Find out how a csv file is written.

    Parameters
    ----------
    path : Path
    location : str
        How messages call it. What ends in `.gz` is packed, and in `.tsv` has tabs.
    sep, decimal : str, optional
        As configured.

    Returns
    -------
    Dialect
        Commas and points, unless the header (or all lines behind it) has no comma, and each of the first lines as many
        of another separator as it. Where that parts the cells, decimals are for the numbers to show.

    Raises
    ------
    DataError
        If two separators part the first lines alike.
    """
    name = location.lower()
    packed = name.endswith(_PACKED_SUFFIX)
    has_tabs = name.removesuffix(_PACKED_SUFFIX).endswith(_TAB_SUFFIX)
    sep = sep or ("\t" if has_tabs else _plain_separator(path, location, packed))
    return Dialect(sep, decimal or ("." if sep == "," else None), packed)


def _plain_separator(path: Path, location: str, packed: bool) -> str:
    lines = _first_lines(path, packed)
    if not lines or ("," in lines[0] and (len(lines) == 1 or any("," in line for line in lines[1:]))):
        return ","
    fitting = [sep for sep in OTHER_SEPARATORS if _parts_alike(lines, sep)]
    if len(fitting) > 1:
        named = name_list("tab" if sep == "\t" else sep for sep in fitting)
        raise DataError(f"what parts the cells of '{location}' may be {named}. Say which: {CSV_KEY}.")
    return fitting[0] if fitting else ","


def _parts_alike(lines: list[str], sep: str) -> bool:
    """Tell whether every line has as many separators as the first one; one more may end a line."""
    wanted = lines[0].count(sep)
    return wanted > 0 and all(line.count(sep) - wanted in (0, line.endswith(sep)) for line in lines)


def _first_lines(path: Path, packed: bool) -> list[str]:
    """Return the first lines of a file without what is quoted in them, those that are empty left out."""
    with _opened(path, packed) as stream:
        sample = stream.read(_SAMPLE_BYTES)
    text = _QUOTED.sub("", sample.decode("utf-8-sig", errors="replace"))
    lines = _LINE_END.split(text)
    if len(sample) == _SAMPLE_BYTES:
        lines = lines[:-1]
    return [line for line in lines[:_SAMPLE_LINES] if line.strip()]


def _opened(path: Path, packed: bool) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if packed else path.open("rb")
