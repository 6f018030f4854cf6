"""The two verbs behind which every kind of model stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nnperm_mlflow.errors import PredictionError
from nnperm_mlflow.inputs.specs import InputSpec

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class OutputSpec:
    """What a model predicts.

    Attributes
    ----------
    names : tuple of str
        One per output; empty where only a call tells how many there are.
    unit : str or None
        "probability" where the last layer says so.
    """

    names: tuple[str, ...] = ()
    unit: str | None = None


class Block(Protocol):
    """Some rows on which a model has been called."""

    @property
    def baseline(self) -> np.ndarray:
        """Predictions for the rows as they are, of shape (n_rows, n_outputs)."""

    def predict(self, changed: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs) with some inputs changed and the others as they were."""


class Predictor(Protocol):
    """A model as a function of named arrays."""

    @property
    def inputs(self) -> Sequence[InputSpec]:
        """What the model takes."""

    @property
    def outputs(self) -> OutputSpec:
        """What it predicts."""

    def begin(self, block: Arrays) -> Block:
        """Predict a block of rows, and keep what can be used again for the same rows."""


@dataclass(frozen=True)
class WholeModelBlock:
    """A block of a model that keeps nothing: each prediction is a call of the whole model."""

    model: WholeModel
    inputs: Arrays
    baseline: np.ndarray

    def predict(self, changed: Arrays) -> np.ndarray:
        """Return predictions with some inputs changed; of shape (n_rows, n_outputs)."""
        return self.model.call({**self.inputs, **changed})


class WholeModel(Protocol):
    """A model that is called with all of its inputs."""

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, n_outputs)."""


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
