"""Strangers' text on a line of a log or a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return a text in which what would break the line, move the cursor or steer a terminal is spelt out.

    >>> print(printable("two\nlines"))
    two\nlines
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
