"""What two features do together: by definition, how sure it is, and which pairs are found among all."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.journal import Journal
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.interactions.interaction_columns import INTERACTION_COLUMNS
from nnperm_mlflow.analysis.interactions.interactions import find_interactions, second_differences
from nnperm_mlflow.analysis.interactions.pair_choice import TOP, check_interactions, leading_features
from nnperm_mlflow.analysis.interactions.pair_ranking import RANKING_ROWS, rank_pairs
from nnperm_mlflow.analysis.interactions.pairs import shared_job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.perturbation.strata import Strata
from nnperm_mlflow.basics.errors import ConfigError, UnknownFeatureError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.config.interactions_config import InteractionsConfig
from tests.support.plain import PlainPredictor, bound
from tests.support.simulations import in_full

N_ROWS = 300
NAMES = ["a", "b", "c", "d"]


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def job_on(function, n_rows=N_ROWS, names=NAMES, seed=0, data_seed=0, **settings):
    """A job on normal numbers, a code and a channel; the function gets these three."""
    rng = np.random.default_rng(data_seed)
    table = pd.DataFrame(rng.normal(size=(n_rows, len(names))), columns=names).assign(code=rng.integers(0, 3, n_rows))
    specs, inputs = bound(table, rng.normal(size=(n_rows, 4, 2)), names, ["code"], ["PAY", "BILL"])
    plan = plan_perturbations(inputs, "", AnalysisConfig(windows=2, groups={"both": ["a", "b"]}))
    predictor = PlainPredictor(
        specs, lambda given: function(given["num_input"], given["code_input"][:, 0], given["temporal_input"])
    )
    return Job(predictor, inputs, plan, choose_measure(None, 1, ()), "m", seed=seed, **settings)


def interactions(job, pairs="auto", block_rows=1000, **asked):
    return find_interactions(job, InteractionsConfig(pairs=pairs, **asked), block_rows)


def mixed(numbers, code, series):
    return numbers[:, 0] * numbers[:, 1] + np.exp(numbers[:, 2] / 2) * (code == 1) + series[:, 2:, 0].sum(axis=1) ** 2


def predictions_with(job, features, donors):
    """Return predictions with some features of a donor, computed by the function itself."""
    inputs = job.inputs.read(np.arange(job.inputs.n_rows))
    for feature in features:
        for slot in feature.slots:
            inputs[slot.input][(slice(None), *slot.index)] = inputs[slot.input][donors][
                (slice(None), *slot.index)
            ].copy()
    return job.predictor.call(inputs)[:, 0]


@pytest.mark.parametrize(
    "pair", [("a", "b"), ("c", "code"), ("PAY steps 1 to 2", "PAY steps 3 to 4"), ("both", "code")]
)
def test_numbers_are_those_of_the_definition_with_one_donor_for_both(pair):
    job = job_on(mixed)
    (row,) = interactions(job, [[*pair]]).to_dict("records")
    ((one, other),) = check_interactions(InteractionsConfig(pairs=[[*pair]]), job)
    (block,) = job.deal.blocks()
    donors = job.donors(block, shared_job(job, [(one, other)]).perturbations[0], 0)
    assert sorted(donors) == list(range(N_ROWS))
    before = predictions_with(job, [], donors)
    each = [predictions_with(job, features, donors) for features in ([one, other], [one], [other])]
    second = each[0] - each[1] - each[2] + before
    assert row["mean"] == pytest.approx(np.abs(second).mean(), rel=1e-5)
    assert row["share"] == pytest.approx((second**2).mean() / 4 / before.var(), rel=1e-5)
    assert row["mean_low"] <= row["mean"] <= row["mean_high"]
    assert row["share_low"] <= row["share"] <= row["share_high"]
    assert (row["first"], row["second"], row["rows"], row["skipped"]) == (*pair, N_ROWS, 0)


def test_donors_are_the_same_for_all_pairs_and_none_of_the_shuffles():
    job = job_on(mixed)
    (block,) = job.deal.blocks()
    shared = shared_job(job, check_interactions(InteractionsConfig(pairs=[["a", "b"], ["c", "PAY"]]), job))
    drawn = [job.donors(block, each, 0).tolist() for each in shared.perturbations]
    assert all(each == drawn[0] for each in drawn)
    assert drawn[0] != job.donors(block, job.perturbations[0], 0).tolist()
    assert drawn[0] != replace(job, seed=1).donors(block, shared.perturbations[0], 0).tolist()


def test_numbers_hang_on_neither_the_block_size_nor_what_else_is_asked():
    job = job_on(mixed)
    alone = interactions(job, [["a", "b"]])
    together = interactions(job, [["PAY", "code"], ["a", "b"], ["c", "d"]], block_rows=37)
    again = together[together["first"] == "a"].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, alone, rtol=1e-12)


def test_what_was_found_of_pairs_goes_on_from_the_journal_of_the_audit_and_is_none_of_its_shuffles(tmp_path):
    job, journal = job_on(mixed), Journal(tmp_path)
    pairs = check_interactions(InteractionsConfig(pairs=[["a", "b"], ["c", "code"]]), job)
    expected = second_differences(job, pairs, 100, "prediction")
    list(run_blocks(job, 100, journal))  # the audit's own shuffles of the same features
    found = second_differences(job, pairs, 100, "prediction", journal=journal)
    np.testing.assert_array_equal(found.values, expected.values)
    calls = job.predictor.calls
    again = second_differences(job, pairs, 100, "prediction", journal=journal)
    assert job.predictor.calls == calls
    np.testing.assert_array_equal(again.values, expected.values)


def test_what_adds_up_is_no_interaction_and_what_is_added_before_the_activation_is_none_on_its_scale():
    def added(numbers, code, series):
        return sigmoid(numbers[:, :3].sum(axis=1) + 0.5 * code + series[:, 0, 0]).astype(np.float32)

    def plain(numbers, code, series):
        return (np.sin(numbers[:, :3]).sum(axis=1) + 0.5 * code + series[:, 0, 0]).astype(np.float32)

    assert not interactions(job_on(plain))["interacts"].any()
    of_probability = interactions(job_on(added))
    assert of_probability["interacts"].sum() == 10  # of five features that it reads
    on_logits = interactions(job_on(added), scale="logit")
    assert not on_logits["interacts"].any()
    assert set(on_logits["scale"]) == {"logit"}
    assert on_logits["mean"].max() < 1e-4


def test_a_product_of_independent_features_has_the_share_that_theory_gives():
    """x y has no variance but that of the pair: a share of 1, and a mean of 4 / pi; 95 in 100 intervals hold them."""
    held = []
    for seed in range(in_full(300, 60)):
        job = job_on(lambda numbers, *_: numbers[:, 0] * numbers[:, 1], data_seed=seed)
        (row,) = interactions(job, [["a", "b"]]).to_dict("records")
        held.append(row["mean_low"] <= 4 / np.pi <= row["mean_high"])
        assert row["interacts"]
    assert 0.88 <= np.mean(held) <= 1
    large = interactions(job_on(lambda numbers, *_: numbers[:, 0] * numbers[:, 1], n_rows=20_000), [["a", "b"]])
    assert large["share"][0] == pytest.approx(1, abs=0.05)
    assert large["mean"][0] == pytest.approx(4 / np.pi, abs=0.03)


@pytest.mark.slow
def test_planted_products_are_found_and_sums_are_not_called_interacting():
    """Of 60 features that all count, one product of two, of the size of a middling sum, among 1,770 pairs."""
    rng, found, called, asked = np.random.default_rng(1), 0, 0, 0
    names = [f"x{place}" for place in range(60)]
    n_models = in_full(100, 20)
    for number in range(n_models):
        weights, (one, other) = rng.normal(size=60), rng.choice(60, 2, replace=False)

        def model(numbers, *_, weights=weights, one=one, other=other):
            own = np.tanh(numbers) @ weights
            return (own + 0.5 * numbers[:, one] * numbers[:, other]).astype(np.float32)

        told = interactions(job_on(model, names=["a", "b", *names[2:]], data_seed=number))
        planted = {["a", "b", *names[2:]][place] for place in (one, other)}
        is_planted = [{row.first, row.second} == planted for row in told.itertuples()]
        found += any(is_planted) and bool(told["interacts"][np.argmax(is_planted)])
        others = told[~np.array(is_planted)]
        called, asked = called + int(others["interacts"].sum()), asked + len(others)
    assert found >= 0.9 * n_models
    assert called <= 0.05 * asked


def test_all_pairs_are_ranked_on_a_few_rows_and_the_first_are_followed_on_all():
    job = job_on(mixed)
    told = interactions(job)
    assert tuple(told.columns) == INTERACTION_COLUMNS
    assert len(told) <= TOP
    assert told["mean"].is_monotonic_decreasing
    leading = [{row.first, row.second} for row in told[told["interacts"]].itertuples()]
    assert len(leading) == 2
    assert all(pair in leading for pair in ({"a", "b"}, {"c", "code"}))
    few = rank_pairs(job, [each.feature for each in job.perturbations if each.feature.kind == "number"], "prediction")
    assert len(few) == 6
    assert {each.name for each in few[0][0]} == {"a", "b"}
    assert told.set_index(["first", "second"])["ranked_by"][("a", "b")] == pytest.approx(few[0][1])


def test_ranks_are_by_the_mean_second_difference_of_the_drawn_rows_however_many_go_into_a_call(monkeypatch):
    job = job_on(mixed)
    features = [each.feature for each in job.perturbations if each.feature.kind in ("number", "category", "series")]
    ranked = rank_pairs(job, features, "prediction")
    assert len(ranked) == 21
    assert [mean for _, mean in ranked] == sorted((mean for _, mean in ranked), reverse=True)
    monkeypatch.setattr("nnperm_mlflow.analysis.engine.job._MOST_BLOCK_ROWS", RANKING_ROWS)
    alone = rank_pairs(job, features, "prediction")
    assert [(first.name, second.name) for (first, second), _ in alone] == [
        (first.name, second.name) for (first, second), _ in ranked
    ]
    assert [mean for _, mean in alone] == pytest.approx([mean for _, mean in ranked], abs=1e-12)
    of_pairs = {frozenset((first.name, second.name)): mean for (first, second), mean in ranked}
    assert of_pairs[frozenset("ab")] == pytest.approx(4 / np.pi, rel=0.35)
    assert of_pairs[frozenset("cd")] == pytest.approx(0, abs=1e-12)


def test_of_too_many_features_those_that_lead_are_paired(monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.interactions.pair_choice.MOST_FEATURES", 2)
    features = [each.feature for each in job_on(mixed).perturbations if each.feature.kind == "number"]
    assert [each.name for each in leading_features(features, ["code", "d", "b", "a", "c"])] == ["d", "b"]


def test_donors_come_from_the_same_stratum():
    strata = Strata({"code": np.random.default_rng(0).integers(0, 3, N_ROWS)})
    job = job_on(mixed)
    within = replace(job, strata=strata, _deals={}, _remembered={})
    pairs = check_interactions(InteractionsConfig(pairs=[["a", "b"]]), within)
    (block,) = within.deal.blocks()
    donors = within.donors(block, shared_job(within, pairs).perturbations[0], 0)
    assert (strata.full[donors] == strata.full).all()
    (row,) = interactions(within, [["a", "b"]]).to_dict("records")
    assert row["interacts"]
    with pytest.raises(ConfigError, match="'code' is one of the columns of 'within'"):
        interactions(within, [["a", "code"]])
    assert "code" not in {*interactions(within)["first"], *interactions(within)["second"]}


def test_rows_that_belong_together_are_less_sure():
    job = job_on(mixed)
    alone, together = (
        interactions(each, [["a", "b"]]) for each in (job, replace(job, clusters=np.arange(N_ROWS) // 6, _deals={}))
    )
    assert together["mean"][0] == alone["mean"][0]
    few = interactions(replace(job, clusters=np.arange(N_ROWS) // 50, _deals={}), [["a", "b"]])
    assert np.isnan(few["mean_low"][0])
    assert not few["interacts"][0]  # nobody knows


def test_rows_without_a_prediction_are_left_out_and_counted():
    def roots(numbers, *_):
        with np.errstate(invalid="ignore"):
            return np.sqrt(numbers[:, 0] + 2) * numbers[:, 1]

    job = job_on(roots, skips_missing=True)
    (row,) = interactions(job, [["a", "b"]]).to_dict("records")
    known = second_differences(job, check_interactions(InteractionsConfig(pairs=[["a", "b"]]), job), 100, "prediction")
    assert row["skipped"] == np.count_nonzero(np.isnan(known.values[0])) > 0
    assert row["mean"] > 0


def test_a_probability_that_was_rounded_away_has_no_logit():
    job = job_on(lambda numbers, *_: sigmoid(40 * numbers[:, 0] + numbers[:, 1]).astype(np.float32))
    (row,) = interactions(job, [["a", "b"]], scale="logit").to_dict("records")
    assert row["skipped"] > 0
    assert not row["interacts"]
    with pytest.raises(ConfigError, match="goes beyond 0 and 1"):
        interactions(job_on(mixed), [["a", "b"]], scale="logit")


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([["a", "e"]], UnknownFeatureError, "'e' is no feature that is shuffled"),
        ([["PAY", "PAY steps 1 to 2"]], ConfigError, "'PAY' and 'PAY steps 1 to 2' have values in common"),
        ([["both", "a"]], ConfigError, "'both' and 'a' have values in common"),
    ],
)
def test_pairs_that_are_none_are_refused(pairs, error, message):
    with pytest.raises(error, match=message):
        check_interactions(InteractionsConfig(pairs=pairs), job_on(mixed))


def test_what_cannot_be_told_of_a_distance_or_of_one_feature_is_refused():
    job = job_on(lambda numbers, *_: numbers[:, :2])
    with pytest.raises(ConfigError, match="the distance 'l2' follows several"):
        check_interactions(InteractionsConfig(), replace(job, measure=choose_measure("l2", 2, ())))
    with pytest.raises(ConfigError, match="needs two features"):
        check_interactions(InteractionsConfig(), replace(job, perturbations=job.perturbations[:1]))


def plain_h(function, values, first, second):
    """Friedman and Popescu (2008), equation 44, by loops: `values` of shape (n_rows, n_features)."""

    def dependence(columns):
        found = []
        for row in values:
            changed = values.copy()
            changed[:, columns] = row[columns]
            found.append(function(changed).mean())
        return np.array(found) - np.mean(found)

    both, one, other = dependence([first, second]), dependence([first]), dependence([second])
    return np.sqrt(np.sum((both - one - other) ** 2) / np.sum(both**2))


def test_h_is_that_of_a_plain_implementation():
    def model(numbers, *_):
        return (
            numbers[:, 0] * numbers[:, 1] + np.sin(numbers[:, 0]) + numbers[:, 2] ** 2 * numbers[:, 1] + numbers[:, 3]
        )

    job = job_on(model, n_rows=150)
    told = interactions(job, [["a", "b"], ["a", "c"], ["b", "c"], ["c", "d"]], h=True)
    values = job.inputs.read(np.arange(150))["num_input"]
    for row in told.itertuples():
        expected = plain_h(model, values, NAMES.index(row.first), NAMES.index(row.second))
        assert row.h == pytest.approx(expected, abs=1e-6)
    assert told.set_index(["first", "second"])["h"][("a", "b")] > 0.5
    assert np.isnan(interactions(job, [["a", "b"]])["h"][0])


def test_h_is_asked_on_at_most_200_rows_that_the_seed_draws():
    job = job_on(mixed, n_rows=1_000)
    first = interactions(job, [["a", "b"]], h=True)["h"][0]
    assert interactions(job, [["a", "b"]], h=True)["h"][0] == first
    assert interactions(replace(job, seed=5, _deals={}), [["a", "b"]], h=True)["h"][0] != first
    assert max(len(seen["num_input"]) for seen in job.predictor.seen) == 1_000
    assert sum(len(seen["num_input"]) == 200 for seen in job.predictor.seen) == 3 * (3 * 200 + 1)


def test_h_and_the_share_differ_where_what_is_done_together_goes_up_here_and_down_there():
    """a b c: for each c another slope of the product, none on average; H sees the average, D each row."""
    job = job_on(lambda numbers, *_: numbers[:, 0] * numbers[:, 1] * numbers[:, 2], n_rows=4_000)
    (row,) = interactions(job, [["a", "b"]]).to_dict("records")
    assert row["share"] > 0.8
    added = job_on(lambda n, *_: n[:, 0] * n[:, 1] * n[:, 2] + 3 * n[:, 0] + 3 * n[:, 1], n_rows=4_000)
    assert interactions(added, [["a", "b"]], h=True)["h"][0] < 0.15
