"""A registered model version, and an alias of a model, as the listener names them."""

from __future__ import annotations

from dataclasses import dataclass

from nnperm_mlflow.basics.text import printable


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


@dataclass(frozen=True)
class Alias:
    """An alias of a registered model, which may have moved.

    Attributes
    ----------
    model : str
    name : str
    """

    model: str
    name: str

    def __str__(self) -> str:
        return printable(f"models:/{self.model}@{self.name}")
