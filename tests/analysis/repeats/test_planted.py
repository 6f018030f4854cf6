"""Planted truths: many simulated models of which it is known what they use, and how much."""

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.self_noise import measure_noise
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.score_columns import with_scores
from nnperm_mlflow.analysis.scores.scorers import choose_scorers
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound
from tests.support.simulations import in_full

pytestmark = pytest.mark.slow

N_MODELS, N_ROWS = 200, 60
N_TESTED = in_full(N_MODELS, 12)
"""Models whose features are tested: each takes a second."""

NUMBERS, CODES, CHANNELS = [f"n{number}" for number in range(6)], ["c0", "c1"], ["PAY", "BILL"]
FEATURES = [*NUMBERS, *CODES, *CHANNELS]


def planted(seed):
    """Return a model that uses a random half of the features, the names of these, data, and labels with noise."""
    rng = np.random.default_rng(seed)
    active = sorted(rng.choice(FEATURES, 5, replace=False))
    sizes = {name: rng.choice([-1, 1]) * rng.uniform(0.5, 2) for name in active}
    table = pd.DataFrame(rng.normal(size=(N_ROWS, 6)), columns=NUMBERS)
    table = table.assign(c0=rng.integers(0, 3, N_ROWS), c1=rng.integers(0, 2, N_ROWS))
    history = rng.normal(size=(N_ROWS, 4, 2))

    def model(inputs):
        held = {name: inputs["num_input"][:, number] for number, name in enumerate(NUMBERS)}
        held |= {name: inputs[f"{name}_input"][:, 0] for name in CODES}
        held |= {name: inputs["temporal_input"][:, :, number].mean(axis=1) * 2 for number, name in enumerate(CHANNELS)}
        return sum(size * np.tanh(held[name]) for name, size in sizes.items())

    bindings = bound(table, history, NUMBERS, CODES, CHANNELS)
    labels = model(bindings[1].read(np.arange(N_ROWS))) + rng.normal(size=N_ROWS)
    return model, set(active), bindings, labels


def audit(model, bindings, tmp_path, labels=None, repeats=1):
    specs, inputs = bindings
    plan = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0))
    predictor, measure = PlainPredictor(specs, model), choose_measure(None, 1, ())
    job = Job(predictor, inputs, plan, measure, "", 0, repeats, keeps_predictions=labels is not None)
    found = find(job, 1000, tmp_path / "t.parquet", lambda *_: None)
    noise = measure_noise(predictor, inputs, measure)
    measurable = set(found.summary.loc[found.summary["max"] > noise.largest, "perturbation"])
    if labels is None:
        return measurable, None
    scores = choose_scorers(["neg_mean_squared_error"], labels, 1, False, ())
    return measurable, with_scores(found, job, scores, p_values=True).summary.set_index("perturbation")


def test_what_is_measurable_is_what_the_model_uses(tmp_path):
    """No inactive feature of 1,000 is called active, and no active one is missed."""
    for seed in range(N_MODELS):
        model, active, bindings, _ = planted(seed)
        assert audit(model, bindings, tmp_path)[0] == active


def test_a_model_that_rounds_a_little_differently_each_time_has_no_more_effects(tmp_path):
    """Its noise is measured, and what lies below it is called no effect."""
    called, missed = 0, 0
    for seed in range(N_MODELS):
        model, active, bindings, _ = planted(seed)
        chance = np.random.default_rng(seed)

        def noisy(inputs, model=model, chance=chance):
            predicted = model(inputs)
            return predicted + chance.choice([-1e-9, 0.0, 1e-9], len(predicted))

        found = audit(noisy, bindings, tmp_path)[0]
        called += len(found - active)
        missed += len(active - found)
    assert called <= 0.05 * 5 * N_MODELS
    assert missed == 0


def test_tests_of_the_drop_in_score_keep_what_they_promise(tmp_path):
    """Adjusted p-values below 0.05 name at most 5 % of the inactive features, and 95 % of the active ones of size."""
    false, inactive, found, large = 0, 0, 0, 0
    for seed in range(N_TESTED):
        model, active, bindings, labels = planted(seed)
        summary = audit(model, bindings, tmp_path, labels, repeats=99)[1]
        called = set(summary.index[summary["neg_mean_squared_error_q"] <= 0.05])
        strong = {name for name in active if summary.loc[name, "median"] > 0.5}
        false += len(called - active)
        inactive += len(set(FEATURES) - active)
        found += len(called & strong)
        large += len(strong)
    assert false <= 0.05 * inactive
    assert large > 2 * N_TESTED
    assert found >= 0.95 * large
