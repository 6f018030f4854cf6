"""Of which pairs of features it is told what they do together, and on which scale."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nnperm_mlflow.basics.documents import Strict
from nnperm_mlflow.basics.errors import name_list

Scale = Literal["prediction", "logit"]


def _checked(pairs: list[list[str]]) -> list[list[str]]:
    for first, second in pairs:
        if first == second:
            raise ValueError(f"'{first}' is paired with itself: name two features")
    known = [frozenset(pair) for pair in pairs]
    if twice := {pair for pair in known if known.count(pair) > 1}:
        raise ValueError(f"{name_list(sorted(next(iter(twice))))} are paired twice")
    return pairs


Pairs = Annotated[
    list[Annotated[list[str], Field(min_length=2, max_length=2)]], Field(min_length=1), AfterValidator(_checked)
]
"""Two names each, every pair once."""


class InteractionsConfig(Strict):
    """What is told of pairs, as `{pairs: auto, scale: logit, h: true}`.

    Attributes
    ----------
    pairs : "auto" or list of (str, str)
        "auto" ranks all pairs on a few rows, and follows the first on all.
    scale : {"prediction", "logit"}
        "logit" asks before the activation of a probability, log(p / (1 - p)): what adds up there is no interaction.
    h : bool
        Also tell the H of Friedman and Popescu, on at most 200 rows.
    """

    pairs: Literal["auto"] | Pairs = "auto"
    scale: Scale = "prediction"
    h: bool = False


Interactions = Literal["auto"] | Pairs | InteractionsConfig


def interactions_of(asked: str | list[list[str]] | InteractionsConfig | None) -> InteractionsConfig | None:
    """Return what is asked for, in whatever form; None where nothing is.

    >>> interactions_of([["AGE", "PAY"]])
    InteractionsConfig(pairs=[['AGE', 'PAY']], scale='prediction', h=False)
    """
    if asked is None or isinstance(asked, InteractionsConfig):
        return asked
    return InteractionsConfig.model_validate({"pairs": asked})
