"""The scale on which effects add up or do not: predictions as they are, or a probability before its activation."""

from __future__ import annotations

import numpy as np

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.interactions_config import Scale
from nnperm_mlflow.models.output_numbers import rounding_of


def on_scale(predictions: np.ndarray, scale: Scale) -> np.ndarray:
    """Return predictions of one output on a scale, of shape (n_rows,), float64.

    A probability that was rounded to 0 or 1 has no logit that is known: it is NaN there.

    Raises
    ------
    ConfigError
        If what shall be a probability lies outside of 0 and 1.
    """
    values = predictions.astype(np.float64)
    if scale == "prediction":
        return values
    known = values[np.isfinite(values)]
    if ((known < 0) | (known > 1)).any():
        raise ConfigError(
            "analysis: interactions: 'scale: logit' asks before the activation of a probability, and the output that "
            "is followed goes beyond 0 and 1. Leave it out, or choose another output."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        logits = np.log(values) - np.log1p(-values)
    return np.where(np.isfinite(logits), logits, np.nan)


def rounding_on(predictions: np.ndarray, scale: Scale) -> np.ndarray:
    """Return what rounding can make of each prediction on a scale, of shape (n_rows,), float64.

    Parameters
    ----------
    predictions : ndarray of shape (n_rows,)
        As the model gave them, in its own type.
    scale : {"prediction", "logit"}
    """
    rounding = rounding_of(predictions)
    if scale == "prediction":
        return np.full(len(predictions), rounding)
    values = predictions.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return rounding / (values * (1 - values))
