"""Permutation tests within strata are of uniform permutations, though deviations are of values of other rows."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.metrics import mean_squared_error

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.donors import ShuffleBlock, donor_positions, other_positions
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.perturbation.strata import stratify
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.score_columns import with_scores
from nnperm_mlflow.analysis.scores.scorers import choose_scorers
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

pytestmark = pytest.mark.slow

REPEATS = 9


def audited(table, labels, path, *, within=("town",), seed=0):
    """Return the summary's row of `x` for the model x, and the deviations (n_repeats, n_rows)."""
    specs, inputs = bound(table, numbers=["x"])
    perturbations = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0.0))
    strata = stratify(within, {"town": table["town"].to_numpy()})
    job = Job(
        PlainPredictor(specs, lambda given: given["num_input"][:, 0]), inputs, perturbations,
        choose_measure(None, 1, ()), "", seed, REPEATS, strata=strata, tests=True, keeps_predictions=True,
    )  # fmt: skip
    found = find(job, 1000, path, lambda *_: None)
    scores = choose_scorers(["neg_mean_squared_error"], labels, 1, False)
    summary = with_scores(found, job, scores, p_values=True).summary.set_index("perturbation")
    written = pd.read_parquet(path).sort_values(["repeat", "row"])
    return summary.loc["x"], written["x"].to_numpy().reshape(REPEATS, -1)


def rows(seed, size=3, n_strata=20, effect=0.0):
    rng = np.random.default_rng(seed)
    towns = rng.permutation(np.repeat(np.arange(n_strata), size))
    x = rng.normal(size=len(towns)) + towns
    return pd.DataFrame({"town": towns, "x": x}), effect * x + towns + rng.normal(size=len(towns))


def test_the_test_has_the_permutation_and_the_drop_the_donors_that_are_other_rows(tmp_path):
    table, labels = rows(0, effect=0.3)
    found, deviations = audited(table, labels, tmp_path / "t.parquet")
    x, towns, block = table["x"].to_numpy(), table["town"].to_numpy(), ShuffleBlock(0, np.arange(60))
    score = -mean_squared_error(labels, x)
    given = [other_positions(block, 0, "x", repeat, towns) for repeat in range(REPEATS)]
    permuted = [donor_positions(block, 0, "x", repeat, towns) for repeat in range(REPEATS)]
    np.testing.assert_allclose(deviations, [np.abs(x[each] - x) for each in given], rtol=1e-6)
    drops = [score + mean_squared_error(labels, x[each]) for each in given]
    assert found["neg_mean_squared_error_drop"] == pytest.approx(np.mean(drops))
    worse = sum(score + mean_squared_error(labels, x[each]) <= 0 for each in permuted)
    assert found["neg_mean_squared_error_p"] == (1 + worse) / (1 + REPEATS)
    assert worse != sum(drop <= 0 for drop in drops)


def test_without_an_effect_p_values_are_at_most_a_tenth_in_a_tenth_of_the_audits(tmp_path):
    """With the donors of the deviations it would be half of them for a stratum of two rows, which change places."""
    n_audits = 100
    p_values = []
    for seed in range(n_audits):
        table, labels = rows(seed, size=2, n_strata=1)
        found, _ = audited(table, labels, tmp_path / "t.parquet", seed=seed)
        p_values.append(found["neg_mean_squared_error_p"])
    for level in (0.1, 0.3, 0.5):
        assert binom.sf(np.sum(np.array(p_values) <= level + 1e-9) - 1, n_audits, level) > 1e-3


def test_without_strata_a_test_has_the_donors_of_the_deviations(tmp_path):
    table, labels = rows(1)
    _, deviations = audited(table, labels, tmp_path / "t.parquet", within=())
    x = table["x"].to_numpy()
    donors = [donor_positions(ShuffleBlock(0, np.arange(60)), 0, "x", repeat) for repeat in range(REPEATS)]
    np.testing.assert_allclose(deviations, [np.abs(x[each] - x) for each in donors], rtol=1e-6)
