"""When enough repeats have been made."""

from __future__ import annotations

from dataclasses import dataclass

MOST_REPEATS = 50
"""Repeats beyond which none are made by themselves."""


@dataclass(frozen=True)
class Precision:
    """When enough repeats have been made.

    Attributes
    ----------
    width : float
        How wide the intervals that matter may be, in the unit of the prediction.
    most : int
        Most repeats.
    watched : frozenset of str
        Names of perturbations whose intervals matter, too: those that checks look at.
    """

    width: float
    most: int
    watched: frozenset[str] = frozenset()
