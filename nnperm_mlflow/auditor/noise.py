"""Which noise of a model's own leaves nothing for an audit to tell: chance, and rows that look at each other."""

from __future__ import annotations

import logging

from nnperm_mlflow.analysis.engine.self_noise import SelfNoise
from nnperm_mlflow.basics.errors import ModelError

logger = logging.getLogger(__name__)


def refuse_random(noise: SelfNoise, model: str, is_allowed: bool) -> None:
    """Refuse a model that draws random numbers when it predicts, unless that is allowed.

    Raises
    ------
    ModelError
    """
    if noise.is_random and not is_allowed:
        raise ModelError(
            f"{model} draws random numbers: the same rows predicted twice differ by up to {noise.again:.3g}, and "
            "deviations of that size mean nothing. Log it as it shall predict (dropout off; a recurrent network not "
            "stateful), or set 'analysis: {random: true}'."
        )


def refuse_mixing(noise: SelfNoise, model: str, is_allowed: bool) -> None:
    """Refuse a model of which the prediction of a row depends on the rows beside it, or say so where it is allowed.

    Raises
    ------
    ModelError
    """
    if not noise.mixing:
        return
    found = (
        f"{model} predicts a row otherwise alone, or with other rows beside it: by up to {noise.mixing:.3g}. Numbers "
        "that depend on how many rows are asked at once say nothing of a single decision."
    )
    if not is_allowed:
        raise ModelError(
            f"{found} Log it so that it takes each row by itself: what it computes across the batch (a mean, ranks, a "
            "softmax along axis 0) as constants of the training, as BatchNormalization keeps them when it predicts. "
            "'analysis: {random: true}' audits it all the same, and no policy is kept by it."
        )
    logger.warning("%s No policy is kept by it.", found)
