"""Whether two features can interact at all, as the graph of a network tells without a call."""

from __future__ import annotations

from nnperm_mlflow.inputs.slots import Feature
from nnperm_mlflow.models.predictor import Predictor, Separating


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
    return predictor.separates(first.slots, second.slots, before_activation=scale == "logit")
