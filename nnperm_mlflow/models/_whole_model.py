"""A model of which nothing is known but how to call it: each prediction is a call of the whole."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from nnperm_mlflow.basics.errors import PredictionError
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models.output_numbers import ends_round_alike, rows_mix
from nnperm_mlflow.models.predictor import Predictor
from nnperm_mlflow.models.stacking import AlwaysExact, Exactness, StackingBlock, stack

logger = logging.getLogger(__name__)

_WHOLE = "whole"


class WholeModelPredictor(ABC):
    """A model of which each prediction is a call of the whole.

    Parameters
    ----------
    inputs : sequence of InputSpec
    outputs : OutputSpec
    most_rows : int
        Rows that a call shall get when changes are stacked, once it is known that rows do not mix.
    """

    _most_workers = 0
    reuses = False
    row_bytes = 0
    kept_bytes = 0
    largest_difference = 0.0

    def __init__(self, inputs: Sequence[InputSpec], outputs: OutputSpec, most_rows: int) -> None:
        self.inputs = tuple(inputs)
        self.outputs = outputs
        self.calls = 0
        self.exactness: type[Exactness] = Exactness
        self.stacked_rows = 0
        self.workers = 0
        self._most_rows = most_rows

    @abstractmethod
    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) for inputs given by name."""

    def prepared(self, name: str, array: np.ndarray) -> Any:  # noqa: ANN401 - whatever `call` takes
        """Return an input that is used more than once in the form that `call` takes fastest."""
        return array

    @property
    def shares(self) -> dict[str, float]:
        """Every input makes the whole model run again."""
        return dict.fromkeys((spec.name for spec in self.inputs), 1.0)

    def begin(self, parts: Sequence[Arrays]) -> list[WholeModelBlock]:
        """Predict parts of rows as they are."""
        self.calls += len(parts)
        own = [self._own(part) for part in parts]
        return [WholeModelBlock(self, inputs, self.call(inputs)) for inputs in own]

    def _own(self, rows: Arrays) -> dict[str, np.ndarray]:
        """Return the inputs in the model's order; one that it can do without may lack."""
        return {spec.name: rows[spec.name] for spec in self.inputs if spec.name in rows or not spec.is_optional}

    def takes(self, rows: Arrays) -> bool:
        """Tell whether the model predicts rows in which something is missing by finite numbers."""
        try:
            return bool(np.isfinite(self.call(self._own(rows))).all())
        except PredictionError:
            return False

    def rows_to_stack(self, probe: Arrays) -> int:
        """Return how many rows a call shall get, where some rows can be tried out."""
        return self._most_rows

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Stack several changes in one call from now on, unless some rows show that rows mix."""
        if rows_mix(self, probe):
            logger.warning(
                "a row's prediction depends on the rows beside it, or on chance: each perturbation gets a call of the "
                "whole model of its own, and the numbers depend on the block size"
            )
        else:
            self.workers = self._most_workers
            if self.exactness is AlwaysExact or ends_round_alike(self, probe):
                self.stacked_rows = self.rows_to_stack(probe)
        return self


class WholeModelBlock(StackingBlock[str]):
    """A block of a model that keeps nothing: each prediction is a call of the whole model.

    Parameters
    ----------
    model : WholeModelPredictor
    inputs : mapping of str to ndarray of shape (n_rows, ...)
        The rows as they are.
    baseline : ndarray of shape (n_rows, n_outputs)
    """

    def __init__(self, model: WholeModelPredictor, inputs: Arrays, baseline: np.ndarray) -> None:
        self.baseline = baseline
        self.workers = model.workers
        self._model = model
        self._inputs = inputs
        self._exactness = model.exactness()
        self._unchanged: dict[tuple[str, int], Any] = {}

    def kind_of(self, change: Change) -> str:
        """Return the only kind of call there is."""
        return _WHOLE

    def most_rows(self, kind: str) -> int:
        """Return how many rows a call shall get; 0 stacks nothing."""
        return self._model.stacked_rows

    def settled(self, kind: str, copies: int) -> str | None:
        """Return the only kind of call there is, where so many copies of the rows give the baseline."""
        if copies > 1 and not self._exactness.holds(
            kind, copies, self.baseline, lambda: self.call(kind, [Change((), ())] * copies)
        ):
            return None
        self._model.calls += 1
        return kind

    def call(self, kind: str, changes: Sequence[Change]) -> np.ndarray:
        """Return the model's predictions for changes, one below the other; only what changes is put together anew."""
        changed = {name for change in changes for name in change.inputs}
        return self._model.call(
            {
                name: stack(changes, name, array) if name in changed else self._repeated(name, len(changes))
                for name, array in self._inputs.items()
            }
        )

    def _repeated(self, name: str, copies: int) -> Any:  # noqa: ANN401 - whatever the model takes
        if (name, copies) not in self._unchanged:
            array = self._inputs[name]
            copied = np.concatenate([array] * copies) if copies > 1 else array
            self._unchanged[name, copies] = self._model.prepared(name, copied)
        return self._unchanged[name, copies]
