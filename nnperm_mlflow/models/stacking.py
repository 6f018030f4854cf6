"""Several perturbations in one call: a call costs more than a row."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from nnperm_mlflow.errors import PredictionError

Arrays = Mapping[str, np.ndarray]
KindT = TypeVar("KindT", bound=Hashable)


def predict_stacked(
    changes: Iterable[Arrays],
    n_rows: int,
    most_rows: Callable[[KindT], int],
    call_of: Callable[[Arrays], KindT],
    call: Callable[[KindT, Sequence[Arrays]], np.ndarray],
) -> Iterator[np.ndarray]:
    """Predict one change after the other, as many in a call as fit.

    Parameters
    ----------
    changes : iterable of mapping of str to ndarray
        Each the changed inputs of the same rows.
    n_rows : int
        Rows of a change.
    most_rows : callable
        Rows that a kind of call shall get; a single change goes through whatever its size.
    call_of : callable
        Tells by which kind of call a change is predicted; neighbours of one kind share calls.
    call : callable
        Predicts changes of one kind, one below the other.

    Yields
    ------
    ndarray of shape (n_rows, n_outputs)
        In the order of `changes`.
    """
    waiting: list[Arrays] = []
    for change in changes:
        if waiting:
            kind = call_of(waiting[0])
            if call_of(change) != kind or (len(waiting) + 1) * n_rows > most_rows(kind):
                yield from _predict(kind, waiting, n_rows, call)
                waiting = []
        waiting.append(change)
    if waiting:
        yield from _predict(call_of(waiting[0]), waiting, n_rows, call)


def stack(changes: Sequence[Arrays], unchanged: Arrays, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Put several changes of the same rows one below the other.

    Parameters
    ----------
    changes : sequence of mapping of str to ndarray of shape (n_rows, ...)
    unchanged : mapping of str to ndarray of shape (n_rows, ...)
        Inputs for changes that leave them as they are.
    names : iterable of str
        Inputs that are wanted.

    Returns
    -------
    dict of str to ndarray of shape (len(changes) * n_rows, ...)
        Not copied where there is one change.
    """
    if len(changes) == 1:
        return {name: changes[0].get(name, unchanged[name]) for name in names}
    return {name: np.concatenate([change.get(name, unchanged[name]) for change in changes]) for name in names}


class Exactness:
    """Remembers which calls give unchanged rows their baseline bit for bit, each tried out once.

    A matrix product may round a row otherwise in a larger batch. A deviation would then hold that rounding, and a
    feature that the model does not use would not have exactly 0.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, bool] = {}

    def holds(self, kind: Hashable, copies: int, baseline: np.ndarray, call: Callable[[], np.ndarray]) -> bool:
        """Tell whether a kind of call with so many copies of so many rows gives the baseline.

        Parameters
        ----------
        kind : hashable
        copies : int
        baseline : ndarray of shape (n_rows, n_outputs)
        call : callable
            Predicts `copies` times the rows as they are, one below the other.

        Returns
        -------
        bool
        """
        key = (kind, copies, len(baseline))
        if key not in self._known:
            self._known[key] = np.array_equal(call(), np.tile(baseline, (copies, 1)), equal_nan=True)
        return self._known[key]


def _predict(
    kind: KindT, changes: Sequence[Arrays], n_rows: int, call: Callable[[KindT, Sequence[Arrays]], np.ndarray]
) -> Iterator[np.ndarray]:
    """Yield the parts of one call; where it fails, of a call each, so that it is the guilty change that fails."""
    try:
        predictions = call(kind, changes)
    except PredictionError:
        for change in changes:
            yield call(kind, [change])
        return
    for start in range(0, len(predictions), n_rows):
        yield predictions[start : start + n_rows]
