"""The two verbs behind which every kind of model stands."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nnperm_mlflow.errors import PredictionError
from nnperm_mlflow.inputs.slots import Change
from nnperm_mlflow.inputs.specs import InputSpec
from nnperm_mlflow.models.stacking import Arrays, Exactness, StackingBlock, stack

logger = logging.getLogger(__name__)

_WHOLE = "whole"


@dataclass(frozen=True)
class OutputSpec:
    """What a model predicts.

    Attributes
    ----------
    names : tuple of str
        One per output; empty where only a call tells how many there are.
    unit : str or None
        "probability" where the last layer says so.
    exclusive : bool
        Whether outputs are known to be the probabilities of classes of which one is right.
    """

    names: tuple[str, ...] = ()
    unit: str | None = None
    exclusive: bool = False


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
        self.exactness = Exactness()
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
        own = [{spec.name: part[spec.name] for spec in self.inputs} for part in parts]
        return [WholeModelBlock(self, inputs, self.call(inputs)) for inputs in own]

    def takes(self, rows: Arrays) -> bool:
        """Tell whether the model predicts rows in which something is missing by finite numbers."""
        try:
            return bool(np.isfinite(self.call({spec.name: rows[spec.name] for spec in self.inputs})).all())
        except PredictionError:
            return False

    def fitted(self, probe: Arrays, exact: bool = True) -> Predictor:
        """Stack several changes in one call from now on, unless some rows show that rows mix."""
        if rows_mix(self, probe):
            logger.warning(
                "a row's prediction depends on the rows beside it, or on chance: each perturbation gets a call of the "
                "whole model of its own, and the numbers depend on the block size"
            )
        else:
            self.stacked_rows = self._most_rows
            self.workers = self._most_workers
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
        self._unchanged: dict[tuple[str, int], Any] = {}

    def kind_of(self, change: Change) -> str:
        """Return the only kind of call there is."""
        return _WHOLE

    def most_rows(self, kind: str) -> int:
        """Return how many rows a call shall get; 0 stacks nothing."""
        return self._model.stacked_rows

    def settled(self, kind: str, copies: int) -> str | None:
        """Return the only kind of call there is, where so many copies of the rows give the baseline."""
        if copies > 1 and not self._model.exactness.holds(
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


class Caller(Protocol):
    """What can be called with all inputs of a model."""

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs)."""


def rows_mix(model: Caller, probe: Arrays, predicted: np.ndarray | None = None) -> bool:
    """Tell whether a row's prediction depends on the rows beside it, or on chance, as some rows show.

    Parameters
    ----------
    model : Caller
    probe : mapping of str to ndarray of shape (n_rows, ...)
    predicted : ndarray of shape (n_rows, n_outputs), optional
        What the model gives for them, where it is known.

    Returns
    -------
    bool
    """
    n_rows = len(next(iter(probe.values())))
    half = {name: array[: n_rows // 2] for name, array in probe.items()}
    found = model.call(probe) if predicted is None else predicted
    return not same_numbers(found[: n_rows // 2], model.call(half))


def same_numbers(found: np.ndarray, expected: np.ndarray) -> bool:
    """Tell whether predictions of shape (n_rows, n_outputs) are the same up to rounding, whatever their unit.

    What counts is the spread of each output over the rows: 1e-4 of it lies beyond what another order of adding does,
    and far below what mixed rows or chance do.
    """
    rounding = rounding_of(expected)
    spread = np.ptp(expected, axis=0) if len(expected) else 0.0
    return bool((np.abs(found - expected) <= np.maximum(1e-4 * spread, rounding)).all() or _both_nan(found, expected))


def rounding_of(predictions: np.ndarray) -> float:
    """Return what the last bits of a float32 can make of predictions: 64 units in the last place of the largest."""
    largest = float(np.abs(predictions[np.isfinite(predictions)]).max(initial=0.0))
    return 64 * float(np.finfo(np.float32).eps) * largest


def _both_nan(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.isnan(expected).any() and (np.isnan(found) == np.isnan(expected)).all())


def as_columns(prediction: object, n_rows: int) -> np.ndarray:
    """Return what a model gave as numbers of shape (n_rows, n_outputs).

    Parameters
    ----------
    prediction : array-like
        One array of shape (n_rows, ...), or several by name or position.
    n_rows : int
        Rows that the model was given.

    Returns
    -------
    ndarray of shape (n_rows, n_outputs)
        Floating point as the model gave it; integers and booleans as float64.

    Raises
    ------
    PredictionError
        If there is not one prediction a row, or predictions are no numbers.
    """
    parts = list(prediction.values()) if isinstance(prediction, Mapping) else prediction
    arrays = [np.asarray(part) for part in (parts if isinstance(parts, (list, tuple)) else [parts])]
    for array in arrays:
        if array.ndim == 0 or len(array) != n_rows:
            raise PredictionError(f"the model was given {n_rows} rows and returned an array of shape {array.shape}.")
        if array.dtype.kind not in "fiub":
            raise PredictionError(
                "the model's predictions are no numbers but labels, between which there is no distance. Log it so that "
                "it predicts numbers (for scikit-learn: pyfunc_predict_fn='predict_proba')."
            )
    columns = [array.reshape(n_rows, -1) for array in arrays]
    joined = columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)
    return joined if joined.dtype.kind == "f" else joined.astype(np.float64)
