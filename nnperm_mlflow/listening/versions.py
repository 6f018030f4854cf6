"""A registered model version as the listener names it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes
    ----------
    name : str
        The model's name: any text without `/` and `:`.
    number : str
        The version's number, in digits.
    """

    name: str
    number: str

    @property
    def uri(self) -> str:
        """What an audit is asked for, and what its run is tagged with."""
        return f"models:/{self.name}/{self.number}"

    def __str__(self) -> str:
        return printable(self.uri)


def printable(text: str) -> str:
    r"""Return a stranger's text for a line of the log: what would break the line or steer a terminal is spelt out.

    >>> print(printable("two\nlines"))
    two\nlines
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
