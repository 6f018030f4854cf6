"""How often a conditional permutation test finds an effect of a feature that adds nothing to the others.

Ten Gaussian features, each two with the same correlation; labels are the first one and noise, so that the last one,
which is tested, tells nothing of them that the first does not. Three models that use it: least squares, which hardly
does; ridge regression, which spreads what the first one tells over all ten; and one that reads the tested one alone, in
the place of the first. Seeds are fixed; a test at 5 % should find an effect in 5 % of the audits.

    python -m benchmarks.conditional_tests --audits 400 --rows 1000 5000
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np

from benchmarks.conditional_coverage import CORRELATIONS, bound, latent, observed
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions
from nnperm_mlflow.analysis.perturbation.subgroups.columns import ColumnReader
from nnperm_mlflow.analysis.perturbation.subgroups.learning import SubgroupLearner
from nnperm_mlflow.analysis.scores.p_values import SIGNIFICANT

MODELS = ("least squares", "ridge", "stand-in")

_TESTED = "target0"
_TRAINING_ROWS = 2_000
_RIDGE = 1.0  # of the variance of a feature
_NOISE = 1.0
_REPEATS = 19  # the fewest of which a p-value can be 0.05


def weights_of(numbers: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return for each model the weights of ten features, learned from training rows."""
    covariances, with_labels = numbers.T @ numbers / len(numbers), numbers.T @ labels / len(numbers)
    alone = np.zeros(numbers.shape[1])
    alone[-1] = with_labels[-1] / covariances[-1, -1]
    return {
        "least squares": np.linalg.solve(covariances, with_labels),
        "ridge": np.linalg.solve(covariances + _RIDGE * np.eye(len(with_labels)), with_labels),
        "stand-in": alone,
    }


def simulate(
    correlation: float, *, n_rows: int, n_audits: int, models: Sequence[str] = MODELS
) -> dict[str, dict[str, float]]:
    """Return for each model in which share of the audits p is at most 0.05, of a conditional and of a plain test.

    Parameters
    ----------
    correlation : float
        Of each two features.
    n_rows : int
        Rows that an audit is made of; the model has learned from others.
    n_audits : int
    models : sequence of str
    """
    rng = np.random.default_rng([11, n_rows])
    found = {model: {"conditional": 0, "shuffle": 0} for model in models}
    for seed in range(n_audits):
        training, numbers = (latent(rng, n, correlation) for n in (_TRAINING_ROWS, n_rows))
        of_training, labels = (each[:, 0] + _NOISE * rng.normal(size=len(each)) for each in (training, numbers))
        weights = weights_of(training, of_training)
        subgroups = _subgroups(numbers, seed)
        for way, strata, name in (("conditional", subgroups, f"{_TESTED} conditional"), ("shuffle", None, _TESTED)):
            block = ShuffleBlock(0, np.arange(n_rows))
            donors = [donor_positions(block, seed, name, repeat, strata).astype(np.int64) for repeat in range(_REPEATS)]
            for model in models:
                found[model][way] += _p_value(numbers, labels, weights[model], donors) <= SIGNIFICANT
    return {model: {way: count / n_audits for way, count in of.items()} for model, of in found.items()}


def _subgroups(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Return the number of each row's subgroup, as an audit learns it of the last feature."""
    inputs, feature = bound("number", observed("number", numbers, np.random.default_rng(seed)))
    positions = np.arange(len(numbers))
    learned = SubgroupLearner(inputs, seed, None).learn(feature, inputs.features)
    return learned.of(ColumnReader(inputs.sources, positions), positions)


def _p_value(numbers: np.ndarray, labels: np.ndarray, weights: np.ndarray, donors: Sequence[np.ndarray]) -> float:
    """Return that of the drop of the mean squared error, as `p_values` tells it."""
    tested, off = weights[-1] * numbers[:, -1], labels - numbers @ weights
    error = np.mean(off**2)
    worse = sum(bool(np.mean((off + tested - tested[each]) ** 2) <= error) for each in donors)
    return (1 + worse) / (1 + len(donors))


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audits", type=int, default=400)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 5_000])
    parser.add_argument("--correlations", type=float, nargs="+", default=CORRELATIONS)
    asked = parser.parse_args()
    error = 100 * math.sqrt(SIGNIFICANT * (1 - SIGNIFICANT) / asked.audits)
    print(f"Share of {asked.audits} audits with p of at most {SIGNIFICANT} (where it is 5 %, +- {error:.1f} points)\n")
    print(f"| rows | correlation | {' | '.join(MODELS)} | the same, plain |\n|{' --- |' * (3 + len(MODELS))}")
    for n_rows in asked.rows:
        for correlation in asked.correlations:
            found = simulate(correlation, n_rows=n_rows, n_audits=asked.audits)
            told = [f"{found[model]['conditional']:.1%}" for model in MODELS]
            plain = ", ".join(f"{found[model]['shuffle']:.1%}" for model in MODELS)
            print(f"| {n_rows:,} | {correlation:g} | {' | '.join(told)} | {plain} |", flush=True)


if __name__ == "__main__":
    main()
