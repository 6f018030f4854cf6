"""Whether two features can interact at all, as the graph of a network tells without a call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from nnperm_mlflow.inputs.slots import Feature
from nnperm_mlflow.models.predictor import Predictor


@runtime_checkable
class Separating(Protocol):
    """A predictor that knows which of its steps are affine."""

    def separates(self, first: Iterable[str], second: Iterable[str], before_activation: bool) -> bool:
        """Tell whether no step that is not affine depends on inputs of both kinds.

        Parameters
        ----------
        first, second : iterable of str
            Names of inputs; one may be among both.
        before_activation : bool
            Whether a sigmoid of the layer that gives the output is looked past.
        """


def never_interact(predictor: Predictor, first: Feature, second: Feature, *, scale: str) -> bool:
    """Tell whether what two features do together is the sum of what each does, whatever the rows.

    Parameters
    ----------
    predictor : Predictor
        One of which no graph is known tells nothing, and may mix all inputs.
    first, second : Feature
    scale : {"prediction", "logit"}
    """
    if not isinstance(predictor, Separating):
        return False
    one, other = ({slot.input for slot in feature.slots} for feature in (first, second))
    return predictor.separates(one, other, before_activation=scale == "logit")
