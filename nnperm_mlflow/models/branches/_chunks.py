"""A block of rows in chunks of which each goes through a network by itself, since more rows make no row cheaper."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import accumulate, pairwise, tee

import numpy as np

from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.models.predictor import Block


def joined(chunks: Sequence[Block]) -> Block:
    """Return neighbouring chunks of rows as one block."""
    return chunks[0] if len(chunks) == 1 else ChunkedBlock(chunks)


class ChunkedBlock:
    """Neighbouring chunks of rows as one block.

    Parameters
    ----------
    chunks : sequence of Block
    """

    def __init__(self, chunks: Sequence[Block]) -> None:
        self.baseline = np.concatenate([chunk.baseline for chunk in chunks])
        self._chunks = tuple(chunks)
        self._rows = [slice(*ends) for ends in pairwise(accumulate(map(_n_rows, chunks), initial=0))]

    def predict(self, changes: Iterable[Change]) -> Generator[np.ndarray, None, None]:
        """Yield, for each change, predictions of shape (n_rows, n_outputs) with other inputs as they were."""
        copies = tee(changes, len(self._chunks))
        with ExitStack() as running:
            parts = [
                running.enter_context(closing(chunk.predict(_cut(copy, rows))))
                for chunk, rows, copy in zip(self._chunks, self._rows, copies, strict=True)
            ]
            for predicted in zip(*parts, strict=True):
                yield np.concatenate(predicted)


def _n_rows(chunk: Block) -> int:
    return len(chunk.baseline)


def _cut(changes: Iterable[Change], rows: slice) -> Iterator[Change]:
    """Yield changes of some rows alone."""
    for change in changes:
        donors = None if change.donors is None else change.donors[rows]
        yield Change(change.slots, tuple(values[rows] for values in change.values), donors)
