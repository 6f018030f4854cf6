"""What zero means for a model: by how much its own predictions differ where nothing was disturbed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nnperm_mlflow.analysis.engine.deviation import Measure
from nnperm_mlflow.inputs.bound_inputs import BoundInputs, probe_rows
from nnperm_mlflow.models.output_numbers import rounding_of
from nnperm_mlflow.models.predictor import Predictor

MOST_ROWS = 256
"""Rows on which a model's noise is looked for."""


@dataclass(frozen=True)
class SelfNoise:
    """Largest deviations of undisturbed rows, in the unit of the prediction.

    Attributes
    ----------
    again : float
        Between two predictions of the same rows.
    elsewhere : float
        Between predictions of the same rows in this and in the opposite order.
    is_random : bool
        Whether two predictions of the same rows differ by more than rounding.
    mixing : float
        By how much predictions of a row differ with the rows beside it, as `row_independence.measure_mixing` tells; 0
        where that is rounding or chance.
    """

    again: float
    elsewhere: float
    is_random: bool
    mixing: float = 0.0

    @property
    def largest(self) -> float:
        """A deviation up to here may be the model's own."""
        return max(self.again, self.elsewhere, self.mixing)


def measure_noise(predictor: Predictor, inputs: BoundInputs, measure: Measure) -> SelfNoise:
    """Predict some rows twice, and once more in the opposite order.

    Parameters
    ----------
    predictor : Predictor
    inputs : BoundInputs
    measure : Measure

    Returns
    -------
    SelfNoise
        Of the finite predictions among them.
    """
    rows = inputs.read(probe_rows(inputs.n_rows, MOST_ROWS))
    turned = {name: np.ascontiguousarray(array[::-1]) for name, array in rows.items()}
    first, second, last = (measure.pick(predictor.begin([given])[0].baseline) for given in (rows, rows, turned))
    again, elsewhere = _largest(measure, first, second), _largest(measure, first, last[::-1])
    return SelfNoise(again, elsewhere, again > rounding_of(first))


def _largest(measure: Measure, one: np.ndarray, other: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        deviations = measure.deviations(one, other)
    return float(deviations[np.isfinite(deviations)].max(initial=0))
