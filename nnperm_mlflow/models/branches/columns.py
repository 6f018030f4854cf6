"""Columns that a network only picks out of an input: inputs of their own for whatever runs the network by branches.

Many networks take one matrix of codes, or all numbers of a row in one tensor, and look each column up by itself. What a
change of one column can reach is then far less than what a change of the whole input could.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nnperm_mlflow.inputs.slots import Change, Index, Slot
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models.predictor import Block, Predictor, Separating


@dataclass(frozen=True)
class Piece:
    """Neighbouring columns of an input that the network takes for themselves.

    Attributes
    ----------
    name : str
        By which they are an input of their own.
    start, stop : int
        Along the first axis behind the rows; `stop` is not part of it.
    """

    name: str
    start: int
    stop: int

    def of(self, array: np.ndarray) -> np.ndarray:
        """Return the piece of an input of shape (n_rows, n_columns, ...)."""
        return array[:, self.start : self.stop]


Pieces = Mapping[str, Sequence[Piece]]
"""For each input that is cut its pieces, which hold each of its columns once, whether the network takes it or not."""


class ColumnPredictor:
    """A network that takes pieces of its inputs, as a predictor of the inputs themselves.

    Parameters
    ----------
    inputs : sequence of InputSpec
        As the network itself takes them.
    pieces : Pieces
    inner : Predictor
        Of the pieces, and of the inputs that are not cut.
    """

    def __init__(self, inputs: Sequence[InputSpec], pieces: Pieces, inner: Predictor) -> None:
        self.inputs = tuple(inputs)
        self._pieces = pieces
        self._inner = inner

    @property
    def outputs(self) -> OutputSpec:
        """What the network predicts."""
        return self._inner.outputs

    @property
    def calls(self) -> int:
        """Calls of the network, or of a part of it, so far."""
        return self._inner.calls

    @property
    def shares(self) -> dict[str, float]:
        """For each input the share of the work that is done again when one of its columns changes, on average."""
        inner = self._inner.shares
        return {spec.name: self._mean_share(spec.name, inner) for spec in self.inputs}

    def _mean_share(self, name: str, inner: Mapping[str, float]) -> float:
        if name not in self._pieces:
            return inner[name]
        widths = [piece.stop - piece.start for piece in self._pieces[name]]
        return float(np.average([inner[piece.name] for piece in self._pieces[name]], weights=widths))

    @property
    def reuses(self) -> bool:
        """Whether any piece leaves something of the network as it was."""
        return self._inner.reuses

    @property
    def row_bytes(self) -> int:
        """Memory that the network takes for a row of a call besides its inputs, about."""
        return self._inner.row_bytes

    @property
    def kept_bytes(self) -> int:
        """Memory that is kept of a row that was begun, about."""
        return self._inner.kept_bytes

    @property
    def largest_difference(self) -> float:
        """By how much a prediction was seen to differ from the network's own."""
        return self._inner.largest_difference

    def begin(self, parts: Sequence[Arrays]) -> list[ColumnBlock]:
        """Predict parts of rows as they are, and keep what can be used again."""
        return [ColumnBlock(self, block) for block in self._inner.begin([self.cut(part) for part in parts])]

    def takes(self, rows: Arrays) -> bool:
        """Tell whether the network predicts rows in which something is missing by finite numbers."""
        return self._inner.takes(self.cut(rows))

    def fitted(self, probe: Arrays, exact: bool = True) -> ColumnPredictor:
        """Have the fastest predictor found that gives the same numbers."""
        return ColumnPredictor(self.inputs, self._pieces, self._inner.fitted(self.cut(probe), exact))

    def separates(self, first: Iterable[Slot], second: Iterable[Slot], before_activation: bool) -> bool:
        """Tell whether no step that is not affine depends on pieces of both kinds, see `predictor.Separating`."""
        if not isinstance(self._inner, Separating):
            return False
        one, other = ([piece for slot in slots for piece in self._pieces_of(slot)] for slots in (first, second))
        return self._inner.separates(one, other, before_activation)

    def _pieces_of(self, slot: Slot) -> Iterator[Slot]:
        """Yield the pieces that a slot has columns of, each whole."""
        if slot.input not in self._pieces:
            yield slot
            return
        column, width = slot.index[0] if slot.index else slice(None), self._pieces[slot.input][-1].stop
        for piece in self._pieces[slot.input]:
            ends = (column, column + 1) if isinstance(column, int) else column.indices(width)[:2]
            if max(ends[0], piece.start) < min(ends[1], piece.stop):
                yield Slot(piece.name)

    def cut(self, rows: Arrays) -> dict[str, np.ndarray]:
        """Return rows by piece; views, nothing is copied."""
        found = {}
        for name, array in rows.items():
            pieces = self._pieces.get(name)
            found.update({name: array} if pieces is None else {piece.name: piece.of(array) for piece in pieces})
        return found

    def cut_change(self, change: Change) -> Change:
        """Return what a change of inputs changes in their pieces."""
        slots: list[Slot] = []
        values: list[np.ndarray] = []
        for slot, new in zip(change.slots, change.values, strict=True):
            if slot.input not in self._pieces:
                slots.append(slot)
                values.append(new)
                continue
            for piece in self._pieces[slot.input]:
                for index, part in _of_piece(slot, new, piece):
                    slots.append(Slot(piece.name, index))
                    values.append(part)
        return Change(tuple(slots), tuple(values), change.donors)


class ColumnBlock:
    """A block of rows of a network that takes pieces of its inputs.

    Parameters
    ----------
    model : ColumnPredictor
    block : Block
        Of the pieces.
    """

    def __init__(self, model: ColumnPredictor, block: Block) -> None:
        self._model = model
        self._block = block

    @property
    def baseline(self) -> np.ndarray:
        """Predictions for the rows as they are, of shape (n_rows, n_outputs)."""
        return self._block.baseline

    def predict(self, changes: Iterable[Change]) -> Generator[np.ndarray, None, None]:
        """Yield, for each change, predictions of shape (n_rows, n_outputs) with other inputs as they were."""
        yield from self._block.predict(self._model.cut_change(change) for change in changes)


def _of_piece(slot: Slot, values: np.ndarray, piece: Piece) -> Iterator[tuple[Index, np.ndarray]]:
    """Yield where in a piece a slot of its input lies, and what it shall hold; nothing where they do not meet."""
    first, *others = slot.index or (slice(None),)
    if isinstance(first, int):
        if piece.start <= first < piece.stop:
            yield (first - piece.start, *others), values
        return
    offset = first.start or 0
    start, stop = max(offset, piece.start), min(offset + values.shape[1], piece.stop)
    if start < stop:
        columns = slice(start - piece.start, stop - piece.start)
        yield (columns, *others), values[:, start - offset : stop - offset]
