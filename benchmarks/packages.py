"""Other packages' permutation importance, each called through the thinnest wrapper that makes it possible.

Scores are mean absolute deviations from the predictions for the rows as they are, so that every package answers the
question of an audit. Each function returns a callable that gives the importances, one for each feature.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from case import Case

MODULES = {
    "sklearn": "sklearn.inspection",
    "eli5": "eli5.permutation_importance",
    "alibi": "alibi.explainers",
    "captum": "captum.attr",
}
"""What each needs; imported before the clock starts."""

_SEED = 0


def sklearn(case: Case, folder: Path) -> Callable[[], np.ndarray]:
    """Call scikit-learn's `permutation_importance`."""
    from sklearn.inspection import permutation_importance  # noqa: PLC0415

    estimator, rows = case.estimator()
    found = permutation_importance(
        estimator,
        rows,
        estimator.predict(rows),
        scoring="neg_mean_absolute_error",
        n_repeats=case.repeats,
        random_state=_SEED,
    )
    return lambda: found.importances_mean


def eli5(case: Case, folder: Path) -> Callable[[], np.ndarray]:
    """Call eli5's `get_score_importances`."""
    from eli5.permutation_importance import get_score_importances  # noqa: PLC0415

    estimator, rows = case.estimator()

    def score(X: np.ndarray, y: np.ndarray) -> float:  # noqa: N803
        return -float(np.abs(estimator.predict(X) - y).mean())

    X = np.asarray(rows)  # noqa: N806
    _, decreases = get_score_importances(score, X, estimator.predict(X), n_iter=case.repeats, random_state=_SEED)
    return lambda: np.mean(decreases, axis=0)


def alibi(case: Case, folder: Path) -> Callable[[], np.ndarray]:
    """Call alibi's `PermutationImportance`, which exchanges values between two random halves of the rows."""
    from alibi.explainers import PermutationImportance  # noqa: PLC0415

    estimator, rows = case.estimator()
    X = np.asarray(rows)  # noqa: N806
    np.random.seed(_SEED)  # alibi draws from the generator that all share
    found = PermutationImportance(estimator.predict, loss_fns="mean_absolute_error").explain(
        X, estimator.predict(X), method="estimate", kind="difference", n_repeats=case.repeats
    )
    (importances,) = found.data["feature_importance"]
    return lambda: np.array([value["mean"] if isinstance(value, dict) else value for value in importances])


def captum(case: Case, folder: Path) -> Callable[[], np.ndarray]:
    """Call captum's `FeaturePermutation` on the model's own inputs, as tensors, with a mask that numbers the features.

    What it attributes to a row is the difference between two predictions; its magnitude is a deviation.
    """
    import torch  # noqa: PLC0415
    from captum.attr import FeaturePermutation  # noqa: PLC0415

    def forward(*tensors: torch.Tensor) -> torch.Tensor:
        arrays = (tensor.numpy() for tensor in tensors)
        return torch.from_numpy(case.call(dict(zip(case.arrays, arrays, strict=True))))

    masks = {name: torch.zeros((1, *array.shape[1:]), dtype=torch.int64) for name, array in case.arrays.items()}
    for number, (name, index) in enumerate(case.places.values()):
        masks[name][(0, *index)] = number
    torch.manual_seed(_SEED)
    explainer, tensors = FeaturePermutation(forward), tuple(map(torch.from_numpy, case.arrays.values()))
    found = np.zeros((case.repeats, len(case.features)))
    for repeat in range(case.repeats):
        attributed = explainer.attribute(tensors, feature_mask=tuple(masks.values()))
        by_input = dict(zip(case.arrays, attributed, strict=True))
        for number, feature in enumerate(case.features):
            name, index = case.places[feature]
            found[repeat, number] = by_input[name][(slice(None), *index)].abs().mean()
    return lambda: found.mean(axis=0)
