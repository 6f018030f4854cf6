"""How far a prediction has moved: a deviation compares two predictions of one observation."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nnperm_mlflow.basics.errors import ConfigError, did_you_mean, name_list
from nnperm_mlflow.inputs.specs import OutputSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measure:
    """What of the predictions is compared.

    Attributes
    ----------
    columns : tuple of int
        Outputs that take part.
    distance : str or None
        Name of a distance between predictions of several outputs; None for the one output's absolute difference.
    baseline_names : tuple of str
        Column names for the baseline predictions, one for each of `columns`.
    """

    columns: tuple[int, ...]
    distance: str | None
    baseline_names: tuple[str, ...]

    def pick(self, predictions: np.ndarray) -> np.ndarray:
        """Return the outputs that take part, of shape (n_rows, len(columns))."""
        return predictions[:, list(self.columns)]

    def deviations(self, baseline: np.ndarray, perturbed: np.ndarray) -> np.ndarray:
        """Return how far each row has moved.

        Parameters
        ----------
        baseline, perturbed : ndarray of shape (n_rows, n_outputs)
            As `pick` returns them.

        Returns
        -------
        ndarray of shape (n_rows,), float32
            |perturbed - baseline| in the unit of the prediction; or half the sum ("total_variation"), the largest
            ("max") or the root of the sum of squares ("l2") of these over the outputs. Computed in float64, since a
            narrower type may hold both predictions and neither their difference nor its square.
        """
        reduce = _DISTANCES[self.distance] if self.distance else _only
        with np.errstate(over="ignore"):
            difference = np.subtract(perturbed, baseline, dtype=np.float64)
            return reduce(np.abs(difference, out=difference)).astype(np.float32)

    def fell(self, baseline: np.ndarray, perturbed: np.ndarray) -> np.ndarray:
        """Return which rows' prediction has fallen, of shape (n_rows,), bool; none where a distance is measured."""
        return (perturbed < baseline)[:, 0] & (self.distance is None)


def with_positive_class(output: int | str | None, outputs: OutputSpec, n_outputs: int) -> int | str | None:
    """Return the output to follow where none is asked for and the two there are speak for two classes: the second one.

    That is what scikit-learn's scorers follow. Either moves as far as the other.

    Parameters
    ----------
    output : int, str or None
        As configured.
    outputs : OutputSpec
        What is known of the outputs.
    n_outputs : int
    """
    heads = outputs.heads
    if output is not None or n_outputs != 2 or len(heads) != 1 or not heads[0].exclusive:
        return output
    second = outputs.names[1] if len(outputs.names) == 2 else 1
    logger.info(
        "the two outputs are the probabilities of two classes: '%s' is followed, the second or positive one, as by "
        "scikit-learn's scorers; 'analysis: output' names another",
        second,
    )
    return second


def choose_measure(output: int | str | None, n_outputs: int, names: tuple[str, ...]) -> Measure:
    """Decide which output is followed.

    Parameters
    ----------
    output : int, str or None
        Position, name or distance, as configured.
    n_outputs : int
        Outputs of the model.
    names : tuple of str
        Their names, as far as known.

    Returns
    -------
    Measure

    Raises
    ------
    ConfigError
        If the model has several outputs and none is chosen, or there is none of that name.
    """
    labels = names if len(names) == n_outputs else tuple(str(position) for position in range(n_outputs))
    if output is None and n_outputs == 1:
        return Measure((0,), None, ("baseline",))
    if isinstance(output, int) and output < n_outputs:
        return Measure((output,), None, ("baseline",))
    if isinstance(output, str) and output in labels:
        return Measure((labels.index(output),), None, ("baseline",))
    if isinstance(output, str) and output in _DISTANCES:
        return Measure(tuple(range(n_outputs)), output, tuple(f"baseline_{label}" for label in labels))
    choices = f"an output ({name_list(labels)}, or its position from 0) or a distance ({name_list(_DISTANCES)})"
    if output is None:
        raise ConfigError(f"the model has {n_outputs} outputs: choose under 'analysis: output:' {choices}.")
    hint = did_you_mean(str(output), [*labels, *_DISTANCES])
    raise ConfigError(f"analysis: output: the model has no output '{output}'; choose {choices}.{hint}")


def _only(difference: np.ndarray) -> np.ndarray:
    return difference[:, 0]


def _total_variation(difference: np.ndarray) -> np.ndarray:
    return difference.sum(axis=1) / 2


def _l2(difference: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(difference).sum(axis=1))


def _max(difference: np.ndarray) -> np.ndarray:
    return difference.max(axis=1)


_DISTANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "total_variation": _total_variation,
    "max": _max,
    "l2": _l2,
}
