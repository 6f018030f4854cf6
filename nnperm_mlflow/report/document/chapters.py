"""What a document is made of: chapters of words, tables and pictures, and what only people can fill in."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Words:
    """A paragraph. `manner` is "plain", "lead" for what comes first, or "soft" for a remark."""

    text: str
    manner: str = "plain"
    kind: str = "words"


@dataclass(frozen=True)
class Commands:
    """What is typed, a line each."""

    lines: Sequence[str]
    kind: str = "commands"


@dataclass(frozen=True)
class Heading:
    """The title of a part of a chapter."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Gap:
    """What no audit can tell, and people have to fill in: asked for in words."""

    asked: str
    kind: str = "gap"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    title : str
        What it shows.
    header : sequence of str
    rows : sequence of sequence of str
        As many cells each as the header has; an empty one in a table for people is theirs to fill in.
    widths : sequence of float
        Of the columns, beside each other.
    numbers : sequence of bool
        Which columns hold numbers.
    is_for_people : bool
        Whether people fill in what is empty.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float]
    numbers: Sequence[bool] = ()
    is_for_people: bool = False
    kind: str = "table"

    def is_number(self, column: int) -> bool:
        """Tell whether a column holds numbers."""
        return column < len(self.numbers) and self.numbers[column]


@dataclass(frozen=True)
class Picture:
    """A picture: the bytes of a PNG, its width in millimetres on A4, what it shows, and what stands below it."""

    png: bytes = field(repr=False)
    width: float
    told: str
    caption: str
    kind: str = "picture"

    @property
    def address(self) -> str:
        """The picture as an address that holds it."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


Block = Words | Commands | Heading | Gap | Table | Picture
"""What a chapter holds; `kind` tells them apart in a template."""


@dataclass(frozen=True)
class Chapter:
    """A chapter: the word by which templates know it, its title, and what it holds."""

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A document.

    Attributes
    ----------
    title, subtitle : str
    state : {"good", "bad", "open"}
        How the verdict is marked.
    verdict : str
        In a word or two.
    date : str
        On which the audit began, as 2026-11-24; empty where the run does not tell.
    fields : mapping of str to str
        What templates can name: the model, the run and the like.
    facts : sequence of (str, str)
        What was audited, at a glance.
    chapters : sequence of Chapter
    """

    title: str
    subtitle: str
    state: str
    verdict: str
    date: str
    fields: Mapping[str, str]
    facts: Sequence[tuple[str, str]]
    chapters: Sequence[Chapter]

    def chapter(self, name: str) -> Chapter:
        """Return the chapter of that name.

        Raises
        ------
        KeyError
            If there is none.
        """
        return {each.name: each for each in self.chapters}[name]
