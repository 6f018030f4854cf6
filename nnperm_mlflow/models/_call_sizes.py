"""How many rows a call shall get, which only a clock tells; no number rests on it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.specs import Arrays

_FIXED_SHARE = 0.02  # of a call's time that may be spent whatever its rows
_MANY_ROWS = 1_024
_TIMES = 3  # that each call is timed; the shortest counts

Clock = Callable[[], float]


def rows_per_call(call: Callable[[Arrays], object], probe: Arrays, most: int, clock: Clock = time.perf_counter) -> int:
    """Return how many rows make what a call costs by itself small beside what its rows cost.

    More rows would make no row cheaper; they make one dearer where they no longer fit into a cache, as in networks.

    Parameters
    ----------
    call : callable
        Predicts rows.
    probe : mapping of str to ndarray of shape (n_rows, ...)
        Some rows.
    most : int
        Returned, too, where a row costs nothing that could be told, or so many rows cannot be predicted.
    clock : callable
        Tells seconds.

    Returns
    -------
    int
        A power of 2 of at least 1,024, or `most` if that is less.
    """
    n_few = len(next(iter(probe.values())))
    copies = max(2, -(-_MANY_ROWS // n_few))
    many = {name: np.concatenate([array] * copies) for name, array in probe.items()}
    try:
        few_seconds, many_seconds = (_shortest(call, rows, clock) for rows in (probe, many))
    except PredictionError:
        return most
    of_a_row = (many_seconds - few_seconds) / (n_few * (copies - 1))
    fixed = few_seconds - n_few * of_a_row
    if fixed >= _FIXED_SHARE * of_a_row * most:
        return most
    wanted = max(_MANY_ROWS, int(fixed / (_FIXED_SHARE * of_a_row)))
    return min(most, 1 << (wanted - 1).bit_length())


def _shortest(call: Callable[[Arrays], object], rows: Arrays, clock: Clock) -> float:
    seconds = []
    for _ in range(_TIMES):
        start = clock()
        call(rows)
        seconds.append(clock() - start)
    return min(seconds)
