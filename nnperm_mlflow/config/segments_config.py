"""Which columns part the rows into segments: by their values, or in bins between edges."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from nnperm_mlflow.basics.errors import name_list

Edge = Annotated[float, Field(allow_inf_nan=False)]
Bins = Annotated[dict[str, Annotated[list[Edge], Field(min_length=1)]], Field(min_length=1)]


def edges_of(segments: list[str | dict[str, list[float]]]) -> dict[str, list[float] | None]:
    """Return for each column the edges of its bins, None where its values part the rows.

    >>> edges_of(["SEX", {"AGE": [30, 45]}])
    {'SEX': None, 'AGE': [30, 45]}
    """
    found: dict[str, list[float] | None] = {}
    for asked in segments:
        found |= {asked: None} if isinstance(asked, str) else asked
    return found


def _checked(segments: list[str | dict[str, list[float]]]) -> list[str | dict[str, list[float]]]:
    names = [name for asked in segments for name in ([asked] if isinstance(asked, str) else asked)]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{name_list(twice)} is named twice: a column has one kind of segments")
    for name, edges in edges_of(segments).items():
        if edges is not None and any(low >= high for low, high in pairwise(edges)):
            raise ValueError(f"the edges of '{name}' must rise: [30, 45, 60] parts it into <30, 30-45, 45-60 and >=60")
    return segments


Segments = Annotated[list[str | Bins], AfterValidator(_checked)]
"""Names of columns, or of a column with the edges of its bins, ascending."""
