"""What values are called on a page that tells none: a letter each."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import pandas as pd


def names_shown(segments: pd.DataFrame, told: Collection[str], *, shows_values: bool) -> dict[str, str]:
    """Return what each segment is called on the page: by a letter where its own name tells a value of the data.

    Bins are named by their edges, which are those of the configuration. Where a feature is set to the same value, as
    `SEX=2`, that is told by its name already.

    Parameters
    ----------
    segments : DataFrame
        The table of segments. Not modified.
    told : collection of str
        Names of perturbations.
    shows_values : bool
    """
    first = segments.drop_duplicates(["column", "segment"])
    names = {}
    for column, part in first.groupby("column", sort=False):
        for place, segment in enumerate(part["segment"].astype(str)):
            is_no_secret = not segment.startswith(f"{column}=") or segment == f"{column}=missing" or segment in told
            names[segment] = segment if shows_values or is_no_secret else f"{column}, group {letter(place)}"
    return names


def renamed(words: str, names: Mapping[str, str]) -> str:
    """Return words in which segments are called as on the page, the longest names first.

    >>> renamed("AGE in SEX=2 is 0.5", {"SEX=2": "SEX, group B"})
    'AGE in SEX, group B is 0.5'
    """
    changed = {name: called for name, called in names.items() if name != called}
    if not changed:
        return words
    longest_first = sorted(changed, key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    return pattern.sub(lambda found: changed[found.group()], words)


def letter(place: int) -> str:
    """Return what a value is called that is not told.

    >>> [letter(place) for place in (0, 25, 26)]
    ['A', 'Z', 'A2']
    """
    return chr(ord("A") + place % 26) + (str(place // 26 + 1) if place >= 26 else "")
