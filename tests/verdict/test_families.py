"""Many numbers under one check: what all of them keep, what the worst of them misses, and which place a feature has."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest, norm

from nnperm_mlflow.analysis.difference.feature_order import FeatureInfluences, pair_errors
from nnperm_mlflow.analysis.uncertainty.families import PairErrors, family_ends
from nnperm_mlflow.analysis.uncertainty.intervals import REACH, share_ends
from nnperm_mlflow.analysis.uncertainty.variance import Exchange
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.verdict._estimates import rank_of
from nnperm_mlflow.verdict.audit_evidence import Evidence
from nnperm_mlflow.verdict.judgement import judge
from nnperm_mlflow.verdict.verdict import Subject
from tests.support.simulations import IN_FULL, in_full
from tests.verdict.test_informative import audited

N_AUDITS = in_full(10_000, 200)
DIGESTS = {f"{what}_digest": what for what in ("model", "data", "config", "table", "summary")}
SUBJECT = Subject("models:/credit/4", "run1", "7", **DIGESTS, rows=2_000, repeats=1, seed=0)


def is_at_most(wrong, rate):
    """Tell whether a rate may be kept: in CI its exact 99.9 % lower bound, whole the rate less three of its errors."""
    if IN_FULL:
        return wrong / N_AUDITS <= rate + 3 * np.sqrt(rate * (1 - rate) / N_AUDITS)
    return binomtest(wrong, N_AUDITS).proportion_ci(0.998).low <= rate


def summary_of(means, errors):
    """Return what a summary says of features with such means."""
    names = [f"f{number}" for number in range(len(means))]
    return pd.DataFrame(
        {
            "perturbation": names, "feature": names, "kind": "number", "way": "shuffle", "value": "", "rows": 2_000,
            "skipped": 0, "mean": means, "mean_low": means - REACH * errors, "mean_high": means + REACH * errors,
            "changed_share": 1.0, "max": 1.0, "measurable": True, "decisions_vary": True,
        }
    )  # fmt: skip


def state_of(summary, table=None, **check):
    policy = Policy.model_validate({"format": 2, "checks": [check]})
    differences = None if table is None else partial(pair_errors, table, summary)
    (outcome,) = judge(policy, Evidence(SUBJECT, summary, differences=differences)).outcomes
    return outcome.finding.state


@pytest.mark.parametrize("off", [0.0, -0.05], ids=["at the limit", "5 % below"])
def test_a_limit_that_150_features_keep_fails_in_at_most_5_of_100_audits(off):
    """Were each held to its own interval, the worst of 150 at the limit would miss it in 97 % of the audits."""
    rng, limit, error = np.random.default_rng(1), 0.1, 0.0025
    drawn = limit * (1 + off) + error * rng.normal(size=(N_AUDITS, 150))
    states = [state_of(summary_of(means, np.full(150, error)), any=True, max=limit) for means in drawn]
    assert is_at_most(states.count("fails"), 0.05)
    alone = (drawn - REACH * error > limit).any(axis=1).mean()
    assert off or alone > 0.9  # so that the test would see it


def test_one_feature_that_misses_a_limit_is_found_among_150():
    means = np.full(150, 0.05)
    means[7] = 0.12
    assert state_of(summary_of(means, np.full(150, 0.0025)), any=True, max=0.1) == "fails"
    assert state_of(summary_of(means, np.full(150, 0.0075)), any=True, max=0.1) == "undecided"
    assert state_of(summary_of(means[7:8], np.full(1, 0.0075)), any=True, max=0.1) == "fails"


def test_what_each_feature_keeps_by_its_own_interval_all_keep():
    """That no interval is wider for more features is what keeps a right pass from becoming undecided."""
    for n in (1, 150):
        assert state_of(summary_of(np.full(n, 0.095), np.full(n, 0.0025)), any=True, max=0.1) == "holds"
        assert state_of(summary_of(np.full(n, 0.105), np.full(n, 0.0025)), any=True, min=0.1) == "holds"


def test_the_words_and_the_levels_say_that_many_were_judged():
    means = np.full(150, 0.05)
    means[7] = 0.12
    policy = Policy.model_validate({"format": 2, "checks": [{"any": True, "max": 0.1}]})
    verdict = judge(policy, Evidence(SUBJECT, summary_of(means, np.full(150, 0.0075))))
    assert "does not tell whether it is at most 0.1 as the worst of 150" in verdict.outcomes[0].finding.words
    (told,) = verdict.as_dict()["checks"]
    assert (told["judged"], told["levels"]) == (150, {"holds": 0.025, "fails": pytest.approx(0.025 / 150)})


@pytest.mark.parametrize("n_flipped", [3, 20, 500, 980])
def test_a_share_is_as_unsure_among_many_as_wilsons_interval_of_that_level(n_flipped):
    """Wilson's interval written out for the level that is shared among 150."""
    share, n = n_flipped / 1_000, 150
    low, high = family_ends(share, *share_ends(share, 1_000), n, is_share=True)
    squared = norm.isf(0.025 / n) ** 2 / 1_000
    middle, reach = share + squared / 2, np.sqrt(share * (1 - share) * squared + squared**2 / 4)
    expected = (middle - reach) / (1 + squared), (middle + reach) / (1 + squared)
    assert (low, high) == pytest.approx(expected, rel=1e-9)


def near_ties(rng, n_rows, n_features):
    """Return deviations, and who receives whose value, of features that differ by little and move the same rows."""
    donors = [rng.permutation(n_rows) for _ in range(n_features)]
    values, size = rng.normal(size=(n_features, n_rows)), np.exp(rng.normal(size=n_rows))
    moves = [size * np.abs(each - each[to]) for each, to in zip(values, donors, strict=True)]
    moves[0] *= 0.98
    return moves, [Exchange([to]) for to in donors]


def influences_of(moves, exchanges):
    pairs = zip(moves, exchanges, strict=True)
    return [FeatureInfluences.of((each - each.mean())[None], exchange, len(each)) for each, exchange in pairs]


def test_the_place_of_a_feature_among_near_ties_is_hardly_ever_claimed_wrongly():
    """The first is truly the least of all; by intervals that meet it is more unsure still."""
    rng, n_rows, n_features, wrong, n_audits = np.random.default_rng(2), 300, 30, 0, N_AUDITS // 2
    narrower = []
    for _ in range(n_audits):
        moves, exchanges = near_ties(rng, n_rows, n_features)
        off = influences_of(moves, exchanges)
        errors = {f"f{k}": off[0].difference_error(each) for k, each in enumerate(off)}
        known = np.ones((1, n_rows), dtype=bool)
        pairs = zip(moves, exchanges, strict=True)
        own = [np.sqrt(exchange.moments(each[None], known).variance()) for each, exchange in pairs]
        summary = summary_of(np.mean(moves, axis=1), np.array(own))
        paired = rank_of(summary, "mean", "f0", PairErrors({"f0": errors}, n_rows))
        unpaired = rank_of(summary, "mean", "f0")
        wrong += paired.high < n_features
        narrower.append((unpaired.high - unpaired.low) - (paired.high - paired.low))
    assert binomtest(wrong, n_audits).proportion_ci(0.998).low <= 0.025
    assert np.mean(narrower) >= 0


def test_a_difference_between_two_features_errs_as_it_varies_over_audits():
    """The standard error found on one sample is the standard deviation over many of them, 10 % off at most."""
    rng, n_rows = np.random.default_rng(3), 400
    differences, found = [], []
    for _ in range(1_500):
        moves, exchanges = near_ties(rng, n_rows, 2)
        first, second = influences_of(moves, exchanges)
        differences.append(moves[0].mean() - moves[1].mean())
        found.append(first.difference_error(second) ** 2)
    assert np.sqrt(np.mean(found)) == pytest.approx(np.std(differences), rel=0.1)


def steep(inputs):
    """Moves a few rows far, with AGE and a little less far with SEX."""
    age, sex = inputs["num_input"][:, 0], inputs["SEX_input"][:, 0] == 2
    return np.exp(2 * np.abs(age)) * (0.12 * np.sign(age) + 0.5 * sex)


@pytest.mark.parametrize("statistic", ["mean", "share"])
def test_the_deviation_table_settles_a_place_that_intervals_leave_open(statistic, tmp_path):
    """Both features' means are far off because of the same rows; row by row it is plain which moves more."""
    summary, table = audited(tmp_path, function=steep)
    first, second = summary.sort_values("mean", ascending=False)["perturbation"]
    check = {"feature": first, "statistic": statistic, "rank_at_most": 1}
    assert state_of(summary, **check) == "undecided"
    assert state_of(summary, table, **check) == "holds"
    assert state_of(summary, table, **{**check, "feature": second}) == "fails"


def test_strata_leave_it_to_the_intervals_since_the_table_does_not_tell_donors(tmp_path):
    summary, table = audited(tmp_path, function=steep, within=["SEX"])
    assert pair_errors(table, summary, "mean", ["AGE"], ["SEX"]) is None
