"""Holds our drops in score against other packages' permutation importance, on models that are known.

    python benchmarks/agreement.py

On a linear regression and a random forest, with columns of which one is not used, every package gives the rise in mean
squared error under 50 shuffles of each column. Donors differ, so that what is compared are means over the shuffles. The
difference is told in standard errors of these means, of which one in twenty is beyond 2 by chance, and in standard
errors of the drop as an audit tells it, with the rows as a sample. A package that is not installed is named on stderr.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.score_columns import with_scores
from nnperm_mlflow.analysis.scores.scorers import choose_scorers
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.specs import Arrays, InputSpec, OutputSpec
from nnperm_mlflow.models._whole_model import WholeModelPredictor
from nnperm_mlflow.models.output_numbers import as_columns

N_ROWS, N_REPEATS = 400, 50
SCORER = "neg_mean_squared_error"
_ROUNDING = 1e-12
NAMES = ["a", "b", "c", "unused"]
WEIGHTS = np.array([2.0, -1.0, 0.5, 0.0])

Drops = np.ndarray
"""By how much the score drops, of shape (n_repeats, n_features); some packages give their mean alone: one repeat."""


class Estimator(WholeModelPredictor):
    """An estimator of scikit-learn as a predictor."""

    def __init__(self, estimator: Any) -> None:
        super().__init__([InputSpec("x", (len(NAMES),), np.dtype(np.float64))], OutputSpec(), 0)
        self._estimator = estimator

    def call(self, inputs: Arrays) -> np.ndarray:
        """Return predictions of shape (n_rows, 1)."""
        return as_columns(self._estimator.predict(inputs["x"]), len(inputs["x"]))


def ours(estimator: Any, x: np.ndarray, y: np.ndarray) -> tuple[Drops, np.ndarray]:
    """Return the drop of each repeat, and for each feature the standard error that an audit tells."""
    predictor = Estimator(estimator)
    inputs = bind_inputs(predictor.inputs, dataset_from(pd.DataFrame(x, columns=NAMES)), {"x": NAMES})
    plan = plan_perturbations(inputs, "the estimator", AnalysisConfig(rare_below=0.0))
    measure, scores = choose_measure(None, 1, ()), choose_scorers([SCORER], y, 1, False)
    job = Job(predictor, inputs, plan, measure, "the estimator", repeats=N_REPEATS, keeps_predictions=True)
    with tempfile.TemporaryDirectory() as folder:
        found = find(job, N_ROWS, Path(folder) / "t.parquet", lambda done, total: None)
        summary = with_scores(found, job, scores, p_values=False).summary.set_index("perturbation")
        kept = found.predictions
        if kept is None:
            raise TypeError("the audit kept no predictions")
        before = error(kept.baseline[:, 0], y)
        drops = [[error(each[:, 0], y) - before for each in kept.of(number)] for number in range(len(plan))]
    return np.array(drops).T, summary.loc[NAMES, f"{SCORER}_drop_error"].to_numpy()


def error(predicted: np.ndarray, y: np.ndarray) -> float:
    """Return the mean squared error."""
    return float(np.mean((predicted - y) ** 2))


def sklearn(estimator: Any, x: np.ndarray, y: np.ndarray) -> Drops:
    """Call scikit-learn's `permutation_importance`."""
    from sklearn.inspection import permutation_importance  # noqa: PLC0415

    found = permutation_importance(
        estimator, x, y, scoring="neg_mean_squared_error", n_repeats=N_REPEATS, random_state=1
    )
    return found.importances.T


def eli5(estimator: Any, x: np.ndarray, y: np.ndarray) -> Drops:
    """Call eli5's `get_score_importances`."""
    from eli5.permutation_importance import get_score_importances  # noqa: PLC0415

    def score(given: np.ndarray, labels: np.ndarray) -> float:
        return -error(estimator.predict(given), labels)

    return np.array(get_score_importances(score, x, y, n_iter=N_REPEATS, random_state=1)[1])


def alibi(estimator: Any, x: np.ndarray, y: np.ndarray) -> Drops:
    """Call alibi's `PermutationImportance`, which gives mean and deviation over the repeats."""
    from alibi.explainers import PermutationImportance  # noqa: PLC0415

    np.random.seed(1)  # alibi draws from the generator that all share
    explainer = PermutationImportance(estimator.predict, loss_fns="mean_squared_error")
    found = explainer.explain(x, y, method="estimate", kind="difference", n_repeats=N_REPEATS)
    samples = [value["samples"] for value in found.data["feature_importance"][0]]
    return np.array(samples).T


def captum(estimator: Any, x: np.ndarray, y: np.ndarray) -> Drops:
    """Call captum's `FeaturePermutation` with the error of all rows as what the model gives."""
    import torch  # noqa: PLC0415
    from captum.attr import FeaturePermutation  # noqa: PLC0415

    def negative_error(given: torch.Tensor) -> torch.Tensor:
        return torch.tensor(-error(estimator.predict(given.numpy()), y))

    torch.manual_seed(1)
    explainer, rows = FeaturePermutation(negative_error), torch.from_numpy(x)
    return np.concatenate([explainer.attribute(rows).numpy() for _ in range(N_REPEATS)])


PACKAGES: dict[str, Callable[[Any, np.ndarray, np.ndarray], Drops]] = {
    "sklearn": sklearn,
    "eli5": eli5,
    "alibi": alibi,
    "captum": captum,
}


def main() -> None:
    """Compare all packages on both models, and print a Markdown table."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N_ROWS, len(NAMES)))
    y = x @ WEIGHTS + rng.normal(size=N_ROWS)
    seen = x * (WEIGHTS != 0)  # of what is constant when it is trained a model makes no use
    models = {
        "linear": LinearRegression().fit(seen, y),
        "forest": RandomForestRegressor(50, random_state=0).fit(seen, y),
    }
    head = ("model", "package", "feature", "ours", "theirs", "off, errors of the shuffles", "off, errors of the drop")
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    failed = False
    for model, estimator in models.items():
        own, errors = ours(estimator, x, y)
        for package, call in PACKAGES.items():
            try:
                theirs = call(estimator, x, y)
            except ImportError as missing:
                failed = True
                print(f"{package}: {missing}", file=sys.stderr)
                continue
            for number, feature in enumerate(NAMES):
                cells = compare(own[:, number], theirs[:, number], errors[number])
                print(f"| {model} | {package} | {feature} | {cells} |", flush=True)
    sys.exit(int(failed))


def compare(own: Drops, theirs: Drops, of_the_drop: float) -> str:
    """Return the cells for one feature: both means, and by how many standard errors they differ."""
    of_the_shuffles = np.sqrt(own.var(ddof=1) / len(own) + theirs.var(ddof=1) / len(theirs))
    difference = theirs.mean() - own.mean()
    if abs(difference) < _ROUNDING:
        return f"{own.mean():.4f} | {abs(theirs.mean()):.4f} | 0 | 0"
    off = difference / of_the_shuffles, difference / of_the_drop
    return f"{own.mean():.4f} | {theirs.mean():.4f} | {off[0]:+.2f} | {off[1]:+.2f}"


if __name__ == "__main__":
    main()
