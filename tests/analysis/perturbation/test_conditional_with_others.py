"""Conditional shuffles beside what else is asked: strata that are named, tests of drops, rows that belong together."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom
from sklearn.metrics import mean_squared_error

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.conditional_list import with_conditionals
from nnperm_mlflow.analysis.perturbation.deal import joined
from nnperm_mlflow.analysis.perturbation.donors import donor_positions, other_positions
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.perturbation.strata import Strata
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.analysis.repeats.score_columns import with_scores
from nnperm_mlflow.analysis.scores.p_values import adjust
from nnperm_mlflow.analysis.scores.scorers import choose_scorers
from nnperm_mlflow.analysis.uncertainty._stratified_variance import StratifiedExchange
from nnperm_mlflow.analysis.uncertainty.audited_rows import dependence_of, known_blocks
from nnperm_mlflow.analysis.uncertainty.variance import Exchange
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.analysis.perturbation.test_conditional_donors import EVERYTHING, N_ROWS, conditional, data, job_of
from tests.support.plain import PlainPredictor, bound

SCORE = "neg_mean_squared_error"
TOWNS = np.random.default_rng(5).integers(0, 3, N_ROWS)


def exchanged(job, name):
    """Return of one conditional shuffle the donors in the only block, the subgroups there, and its place in the job."""
    (block,) = job.deal.blocks()
    done = conditional(job, name)
    return job.donors(block, done, 0).astype(int), job.subgroups(block, done), job.perturbations.index(done)


@pytest.mark.parametrize("name", ["x0", "code", "A", "A steps 3 to 4", "both"])
def test_donors_are_alike_in_the_columns_of_within_too_and_so_are_the_rows_of_which_errors_are_found(name):
    job = job_of(EVERYTHING, strata=Strata({"town": TOWNS}))
    donors, subgroups, place = exchanged(job, name)
    parts = joined(TOWNS, subgroups)
    np.testing.assert_array_equal(np.sort(donors), np.arange(N_ROWS))
    np.testing.assert_array_equal(TOWNS[donors], TOWNS)
    np.testing.assert_array_equal(subgroups[donors], subgroups)
    np.testing.assert_array_equal(donors == np.arange(N_ROWS), np.bincount(parts)[parts] == 1)
    dependence = dependence_of(job, known_blocks(job), place)
    assert isinstance(dependence, StratifiedExchange)
    assert len(np.unique(dependence.strata)) == len(np.unique(parts)) > len(np.unique(subgroups))


def test_a_feature_that_is_in_within_itself_is_exchanged_within_the_others():
    code = data()[0]["code"].to_numpy()
    donors, subgroups, _ = exchanged(job_of({}, strata=Strata({"town": TOWNS, "code": code})), "code")
    np.testing.assert_array_equal(TOWNS[donors], TOWNS)
    np.testing.assert_array_equal(subgroups[donors], subgroups)
    assert (code[donors] != code).any()


def audited(table, labels, path, *, repeats, donors, seed=0, tests=True, clusters=None):
    """Return the job of the model x, and its summary by perturbation, with the drops of a score."""
    specs, inputs = bound(table, numbers=[*table])
    settings = AnalysisConfig(rare_below=0.0, donors=donors, seed=seed)
    plan = with_conditionals(plan_perturbations(inputs, "", settings), inputs, settings, clusters)
    job = Job(
        PlainPredictor(specs, lambda given: given["num_input"][:, 0]), inputs, plan, choose_measure(None, 1, ()), "",
        seed, repeats, tests=tests, keeps_predictions=True, clusters=clusters,
    )  # fmt: skip
    scores = choose_scorers([SCORE], labels, 1, False)
    found = with_scores(find(job, 1000, path, lambda *_: None), job, scores, p_values=tests)
    return job, found.summary.set_index("perturbation")


def by_kind(seed, n_rows=200, effect=0.0):
    """Rows whose x, and whose labels, go with their kind, and with each other by an effect beyond that."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n_rows).astype(float)
    x = rng.normal(size=n_rows) + 3 * kind
    return pd.DataFrame({"x": x, "kind": kind}), 3 * kind + effect * (x - 3 * kind) + rng.normal(size=n_rows)


def test_tests_are_of_uniform_permutations_in_the_subgroups_and_drops_of_donors_that_are_other_rows(tmp_path):
    """And each way of shuffling is adjusted for its own features alone: they answer two questions."""
    table, labels = by_kind(0, effect=0.2)
    repeats = 39
    job, found = audited(table, labels, tmp_path / "t", repeats=repeats, donors="conditional")
    (block,) = job.deal.blocks()
    done = conditional(job, "x")
    x, subgroups = table["x"].to_numpy(), job.subgroups(block, done)
    key = (block, 0, "x conditional")
    given = [other_positions(*key, repeat, subgroups) for repeat in range(repeats)]
    permuted = [donor_positions(*key, repeat, subgroups) for repeat in range(repeats)]
    score = -mean_squared_error(labels, x)
    drops = [score + mean_squared_error(labels, x[each]) for each in given]
    worse = sum(score + mean_squared_error(labels, x[each]) <= 0 for each in permuted)
    told = found.loc["x conditional"]
    assert told[f"{SCORE}_drop"] == pytest.approx(np.mean(drops))
    assert told[f"{SCORE}_p"] == (1 + worse) / (1 + repeats)
    own = np.flatnonzero(np.equal(permuted[0], np.arange(len(x))))
    assert len(own) > 0
    assert (given[0][own] != own).all()
    for way in ("shuffle", "conditional"):
        of_way = found[found["way"] == way]
        np.testing.assert_allclose(of_way[f"{SCORE}_q"], adjust(of_way[f"{SCORE}_p"]))


@pytest.mark.slow
def test_what_the_others_tell_is_no_effect_of_a_conditional_test_and_is_one_of_a_plain_test(tmp_path):
    """p-values of a feature that tells nothing beyond the kind are at most a tenth in a tenth of the audits."""
    n_audits, plain, beyond = 60, [], []
    for seed in range(n_audits):
        table, labels = by_kind(seed)
        _, found = audited(table, labels, tmp_path / "t", repeats=9, donors={"x": ["kind"]}, seed=seed)
        plain.append(found.loc["x", f"{SCORE}_p"])
        beyond.append(found.loc["x conditional", f"{SCORE}_p"])
    assert max(plain) == 0.1
    for level in (0.1, 0.3, 0.5):
        assert binom.sf(np.sum(np.array(beyond) <= level + 1e-9) - 1, n_audits, level) > 1e-3


def of_clusters(seed, n_clusters=60, n_each=8):
    """Rows that are alike in their cluster, of two kinds that tell their means; each cluster is of one kind."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n_clusters), n_each)
    kind = rng.integers(0, 2, n_clusters)[clusters].astype(float)
    spread = np.exp(0.5 * rng.normal(size=n_clusters))[clusters]
    return pd.DataFrame({"x": spread * rng.normal(size=len(clusters)) + 5 * kind, "kind": kind}), clusters


def test_rows_that_belong_together_tell_less_of_a_conditional_shuffle_too(tmp_path):
    """Donors and numbers are those of halves that keep clusters whole; errors are of clusters, and drops have none."""
    table, clusters = of_clusters(0)
    labels = table["x"].to_numpy()
    job, found = audited(
        table, labels, tmp_path / "t", repeats=1, donors={"x": ["kind"]}, tests=False, clusters=clusters
    )
    (place,) = (number for number, done in enumerate(job.perturbations) if done.way == "conditional")
    dependence = dependence_of(job, known_blocks(job), place)
    assert isinstance(dependence, Exchange)
    np.testing.assert_array_equal(dependence.clusters, clusters)
    alone = find(replace(job, clusters=None, _deals={}), 1000, tmp_path / "t", lambda *_: None)
    told = alone.summary.set_index("perturbation").loc["x conditional"]
    together = found.loc["x conditional"]
    assert together["mean"] == told["mean"]
    assert together["mean_high"] - together["mean_low"] > 1.2 * (told["mean_high"] - told["mean_low"])
    assert np.isnan(together[f"{SCORE}_drop_error"])


@pytest.mark.slow
def test_intervals_of_clusters_hold_the_mean_within_subgroups(tmp_path):
    """That of donors of the same kind: x less its kind's mean is normal, of a spread that its cluster brings along."""
    n_audits, missed = 60, 0
    rng = np.random.default_rng(99)
    one, other = (np.exp(0.5 * rng.normal(size=400_000)) * rng.normal(size=400_000) for _ in range(2))
    truth = np.abs(one - other).mean()
    for seed in range(n_audits):
        table, clusters = of_clusters(seed)
        _, found = audited(
            table, table["x"].to_numpy(), tmp_path / "t", repeats=1, donors={"x": ["kind"]}, seed=seed, tests=False,
            clusters=clusters,
        )  # fmt: skip
        told = found.loc["x conditional"]
        missed += not told["mean_low"] <= truth <= told["mean_high"]
    assert binom.sf(missed - 1, n_audits, 0.07) > 1e-3
