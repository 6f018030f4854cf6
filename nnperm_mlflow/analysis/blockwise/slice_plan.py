"""Into how many slices the perturbations of a shuffle block are cut, and which are in each."""

from __future__ import annotations

import math

MOST_SECONDS = 600.0
"""That a task may take: one that dies is done again as a whole."""


def count_slices(block_seconds: float, n_perturbations: int) -> int:
    """Return into how many slices the perturbations are cut: the fewest of which none takes too long.

    Rows move to each slice once, and each predicts them as they are.

    Parameters
    ----------
    block_seconds : float
        That a shuffle block takes under all perturbations.
    n_perturbations : int

    >>> [count_slices(seconds, 20) for seconds in (0.0, 600.0, 601.0, 3600.0, 1e9)]
    [1, 1, 2, 6, 20]
    """
    return max(1, min(n_perturbations, math.ceil(block_seconds / MOST_SECONDS)))


def positions_of(place: int, n_slices: int, n_perturbations: int) -> range:
    """Return the positions of the perturbations of one slice: neighbours, which share what they leave as it was.

    >>> [positions_of(place, 3, 8) for place in range(3)]
    [range(0, 2), range(2, 5), range(5, 8)]
    """
    return range(place * n_perturbations // n_slices, (place + 1) * n_perturbations // n_slices)
