"""What a classifier decides: whether a perturbation turns a decision, and not only moves a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nnperm_mlflow.analysis.deviation import Measure
from nnperm_mlflow.errors import ConfigError
from nnperm_mlflow.models.predictor import OutputSpec

_EVEN = 0.5  # where a probability speaks for neither of two classes


@dataclass(frozen=True)
class Decision:
    """How a decision follows from predictions.

    Attributes
    ----------
    column : int or None
        The output that is held against the threshold; None where the largest of all outputs decides.
    threshold : float
    """

    column: int | None
    threshold: float = _EVEN

    def decide(self, predictions: np.ndarray) -> np.ndarray:
        """Return what is decided for predictions of shape (n_rows, n_outputs): shape (n_rows,), int."""
        if self.column is None:
            return predictions.argmax(axis=1)
        return (predictions[:, self.column] > self.threshold).astype(np.int64)


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
        None where nothing was asked for and outputs are no probabilities of classes.

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
        return Decision(None)
    followed = measure.columns[0] if measure.distance is None else None
    if asked is not None:
        if followed is None:
            raise ConfigError(
                f"analysis: decision: a threshold of {asked:g} is held against one output, but the distance "
                f"'{measure.distance}' follows several. Choose an output, or 'decision: argmax'."
            )
        return Decision(followed, float(asked))
    if outputs.exclusive and n_outputs > 1:
        return Decision(None)
    return Decision(followed) if outputs.unit == "probability" and followed is not None else None
