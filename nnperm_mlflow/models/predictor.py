"""The two verbs behind which every kind of model stands."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from nnperm_mlflow.inputs.slots import Change, Slot
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec


class Block(Protocol):
    """Some rows on which a model has been called."""

    @property
    def baseline(self) -> np.ndarray:
        """Predictions for the rows as they are, of shape (n_rows, n_outputs)."""

    def predict(self, changes: Iterable[Change]) -> Generator[np.ndarray, None, None]:
        """Yield, for each change, predictions of shape (n_rows, n_outputs) with other inputs as they were."""


class Predictor(Protocol):
    """A model as a function of named arrays."""

    @property
    def inputs(self) -> Sequence[InputSpec]:
        """What the model takes."""

    @property
    def outputs(self) -> OutputSpec:
        """What it predicts."""

    @property
    def calls(self) -> int:
        """Calls of the model, or of a part of it, so far."""

    @property
    def shares(self) -> Mapping[str, float]:
        """For each input the share of the model's work that is done again when it changes; 1 where all is."""

    @property
    def reuses(self) -> bool:
        """Whether any input leaves a part of the model as it was."""

    @property
    def row_bytes(self) -> int:
        """Memory that the model takes for a row of a call besides its inputs, about; 0 where nothing is known."""

    @property
    def kept_bytes(self) -> int:
        """Memory that is kept of a row that was begun, about."""

    def begin(self, parts: Sequence[Arrays]) -> Sequence[Block]:
        """Predict parts of rows as they are, and keep what can be used again for the same rows.

        What a change says of its donors are positions among the rows of all parts, in their order.
        """

    def takes(self, rows: Arrays) -> bool:
        """Tell whether the model can be trusted to predict rows in which something is missing: finitely, in any way."""

    @property
    def largest_difference(self) -> float:
        """By how much a prediction of the fitted model was seen to differ from the model's own; 0 where it is exact."""

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Return the fastest predictor that gives the same numbers, as found out on some rows.

        Parameters
        ----------
        probe : mapping of str to ndarray of shape (n_rows, ...)
        exact : bool
            Whether the same numbers are the same to the last bit.

        Returns
        -------
        Predictor
        """


@runtime_checkable
class Separating(Protocol):
    """A predictor that knows which of its steps are affine."""

    def separates(self, first: Iterable[Slot], second: Iterable[Slot], before_activation: bool) -> bool:
        """Tell whether no step that is not affine depends on inputs of both kinds.

        Parameters
        ----------
        first, second : iterable of Slot
            Where two features sit; one input may be among both.
        before_activation : bool
            Whether a sigmoid of the layer that gives the output is looked past.
        """
