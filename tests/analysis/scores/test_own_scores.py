"""The scores of a model as it is: scikit-learn's, with intervals that hold the truth, and paired differences."""

import math
from functools import partial

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import get_scorer

from nnperm_mlflow.analysis.difference.recomputation import confirm_own_scores
from nnperm_mlflow.analysis.scores.own_score import OwnScore, score_difference
from nnperm_mlflow.analysis.scores.own_scores import own_scores
from nnperm_mlflow.analysis.scores.scorers import choose_scorers
from nnperm_mlflow.basics.errors import EvidenceError
from tests.support.simulations import in_full

N_AUDITS = in_full(3000, 80)
OF_CLASSES = ["roc_auc", "accuracy", "balanced_accuracy", "neg_log_loss", "neg_brier_score"]
OF_NUMBERS = ["r2", "neg_mean_squared_error", "neg_root_mean_squared_error", "neg_mean_absolute_error"]


def classes(rng, n_rows, intercept=0.0):
    """Return labels, and the probabilities that two models give, the second of which is better."""
    inputs = rng.normal(size=(n_rows, 2))
    labels = (rng.random(n_rows) < 1 / (1 + np.exp(-intercept - inputs @ [1.5, 0.7]))).astype(int)
    return labels, *[1 / (1 + np.exp(-intercept - inputs @ weights))[:, None] for weights in ([1.5, 0], [1.2, 0.9])]


def numbers(rng, n_rows):
    """Return labels, and what two regressions predict, the second of which is better."""
    inputs = rng.normal(size=(n_rows, 2))
    labels = inputs @ [1.0, 0.5] + rng.normal(size=n_rows)
    return labels, *[(inputs @ weights)[:, None] for weights in ([1.0, 0], [0.8, 0.3])]


@pytest.mark.parametrize("name", [*OF_CLASSES, "f1", "average_precision", *OF_NUMBERS, "neg_max_error"])
def test_the_score_is_that_of_scikit_learn_with_a_model_of_its_own(name):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, 3))
    of_numbers = name in (*OF_NUMBERS, "neg_max_error")
    labels = inputs @ [1, 2, 0] + rng.normal(size=400)
    labels = labels if of_numbers else (labels > 1).astype(int)
    model = (LinearRegression() if of_numbers else LogisticRegression()).fit(inputs[:200], labels[:200])
    predicted = model.predict(inputs)[:, None] if of_numbers else model.predict_proba(inputs)[:, 1:]
    found = own_scores(choose_scorers([name], labels, 1, not of_numbers), predicted)[name]
    assert found.value == pytest.approx(get_scorer(name)(model, inputs, labels), rel=1e-12, abs=1e-12)
    assert found.rows == 400


@pytest.mark.parametrize("name", [*OF_CLASSES, *OF_NUMBERS])
def test_what_rows_add_to_the_error_is_how_a_score_changes_with_their_weights(name):
    """The derivative by the weight of each row, found with scikit-learn's own weights."""
    labels, predicted, _ = (classes if name in OF_CLASSES else numbers)(np.random.default_rng(1), 60)
    scores = choose_scorers([name], labels, 1, name in OF_CLASSES)
    found = scores.influence(name, predicted, np.arange(60)).values
    if name == "roc_auc":  # each class is taken as a sample of its own, without bias
        sizes = np.bincount(labels)[labels]
        found = found / np.sqrt(sizes / (sizes - 1))
    scorer, stand_in = get_scorer(name), scores._stand_ins[name]
    step = 1e-5

    def score(row, by):
        weights = np.ones(60)
        weights[row] += by
        return scorer(stand_in, predicted, labels, sample_weight=weights)

    for row in range(0, 60, 7):
        slope = (score(row, step) - score(row, -step)) / (2 * step)
        assert found[row] / 60 == pytest.approx(slope, abs=1e-6)


def test_the_area_under_the_curve_varies_as_pairs_of_rows_say():
    """DeLong's variance, counted pair by pair; where a positive row equals a negative one, half of it is right."""
    rng = np.random.default_rng(2)
    labels = (rng.random(90) < 0.3).astype(int)
    predicted = np.round(rng.random(90) + 0.4 * labels, 1)[:, None]
    positive, negative = predicted[labels == 1, 0], predicted[labels == 0, 0]
    right = np.array([[(p > n) + 0.5 * (p == n) for n in negative] for p in positive])
    expected = right.mean(axis=1).var(ddof=1) / len(positive) + right.mean(axis=0).var(ddof=1) / len(negative)
    found = choose_scorers(["roc_auc"], labels, 1, False).influence("roc_auc", predicted, np.arange(90)).values
    assert np.sum((found / 90) ** 2) == pytest.approx(expected, rel=1e-12)


def test_clusters_of_one_row_are_rows_and_copies_of_rows_tell_no_more_than_one_of_each():
    labels, predicted, _ = classes(np.random.default_rng(3), 300)
    scores = choose_scorers(["neg_log_loss", "f1"], labels, 1, True)
    alone, each = own_scores(scores, predicted), own_scores(scores, predicted, np.arange(300) + 7)
    assert alone == each
    names = OF_CLASSES
    single = own_scores(choose_scorers(names, labels, 1, True), predicted)
    many = choose_scorers(names, np.repeat(labels, 12), 1, True)
    copies = own_scores(many, np.repeat(predicted, 12, axis=0), np.arange(300).repeat(12))
    for name in names:
        assert copies[name].value == pytest.approx(single[name].value)
        width = copies[name].high - copies[name].low
        assert width == pytest.approx(single[name].high - single[name].low, rel=0.03)


def test_a_perfect_model_of_few_rows_is_not_taken_to_be_perfect():
    labels = np.repeat([0, 1], [475, 25])
    predicted = np.linspace(0.01, 0.99, 500)[:, None]
    found = own_scores(choose_scorers(["roc_auc", "balanced_accuracy"], labels, 1, True), predicted)
    assert found["roc_auc"].value == 1
    assert found["roc_auc"].low < 0.95
    right = np.where(labels == 1, 0.9, 0.1)[:, None]
    found = own_scores(choose_scorers(["accuracy", "balanced_accuracy"], labels, 1, True), right)
    assert (found["accuracy"].value, found["accuracy"].high) == (1, 1)
    assert found["accuracy"].low == pytest.approx(1 - 3.84 / 504, abs=0.001)  # Wilson's
    assert found["balanced_accuracy"].low < 0.95


@pytest.mark.parametrize(("name", "n_rows"), [("neg_max_error", 400), ("r2", 29)])
def test_a_score_that_nobody_can_be_sure_of_has_no_interval_and_it_is_said(name, n_rows, caplog):
    labels, predicted, _ = numbers(np.random.default_rng(4), n_rows)
    found = own_scores(choose_scorers([name], labels, 1, False), predicted)[name]
    assert math.isfinite(found.value)
    assert math.isnan(found.low)
    assert not found.parts
    assert f"'{name}' of the model itself has no interval" in caplog.text


def test_a_share_of_hits_that_hardly_occur_has_no_interval():
    labels = np.repeat([0, 1], [475, 25])
    predicted = np.full((500, 1), 0.1)
    predicted[480] = 0.9
    assert math.isnan(own_scores(choose_scorers(["f1"], labels, 1, True), predicted)["f1"].low)


def test_rows_without_a_prediction_are_left_out():
    labels, predicted, _ = classes(np.random.default_rng(5), 400)
    lacking = predicted.copy()
    lacking[::4] = np.nan
    there = np.arange(400) % 4 > 0
    found = own_scores(choose_scorers(["roc_auc"], labels, 1, True), lacking)["roc_auc"]
    alone = own_scores(choose_scorers(["roc_auc"], labels[there], 1, True), predicted[there])["roc_auc"]
    assert (found.value, found.low, found.high, found.rows) == (alone.value, alone.low, alone.high, 300)


def both(drawn, names, are_classes):
    """Return what the two models of a drawn sample score."""
    labels, *predicted = drawn
    scores = choose_scorers(names, labels, 1, are_classes)
    return [[scores.of(each)[name] for name in names] for each in predicted]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "names", "n_rows"),
    [
        (classes, OF_CLASSES, 500),
        (partial(classes, intercept=-4.1), ["roc_auc", "accuracy", "neg_log_loss", "neg_brier_score"], 500),
        (partial(classes, intercept=-4.1), ["roc_auc", "neg_log_loss"], 5000),
        (numbers, OF_NUMBERS, 500),
    ],
    ids=["half are positive", "5 % are positive", "5 % of many are positive", "numbers"],
)
def test_intervals_hold_the_score_of_a_population_and_the_difference_of_two(draw, names, n_rows):
    """In 93 % of audits at least: fails where the exact 99.9 % bound of the rate lies below."""
    are_classes = names is not OF_NUMBERS
    truth = np.mean(
        [both(draw(np.random.default_rng(90 + k), 100_000), names, are_classes) for k in range(in_full(6, 2))], axis=0
    )
    held = np.zeros((2, len(names)), dtype=int)
    for number in range(N_AUDITS):
        labels, first, second = draw(np.random.default_rng(1000 + number), n_rows)
        scores = choose_scorers(names, labels, 1, are_classes)
        own, other = own_scores(scores, first), own_scores(scores, second)
        for place, name in enumerate(names):
            held[0, place] += own[name].low <= truth[0, place] <= own[name].high
            _, low, high = score_difference(own[name], other[name])
            held[1, place] += low <= truth[1, place] - truth[0, place] <= high
    for count in held.ravel():
        assert binomtest(int(count), N_AUDITS).proportion_ci(0.998).high >= 0.93


def test_clusters_that_have_most_in_common_are_the_sample():
    """100 of 12 rows; taken as independent rows, the interval holds the area in three of four audits."""

    def draw(rng, n_clusters):
        shared = rng.normal(size=(2, n_clusters)).repeat(12, axis=1)
        inputs = 0.8**0.5 * shared[0] + 0.2**0.5 * rng.normal(size=shared.shape[1])
        labels = (inputs + shared[1] + rng.logistic(size=len(inputs)) > 0).astype(int)
        return labels, 1 / (1 + np.exp(-inputs))[:, None], np.arange(n_clusters).repeat(12)

    labels, predicted, _ = draw(np.random.default_rng(99), 50_000)
    truth = choose_scorers(["roc_auc"], labels, 1, True).of(predicted)["roc_auc"]
    held = 0
    for number in range(N_AUDITS):
        labels, predicted, clusters = draw(np.random.default_rng(number), 100)
        own = own_scores(choose_scorers(["roc_auc"], labels, 1, True), predicted, clusters)["roc_auc"]
        held += own.low <= truth <= own.high
    assert binomtest(held, N_AUDITS).proportion_ci(0.998).high >= 0.93


def test_the_same_predictions_differ_by_nothing_and_one_more_row_than_was_seen_may():
    labels, predicted, _ = classes(np.random.default_rng(6), 500)
    found = own_scores(choose_scorers(["roc_auc", "accuracy"], labels, 1, True), predicted)
    assert score_difference(found["roc_auc"], found["roc_auc"]) == (0, 0, 0)
    value, low, high = score_difference(found["accuracy"], found["accuracy"])
    assert (value, -low) == (0, high)
    assert high == pytest.approx(2.06 / 500, rel=0.01)  # t of 25 groups of 20 rows


def test_a_difference_on_the_same_rows_is_surer_than_two_scores_apart():
    labels, first, second = classes(np.random.default_rng(7), 2000)
    scores = choose_scorers(["roc_auc"], labels, 1, True)
    a, b = own_scores(scores, first)["roc_auc"], own_scores(scores, second)["roc_auc"]
    value, low, high = score_difference(a, b)
    assert value == b.value - a.value
    assert high - low < 0.8 * math.hypot(a.high - a.low, b.high - b.low)


def test_scores_without_groups_or_of_other_groups_have_no_interval_of_their_difference():
    alone, grouped = OwnScore(0.5), OwnScore(0.6, 0.5, 0.7, 400, (0.1, -0.1))
    for pair in ((alone, grouped), (grouped, alone), (grouped, OwnScore(0.6, 0.5, 0.7, 400, (0.1, -0.05, -0.05)))):
        assert math.isnan(score_difference(*pair)[1])


def test_what_is_kept_of_a_score_is_of_groups_of_rows_and_of_no_row():
    """At least 20 rows a group: with the predictions, what each row adds would tell its label."""
    for n_rows, n_groups in ((400, 20), (1000, 50), (5000, 100)):
        labels, predicted, _ = classes(np.random.default_rng(8), n_rows)
        found = own_scores(choose_scorers(["accuracy"], labels, 1, True), predicted)["accuracy"]
        assert len(found.parts) == n_groups
        assert sum(found.parts) == pytest.approx(0, abs=1e-12)


def test_scores_that_another_audit_does_not_confirm_are_refused():
    told = {"roc_auc": OwnScore(0.8, 0.7, 0.9, 400, (0.1, -0.1))}
    confirm_own_scores(told, {"roc_auc": OwnScore(0.8 + 1e-9, 0.7, 0.9, 400, (0.1, -0.1))})
    confirm_own_scores({}, told)
    for again in (
        {},
        {"roc_auc": OwnScore(0.81, 0.7, 0.9, 400, (0.1, -0.1))},
        {"roc_auc": OwnScore(0.8, 0.75, 0.9, 400, (0.1, -0.1))},
        {"roc_auc": OwnScore(0.8, 0.7, 0.9, 400, (0.2, -0.2))},
        {"roc_auc": OwnScore(0.8, 0.7, 0.9, 300, (0.1, -0.1))},
        {"roc_auc": OwnScore(0.8, 0.7, 0.9, 400, (0.1, -0.1), no_better=True)},
    ):
        with pytest.raises(EvidenceError, match="the model's own 'roc_auc' come out otherwise"):
            confirm_own_scores(told, again)
    with pytest.raises(EvidenceError, match="the model's own 'accuracy' come out otherwise"):
        confirm_own_scores(told, {**told, "accuracy": OwnScore(0.9)})


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("roc_auc", lambda labels: np.full(len(labels), 0.5)),
        ("accuracy", lambda labels: np.zeros(len(labels))),
        ("balanced_accuracy", lambda labels: np.zeros(len(labels))),
        ("neg_log_loss", lambda labels: np.full(len(labels), labels.mean())),
        ("neg_brier_score", lambda labels: np.full(len(labels), labels.mean())),
    ],
)
def test_a_guess_scores_what_the_best_prediction_that_is_the_same_for_all_rows_does(name, guess):
    labels, predicted, _ = classes(np.random.default_rng(9), 400, -1.5)
    scores = choose_scorers([name], labels, 1, True)
    same = guess(labels)[:, None]
    found = own_scores(scores, predicted)[name]
    assert found.guess == pytest.approx(scores.of(same)[name])
    assert not found.no_better
    assert own_scores(scores, same)[name].no_better
    assert own_scores(scores, 1 - predicted)[name].no_better


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_a_guess_of_numbers_is_their_mean_or_median(name):
    labels, predicted, _ = numbers(np.random.default_rng(10), 400)
    scores = choose_scorers([name], labels, 1, False)
    same = np.full((400, 1), np.median(labels) if "absolute" in name else labels.mean())
    found = own_scores(scores, predicted)[name]
    assert found.guess == pytest.approx(scores.of(same)[name])
    assert not found.no_better
    assert own_scores(scores, same)[name].no_better
    assert own_scores(scores, predicted[::-1])[name].no_better


def test_a_model_that_may_be_no_better_than_chance_is_told_so():
    labels = np.random.default_rng(11).integers(0, 2, 200)
    predicted = np.random.default_rng(12).random((200, 1))
    assert own_scores(choose_scorers(["roc_auc"], labels, 1, True), predicted)["roc_auc"].no_better
