"""What a classifier decides: whether a perturbation turns a decision, and not only moves a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nnperm_mlflow.analysis.engine.deviation import Measure
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.inputs.specs import OutputSpec

_EVEN = 0.5  # where a probability speaks for neither of two classes


@dataclass(frozen=True)
class Decision:
    """How a decision follows from predictions.

    Attributes
    ----------
    columns : tuple of int
        Outputs of which the largest decides; a single one is held against the threshold.
    threshold : float or None
        None where the single output is what was decided: the number of a class.
    """

    columns: tuple[int, ...]
    threshold: float | None = _EVEN

    @property
    def is_prediction(self) -> bool:
        """Whether predictions are what was decided, so that a change is a flip."""
        return self.threshold is None

    def decide(self, predictions: np.ndarray) -> np.ndarray:
        """Return what is decided for predictions of shape (n_rows, n_outputs): shape (n_rows,), int."""
        if len(self.columns) > 1:
            return predictions[:, list(self.columns)].argmax(axis=1)
        only = predictions[:, self.columns[0]]
        if self.threshold is None:
            return (only.astype(np.float64) + 0.0).view(np.int64)  # its bits: -0 is 0, and no other two are alike
        return (only > self.threshold).astype(np.int64)


def choose_decision(
    asked: float | Literal["argmax"] | None, measure: Measure, n_outputs: int, outputs: OutputSpec
) -> Decision | None:
    """Find out how the model decides.

    Parameters
    ----------
    asked : float, "argmax" or None
        As configured.
    measure : Measure
        Which output is followed.
    n_outputs : int
    outputs : OutputSpec
        What is known of them.

    Returns
    -------
    Decision or None
        None where nothing was asked for and what is followed is neither a probability of a class nor a class.

    Raises
    ------
    ConfigError
        If one output shall be the largest of several, or several be held against one threshold.
    """
    if asked == "argmax":
        if n_outputs == 1:
            raise ConfigError(
                "analysis: decision: 'argmax' takes the largest of several outputs, but the model has one. Give the "
                "threshold above which it decides."
            )
        return Decision(tuple(range(n_outputs)))
    if asked is not None:
        if measure.distance is not None:
            raise ConfigError(
                f"analysis: decision: a threshold of {asked:g} is held against one output, but the distance "
                f"'{measure.distance}' follows several. Choose an output, or 'decision: argmax'."
            )
        return Decision(measure.columns, float(asked))
    heads = outputs.heads_of(measure.columns)
    if len(heads) == 1 and heads[0].exclusive:
        return Decision(heads[0].columns)
    if len(heads) == 1 and heads[0].classes:
        return Decision(heads[0].columns, threshold=None)
    is_probability = measure.distance is None and outputs.unit_of(measure.columns) == "probability"
    return Decision(measure.columns) if is_probability else None
