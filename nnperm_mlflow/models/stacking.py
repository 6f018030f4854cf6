"""Several perturbations in one call, since a call costs more than a row, and several calls at a time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

import numpy as np

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.slots import Change, in_all_rows
from nnperm_mlflow.inputs.specs import ALIGNMENT, Arrays

Outcome = np.ndarray | PredictionError
KindT = TypeVar("KindT", bound=Hashable)


class StackingBlock(ABC, Generic[KindT]):
    """A block of rows whose changes are predicted in calls of several kinds.

    Attributes
    ----------
    baseline : ndarray of shape (n_rows, n_outputs)
    workers : int
        Calls that may run at the same time; 0 where the model is to be called from one thread only.
    """

    baseline: np.ndarray
    workers: int = 0

    @abstractmethod
    def kind_of(self, change: Change) -> KindT:
        """Return by which kind of call a change is predicted."""

    @abstractmethod
    def most_rows(self, kind: KindT) -> int:
        """Return how many rows a call shall get; a single change goes through whatever its size."""

    @abstractmethod
    def settled(self, kind: KindT, copies: int) -> KindT | None:
        """Return the kind of call that predicts so many changes exactly, or None where each needs a call of its own."""

    @abstractmethod
    def call(self, kind: KindT, changes: Sequence[Change]) -> np.ndarray:
        """Return predictions for changes of one kind, one below the other; from any thread."""

    def predict(self, changes: Iterable[Change]) -> Generator[np.ndarray, None, None]:
        """Yield, for each change, predictions of shape (n_rows, n_outputs) with other inputs as they were."""
        if self.workers == 0:
            for kind, group in self._calls(changes):
                yield from _raised(self._outcomes(kind, group))
            return
        pool = ThreadPoolExecutor(self.workers)
        try:
            running: deque[Future[list[Outcome]]] = deque()
            for kind, group in self._calls(changes):
                running.append(pool.submit(self._outcomes, kind, group))
                if len(running) > self.workers:
                    yield from _raised(running.popleft().result())
            while running:
                yield from _raised(running.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)

    def _calls(self, changes: Iterable[Change]) -> Iterator[tuple[KindT, list[Change]]]:
        """Yield neighbours of one kind together, as many as a call shall get."""
        waiting: list[Change] = []
        kind: KindT | None = None
        for change in changes:
            own = self.kind_of(change)
            if kind is not None and (own != kind or (len(waiting) + 1) * len(self.baseline) > self.most_rows(kind)):
                yield from self._settled_calls(kind, waiting)
                waiting = []
            kind = own
            waiting.append(change)
        if kind is not None:
            yield from self._settled_calls(kind, waiting)

    def _settled_calls(self, kind: KindT, group: list[Change]) -> Iterator[tuple[KindT, list[Change]]]:
        settled = self.settled(kind, len(group))
        if settled is not None:
            yield settled, group
        elif len(group) > 1:
            for change in group:
                yield from self._settled_calls(kind, [change])
        else:
            raise RuntimeError("a change that has a call of its own needs a kind of call")

    def _outcomes(self, kind: KindT, changes: Sequence[Change]) -> list[Outcome]:
        """Return the parts of one call; where it fails, of a call each, so that it is the guilty change that fails."""
        try:
            predictions = self.call(kind, changes)
        except PredictionError as error:
            if len(changes) == 1:
                return [error]
            return [outcome for change in changes for outcome in self._outcomes(kind, [change])]
        return list(predictions.reshape(len(changes), *self.baseline.shape))


def _raised(outcomes: Iterable[Outcome]) -> Iterator[np.ndarray]:
    """Yield predictions up to the first one that failed, and raise that."""
    for outcome in outcomes:
        if isinstance(outcome, PredictionError):
            raise outcome
        yield outcome


def stack(changes: Sequence[Change], name: str, unchanged: np.ndarray) -> np.ndarray:
    """Put an input as several changes make it one below the other.

    Parameters
    ----------
    changes : sequence of Change
    name : str
        Of the input.
    unchanged : ndarray of shape (n_rows, ...)
        The input as it is.

    Returns
    -------
    ndarray of shape (len(changes) * n_rows, ...)
        A new array; of numbers it begins at a multiple of `ALIGNMENT`.
    """
    stacked = _empty((len(changes), *unchanged.shape), unchanged.dtype)
    for copy, change in zip(stacked, changes, strict=True):
        if not change.replaces(name, unchanged.shape[1:]):
            copy[...] = unchanged
        change.write(name, copy)
    return stacked.reshape(-1, *unchanged.shape[1:])


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return a new array of any content; NumPy's own begin wherever there is room."""
    if dtype.hasobject:
        return np.empty(shape, dtype=dtype)
    n_bytes = math.prod(shape) * dtype.itemsize
    memory = np.empty(n_bytes + ALIGNMENT, dtype=np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + n_bytes].view(dtype).reshape(shape)


class Stacks:
    """Copies of a block's inputs, into which changes are written and out of which they are taken again.

    Of 1,500 columns a change is one, and a copy of the others takes as long as a fifth of a network that reads them.

    Parameters
    ----------
    inputs : mapping of str to ndarray of shape (n_rows, ...)
        The rows as they are. Not modified.
    """

    def __init__(self, inputs: Arrays) -> None:
        self._inputs = inputs
        self._free: dict[str, list[np.ndarray]] = {}

    @contextmanager
    def lent(self, name: str, changes: Sequence[Change]) -> Iterator[np.ndarray]:
        """Give an input as several changes make it, one below the other; within the block alone, in any thread.

        Parameters
        ----------
        name : str
        changes : sequence of Change

        Yields
        ------
        ndarray of shape (len(changes) * n_rows, ...)
        """
        unchanged = self._inputs[name]
        if any(change.replaces(name, unchanged.shape[1:]) for change in changes):
            yield stack(changes, name, unchanged)
            return
        stacked = self._take(name, len(changes))
        parts = np.split(stacked, len(changes))
        for part, change in zip(parts, changes, strict=True):
            change.write(name, part)
        yield stacked
        for part, change in zip(parts, changes, strict=True):
            for slot in change.slots:
                if slot.input == name:
                    part[in_all_rows(slot.index)] = unchanged[in_all_rows(slot.index)]
        self._free.setdefault(name, []).append(stacked)

    def _take(self, name: str, copies: int) -> np.ndarray:
        """Return copies of an input that nobody uses; of other numbers of copies none are kept."""
        unchanged = self._inputs[name]
        free = self._free.get(name, [])
        while free:
            try:
                stacked = free.pop()
            except IndexError:  # another thread has taken it
                break
            if len(stacked) == copies * len(unchanged):
                return stacked
        return stack([Change((), ())] * copies, name, unchanged)

    def clear(self) -> None:
        """Keep no copies any longer."""
        self._free.clear()


class Exactness:
    """Remembers which calls give the unchanged rows of a block their baseline bit for bit, each tried out once.

    A matrix product may round a row otherwise in a larger batch. A deviation would then hold that rounding, and a
    feature that the model does not use would not have exactly 0. Many processors round only the last rows of a call
    otherwise, so that what holds for some rows need not hold for others: each block is tried out for itself, and its
    numbers do not depend on which blocks came before it.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, bool] = {}

    def holds(self, kind: Hashable, copies: int, expected: np.ndarray, call: Callable[[], np.ndarray]) -> bool:
        """Tell whether a kind of call with so many copies of the rows gives what is expected.

        Parameters
        ----------
        kind : hashable
        copies : int
        expected : ndarray of shape (n_rows, ...)
            What each copy shall give.
        call : callable
            Predicts `copies` times the rows as they are, one below the other.

        Returns
        -------
        bool
        """
        key = (kind, copies)
        if key not in self._known:
            try:
                found = call().reshape(copies, *expected.shape)
            except PredictionError:  # as where so many rows do not fit
                self._known[key] = False
            else:
                self._known[key] = all(np.array_equal(copy, expected, equal_nan=True) for copy in found)
        return self._known[key]


class AlwaysExact(Exactness):
    """Says so of every call, without a trial: for models of which a row's bits cannot depend on those beside it."""

    def holds(self, kind: Hashable, copies: int, expected: np.ndarray, call: Callable[[], np.ndarray]) -> bool:
        """Tell that the call gives what is expected."""
        return True
