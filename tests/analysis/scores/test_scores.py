"""Drops in score are those of scikit-learn, and their errors hold what they promise."""

import logging

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    get_scorer,
    log_loss,
    mean_squared_error,
    r2_score,
)

from nnperm_mlflow.analysis.scores import score_drops as module
from nnperm_mlflow.analysis.scores.p_values import adjust, in_reach
from nnperm_mlflow.analysis.scores.score_drops import Drop, p_value, score_drops
from nnperm_mlflow.analysis.scores.scorers import Scores, choose_scorers
from nnperm_mlflow.basics.errors import ConfigError, DataError
from tests.support.simulations import in_full

SQUARED = "neg_mean_squared_error"


def classifier(names):
    """Return a fitted classifier of labels with these names, its data and labels."""
    inputs, codes = make_classification(
        400, n_features=5, n_informative=4, n_redundant=0, n_classes=len(names), flip_y=0.2, random_state=0
    )
    labels = np.array(names)[codes]
    return LogisticRegression().fit(inputs, labels), inputs, labels


def regression(n_rows=300, seed=0):
    """Return data of mean 0 and variance 1, and labels that depend on three of four columns."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n_rows, 4))
    inputs = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    return inputs, inputs @ [2.0, -1.0, 0.3, 0.0] + rng.normal(size=n_rows)


def shuffles(n_rows, repeats, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.permutation(n_rows) for _ in range(repeats)]


def shuffled(predict, inputs, column, donors):
    """Yield predictions (n_rows, n_outputs) with one column shuffled."""
    for positions in donors:
        disturbed = inputs.copy()
        disturbed[:, column] = inputs[positions, column]
        yield as_columns(predict(disturbed))


def as_columns(predictions):
    return np.asarray(predictions).reshape(len(predictions), -1)


def squared_error(predictions, labels):
    return -np.mean((predictions[:, 0] - labels) ** 2)


@pytest.mark.parametrize(
    "name",
    ["accuracy", "balanced_accuracy", "neg_log_loss", "roc_auc", "matthews_corrcoef", "f1_macro"],
)
@pytest.mark.parametrize("names", [("no", "yes"), (1, 2), (0, 1), (-1.0, 1.0), (False, True)])
def test_one_probability_scores_as_the_classifier_does(name, names):
    model, inputs, labels = classifier(names)
    scores = choose_scorers([name], labels, 1, True)
    assert scores.of(model.predict_proba(inputs)[:, [1]])[name] == pytest.approx(
        get_scorer(name)(model, inputs, labels)
    )


@pytest.mark.parametrize("names", [("no", "yes"), (1, 2), (0, 1)])
def test_the_second_label_is_the_positive_one(names):
    """scikit-learn's own scorers would take 1 for it, and refuse words."""
    model, inputs, labels = classifier(names)
    found = choose_scorers(["f1", "average_precision", "neg_brier_score"], labels, 1, True).of(
        model.predict_proba(inputs)[:, [1]]
    )
    positive, risk = labels == names[1], model.predict_proba(inputs)[:, 1]
    assert found["f1"] == f1_score(positive, risk > 0.5)
    assert found["average_precision"] == pytest.approx(average_precision_score(positive, risk))
    assert found["neg_brier_score"] == pytest.approx(-np.mean((risk - positive) ** 2))


@pytest.mark.parametrize("name", ["accuracy", "neg_log_loss", "roc_auc_ovr", "roc_auc_ovo_weighted", "recall_macro"])
@pytest.mark.parametrize("names", [("a", "b", "c"), (0, 1, 2), (1, 5, 7)])
def test_several_probabilities_score_as_the_classifier_does(name, names):
    model, inputs, labels = classifier(names)
    found = choose_scorers([name], labels, 3, True).of(model.predict_proba(inputs))[name]
    assert found == pytest.approx(get_scorer(name)(model, inputs, labels))


@pytest.mark.parametrize("names", [("a", "b", "c"), (10, 20, 30), (10.0, 20.0, 30.0)])
def test_outputs_belong_to_the_labels_of_their_names(names):
    """Labels in ascending order would give the first output to another class."""
    model, inputs, labels = classifier(names)
    order = [2, 0, 1]
    named = [str(names[position]).removesuffix(".0") for position in order]
    scores = choose_scorers(["neg_log_loss", "accuracy"], labels, 3, True, named)
    found = scores.of(model.predict_proba(inputs)[:, order])
    assert found["neg_log_loss"] == pytest.approx(-log_loss(labels, model.predict_proba(inputs)))
    assert found["accuracy"] == model.score(inputs, labels)


@pytest.mark.parametrize("kind", [int, float])
def test_integer_labels_are_positions_of_outputs_where_one_never_occurs(kind):
    """As many labels as outputs would not be needed; counted off, label 2 would be output 1."""
    labels = np.array([0, 0, 2, 2], dtype=kind)
    predictions = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.1, 0.1, 0.8]])
    assert choose_scorers(["accuracy"], labels, 3, True).of(predictions) == {"accuracy": 0.75}


def test_outputs_that_are_no_probabilities_rank_rows_and_classes():
    model, inputs, labels = classifier(("no", "yes"))
    areas = choose_scorers(["roc_auc"], labels, 1, False).of(as_columns(model.decision_function(inputs)))
    assert areas["roc_auc"] == get_scorer("roc_auc")(model, inputs, labels)
    both = np.log(model.predict_proba(inputs))
    assert choose_scorers(["roc_auc"], labels, 2, False).of(both)["roc_auc"] == pytest.approx(areas["roc_auc"])
    model, inputs, labels = classifier(("a", "b", "c"))
    scores = choose_scorers(["accuracy", "top_k_accuracy"], labels, 3, False)
    found = scores.of(model.decision_function(inputs))
    assert found["accuracy"] == model.score(inputs, labels)
    assert found["top_k_accuracy"] == get_scorer("top_k_accuracy")(model, inputs, labels)


def test_probabilities_of_a_row_are_divided_by_their_sum():
    """Single precision leaves a rest, and sigmoids that compete do not add up to 1 at all."""
    model, inputs, labels = classifier(("a", "b", "c"))
    exact = model.predict_proba(inputs)
    scores = choose_scorers(["neg_log_loss", "roc_auc_ovr"], labels, 3, True)
    assert scores.of(exact.astype(np.float32)) == pytest.approx(scores.of(exact), rel=1e-6)
    assert scores.of(exact * np.linspace(0.5, 2, len(exact))[:, None]) == pytest.approx(scores.of(exact))


def test_predictions_of_single_precision_are_scored_in_double_precision():
    """A sure mistake costs 36 in double precision, and 16 in single precision."""
    scores = choose_scorers(["neg_log_loss"], np.array([0, 1]), 1, True)
    found = scores.of(np.array([[1.0], [1.0]], dtype=np.float32))["neg_log_loss"]
    assert found == pytest.approx(np.log(np.finfo(np.float64).eps) / 2)


def test_labels_may_stand_in_a_column():
    scores = choose_scorers(["accuracy", "r2"], np.array([[0], [1], [1]]), 1, True)
    assert scores.of(np.array([[0.0], [1.0], [1.0]])) == {"accuracy": 1, "r2": 1}


def test_a_probability_of_a_half_speaks_for_the_first_label():
    scores = choose_scorers(["accuracy"], np.array(["no", "no", "yes", "yes"]), 1, True)
    assert scores.of(np.array([[0.5], [0.4], [0.5], [np.nextafter(0.5, 1)]])) == {"accuracy": 0.75}


def test_a_scorer_of_regressions_takes_the_outputs_as_they_are():
    inputs, labels = regression()
    predictions = as_columns(inputs[:, 0]).astype(np.float32)
    found = choose_scorers(["r2", SQUARED], labels, 1, False).of(predictions)
    assert found["r2"] == pytest.approx(r2_score(labels, predictions))
    several = np.stack([labels, labels**2], axis=1)
    found = choose_scorers([SQUARED], several, 2, False).of(inputs[:, :2])
    assert found[SQUARED] == pytest.approx(-mean_squared_error(several, inputs[:, :2]))
    risk, happened = np.array([[0.2], [0.4], [0.9]]), np.array([0, 1, 1])
    assert choose_scorers([SQUARED], happened, 1, True).of(risk)[SQUARED] == pytest.approx(-(0.04 + 0.36 + 0.01) / 3)


def test_the_drop_of_a_linear_regression_is_twice_its_squared_coefficient():
    inputs, labels = regression()
    model, donors = LinearRegression().fit(inputs, labels), shuffles(300, 50)
    scores = choose_scorers([SQUARED], labels, 1, False)
    baseline = as_columns(model.predict(inputs))
    for column in range(3):
        drop = score_drops(scores, baseline, shuffled(model.predict, inputs, column, donors), donors)[SQUARED]
        assert drop.mean == pytest.approx(2 * model.coef_[column] ** 2, rel=0.1)


@pytest.mark.parametrize("model", [LinearRegression(), RandomForestRegressor(20, random_state=0)])
def test_drops_agree_with_permutation_importance_of_scikit_learn(model):
    """Either has its own shuffles, and is known up to two standard errors of its repeats."""
    inputs, labels = regression()
    model.fit(inputs, labels)
    theirs = permutation_importance(model, inputs, labels, scoring="r2", n_repeats=50, random_state=1)
    scores, baseline = choose_scorers(["r2"], labels, 1, False), as_columns(model.predict(inputs))
    for column in range(4):
        donors = shuffles(300, 50, seed=column)
        each = [*shuffled(model.predict, inputs, column, donors)]
        ours = score_drops(scores, baseline, each, donors)["r2"]
        spread = np.std([r2_score(labels, predictions) for predictions in each])
        allowed = 2 * (spread + theirs.importances_std[column]) / np.sqrt(50)
        assert ours.mean == pytest.approx(theirs.importances_mean[column], rel=0, abs=allowed)
        assert ours.baseline == pytest.approx(model.score(inputs, labels))


def test_drops_of_a_classifier_of_words_are_those_of_its_metrics():
    model, inputs, labels = classifier(("a", "b", "c"))
    donors = shuffles(400, 3)
    each = [*shuffled(model.predict_proba, inputs, 0, donors)]
    scores = choose_scorers(["accuracy", "neg_log_loss"], labels, 3, True)
    found = score_drops(scores, model.predict_proba(inputs), each, donors)
    accuracies = [accuracy_score(labels, model.classes_[predicted.argmax(axis=1)]) for predicted in each]
    losses = [log_loss(labels, predicted) for predicted in each]
    assert found["accuracy"].mean == pytest.approx(model.score(inputs, labels) - np.mean(accuracies))
    assert found["neg_log_loss"].mean == pytest.approx(np.mean(losses) - log_loss(labels, model.predict_proba(inputs)))


def test_several_scorers_at_once_give_each_what_it_gives_alone():
    model, inputs, labels = classifier(("no", "yes"))
    names, donors = ["roc_auc", SQUARED, "accuracy"], shuffles(400, 2)
    labels = (labels == "yes").astype(int)
    baseline, each = model.predict_proba(inputs)[:, [1]], [*shuffled(model.predict_proba, inputs, 1, donors)]
    each = [predicted[:, [1]] for predicted in each]
    together = score_drops(choose_scorers(names, labels, 1, True), baseline, each, donors)
    assert list(together) == names
    for name in names:
        assert score_drops(choose_scorers([name], labels, 1, True), baseline, each, donors)[name] == together[name]


def test_a_drop_may_be_negative_and_counts_repeats_that_are_no_worse():
    """Squared errors of 1 before; of 4, 1, 1 and 0 after: drops of 3, 0, 0 and -1."""
    labels = np.zeros(40)
    each = [np.full((40, 1), value) for value in (2.0, -1.0, 1.0, 0.0)]
    drop = score_drops(choose_scorers([SQUARED], labels, 1, False), np.ones((40, 1)), each)[SQUARED]
    assert (drop.baseline, drop.mean, drop.worse, drop.repeats) == (-1, 0.5, 3, 4)
    better = score_drops(choose_scorers([SQUARED], labels, 1, False), np.ones((40, 1)), each[3:])[SQUARED]
    assert (better.mean, better.worse) == (-1, 1)


def test_a_feature_without_effect_drops_exactly_nothing_and_certainly():
    inputs, labels = regression()
    baseline = as_columns(inputs[:, 0])
    drop = score_drops(choose_scorers(["r2"], labels, 1, False), baseline, [baseline] * 3, shuffles(300, 3))["r2"]
    assert (drop.mean, drop.error, drop.worse) == (0, 0, 3)


def test_rows_without_a_prediction_are_left_out_on_both_sides():
    """Row 0 is missing in the baseline, rows 1 and 2 in a repeat each; a baseline of all its rows would show a drop."""
    inputs, labels = regression(60)
    labels[:3] += 100
    baseline = as_columns(inputs[:, 0])
    baseline[0] = np.nan
    first, second = baseline + 1, baseline + 2
    first[1], second[2] = np.nan, np.inf
    scores = choose_scorers([SQUARED], labels, 1, False)
    drop = score_drops(scores, baseline, [first, second], shuffles(60, 2))[SQUARED]

    def expected(rows, added):
        difference = labels[rows] - inputs[rows, 0]
        return np.mean((difference - added) ** 2) - np.mean(difference**2)

    everywhere = np.arange(3, 60)
    assert drop.mean == pytest.approx((expected([2, *everywhere], 1) + expected([1, *everywhere], 2)) / 2)
    assert drop.baseline == pytest.approx(-np.mean((labels[1:] - inputs[1:, 0]) ** 2))
    assert np.isfinite(drop.error)


def test_arrays_of_the_caller_stay_as_they_are():
    model, inputs, labels = classifier(("no", "yes"))
    donors, baseline = shuffles(400, 2), model.predict_proba(inputs)
    each = [*shuffled(model.predict_proba, inputs, 0, donors)]
    arrays = [labels, baseline, *each, *donors]
    for array in arrays:
        array.flags.writeable = False
    copies = [array.copy() for array in arrays]
    score_drops(choose_scorers(["accuracy", "roc_auc"], labels, 2, True), baseline, each, donors)
    assert all((array == copy).all() for array, copy in zip(arrays, copies, strict=True))


def audit(kind, n_rows, repeats, rng):
    """Return the drop of the first of two features for rows drawn anew, and the true one if it is known."""
    coefficient = 0.1 if kind == "weak" else 1.0
    inputs = rng.normal(size=(n_rows, 2))
    predicted = inputs @ [coefficient, 1.0]
    if kind == "ranked":
        name, labels = "roc_auc", rng.random(n_rows) < 1 / (1 + np.exp(-predicted))
    else:
        name, labels = SQUARED, predicted + rng.normal(size=n_rows) * (kind == "weak")
    scores = choose_scorers([name], labels, 1, False)
    donors = [rng.permutation(n_rows) for _ in range(repeats)]
    each = shuffled(lambda given: given @ [coefficient, 1.0], inputs, 0, donors)
    return score_drops(scores, as_columns(predicted), each, donors)[name]


@pytest.mark.parametrize("repeats", [1, 5])
@pytest.mark.parametrize(
    ("kind", "n_audits"), [("strong", in_full(400, 200)), ("weak", in_full(400, 200)), ("ranked", in_full(250, 150))]
)
def test_intervals_of_two_errors_hold_the_drop_of_a_population(kind, n_audits, repeats):
    """Groups of rows that ignore the donors hold that of the strong feature in 75 of 100 audits only."""
    rng = np.random.default_rng(2)
    truth = {"strong": 2.0, "weak": 0.02}.get(kind) or audit(kind, 1_000_000, 1, np.random.default_rng(1)).mean
    drops = [audit(kind, 300, repeats, rng) for _ in range(n_audits)]
    held = np.mean([abs(drop.mean - truth) <= 1.96 * drop.error for drop in drops])
    assert 0.89 <= held <= 0.98
    variance = np.mean([drop.error**2 for drop in drops])
    assert variance == pytest.approx(np.var([drop.mean for drop in drops]), rel=0.3)


@pytest.mark.parametrize(
    ("names", "rel"),
    [(["accuracy", "neg_log_loss", "neg_brier_score"], 1e-9), (["roc_auc", "balanced_accuracy"], 0.02)],
    ids=["means of losses", "others"],
)
@pytest.mark.parametrize("repeats", [1, 3])
def test_errors_by_what_each_row_adds_are_those_of_scoring_without_groups(names, rel, repeats, monkeypatch):
    """Rows are left over by 20 groups, and some have no prediction."""
    model, inputs, labels = classifier(("no", "yes"))
    inputs, labels, donors = inputs[:391], labels[:391], shuffles(391, repeats)
    baseline, each = model.predict_proba(inputs), [*shuffled(model.predict_proba, inputs, 0, donors)]
    baseline[7] = np.nan
    scores = choose_scorers(names, labels, 2, True)
    by_rows = score_drops(scores, baseline, each, donors)
    monkeypatch.setattr(Scores, "influence", lambda *_: None)
    by_groups = score_drops(scores, baseline, each, donors)
    for name in names:
        assert by_rows[name].mean == by_groups[name].mean
        assert by_rows[name].error == pytest.approx(by_groups[name].error, rel=rel)


@pytest.mark.parametrize(("name", "rel"), [(SQUARED, 1e-9), ("r2", 0.02), ("neg_root_mean_squared_error", 0.02)])
def test_errors_of_regressions_by_what_each_row_adds_are_those_of_scoring_without_groups(name, rel, monkeypatch):
    inputs, labels = regression(391)
    baseline, donors = as_columns(inputs[:, 0]), shuffles(391, 2)
    each = [*shuffled(lambda given: given[:, 0], inputs, 0, donors)]
    scores = choose_scorers([name], labels, 1, False)
    by_rows = score_drops(scores, baseline, each, donors)[name]
    monkeypatch.setattr(Scores, "influence", lambda *_: None)
    by_groups = score_drops(scores, baseline, each, donors)[name]
    assert by_rows.error == pytest.approx(by_groups.error, rel=rel)


def test_the_error_of_20_independent_rows_is_that_of_a_mean():
    rng = np.random.default_rng(0)
    labels, after = rng.normal(size=20), rng.normal(size=(20, 1))
    drop = score_drops(choose_scorers([SQUARED], labels, 1, False), np.zeros((20, 1)), [after])[SQUARED]
    of_rows = (after[:, 0] - labels) ** 2 - labels**2
    assert drop.mean == pytest.approx(of_rows.mean())
    assert drop.error == pytest.approx(of_rows.std(ddof=1) / np.sqrt(20))


def test_where_shuffles_change_nothing_repeats_take_nothing_off_the_error():
    """The mean of a shuffled column is the same in each repeat, and as uncertain as that of its rows."""
    column, variances = np.random.default_rng(0).normal(size=(1000, 1)), []
    scores = Scores({"it": (lambda given, _: -given.mean(), column)})
    for seed in range(10):
        donors = shuffles(1000, 5, seed)
        each = [column[positions] for positions in donors]
        variances.append(score_drops(scores, column * 0, each, donors)["it"].error ** 2)
    assert np.mean(variances) == pytest.approx(column.var() / 1000, rel=0.2)


@pytest.mark.parametrize("donors", [None, [np.arange(2000) ^ 1]], ids=["set", "exchanged with a neighbour"])
def test_sorted_rows_do_no_harm(donors):
    """Groups of neighbours would be unlike each other, and the error 4 times as large or more."""
    after = np.sort(np.random.default_rng(0).random((2000, 1)), axis=0)
    drop = score_drops(Scores({"it": (lambda given, _: -given.mean(), after)}), after * 0, [after], donors)["it"]
    factor = 1 if donors is None else np.sqrt(2)  # neighbours are alike: two rows are worth one
    assert drop.error == pytest.approx(factor * after.std() / np.sqrt(2000), rel=0.4)


def test_an_error_found_on_some_of_the_rows_is_that_of_all(monkeypatch):
    monkeypatch.setattr(module, "_ROWS", 400)
    after = np.random.default_rng(0).normal(size=(40_000, 1))
    scores = Scores({"it": (lambda given, _: -given.mean(), after)})
    drop = score_drops(scores, after * 0, [after], shuffles(40_000, 1))["it"]
    assert drop.error == pytest.approx(1 / 200, rel=0.5)


def test_where_a_class_may_go_missing_there_is_no_error_and_one_line_tells_so(caplog):
    labels = np.arange(100) == 17
    baseline, after = np.linspace(0, 1, 200).reshape(2, 100, 1)
    scores = choose_scorers(["roc_auc", "accuracy"], labels, 1, True)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = score_drops(scores, baseline, [after], shuffles(100, 1))
    assert np.isnan(found["roc_auc"].error)
    assert found["roc_auc"].mean == 0
    assert found["accuracy"].error > 0
    assert [record.getMessage() for record in caplog.records] == [
        "'roc_auc' has no standard error where it cannot be computed without some of the rows"
    ]


@pytest.mark.parametrize(
    ("worse", "repeats", "p"), [(0, 19, 0.05), (1, 19, 0.1), (19, 19, 1), (0, 1, 0.5), (4, 99, 0.05)]
)
def test_a_p_value_counts_the_data_themselves_among_the_shuffles(worse, repeats, p):
    assert p_value(Drop(0.9, 0.1, 0.01, worse, repeats)) == pytest.approx(p)


def test_p_values_of_features_without_a_part_in_the_labels_are_no_smaller_than_chance():
    """A t-test over the same 19 repeats finds something in a third of them."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(250):
        inputs = rng.normal(size=(30, 2))
        scores = Scores({"it": (squared_error, inputs[:, 1] + rng.normal(size=30))})
        donors = [rng.permutation(30) for _ in range(19)]
        each = shuffled(lambda given: given @ [0.5, 1.0], inputs, 0, donors)
        found.append(p_value(score_drops(scores, as_columns(inputs @ [0.5, 1.0]), each)["it"]))
    assert np.mean(np.array(found) <= 0.101) == pytest.approx(0.1, abs=0.045)


def test_adjusted_p_values_are_those_of_benjamini_and_hochberg():
    """0.005 * 4 / 1 and 0.01 * 4 / 2 are both 0.02; 0.035 * 4 / 3 exceeds 0.04 * 4 / 4, which counts for it too."""
    assert adjust([0.01, 0.04, 0.035, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])


@pytest.mark.parametrize(
    ("p_values", "repeats", "reached"),
    [
        ([0.5] * 20, 1, [False] * 20),
        ([1 / 399] + [0.5] * 19, 398, [False] + [True] * 19),  # 20 / 399 is more than 0.05
        ([1 / 400] + [0.5] * 19, 399, [True] * 20),
        ([0.05] * 3, 19, [True] * 3),  # three that are as sure as they can be help each other
        ([0.05, 0.05, 0.9], 19, [False, False, True]),
    ],
)
def test_an_adjusted_p_value_that_so_few_repeats_cannot_bring_to_5_percent_is_told(p_values, repeats, reached):
    """By what Benjamini and Hochberg's adjustment gives for the smallest p-value there can be in a feature's place."""
    assert in_reach(p_values, repeats).tolist() == reached
    for own, can in enumerate(reached):
        best = [1 / (1 + repeats) if number == own else p for number, p in enumerate(p_values)]
        ranks = sorted(best)
        assert can == (min(len(best) * p / (place + 1) for place, p in enumerate(ranks)) <= 0.05 + 1e-12)


@pytest.mark.parametrize(
    ("name", "labels", "n_outputs", "are_probabilities", "words"),
    [
        ("roc_acu", [0, 1], 1, True, "'roc_acu' is not a scorer of scikit-learn. Did you mean 'roc_auc'?"),
        ("importance of all", [0, 1], 1, True, "is not a scorer of scikit-learn. There are 'accuracy', 'adj"),
        ("neg_log_loss", [0, 1], 1, False, "'neg_log_loss' cannot score this model: it needs probabilities of classes"),
        ("accuracy", [0, 1], 1, False, "'accuracy' cannot score this model: it needs classes, which follow from a"),
        ("roc_auc", [1, 1], 1, True, "'roc_auc' tells classes apart, and all rows have the same label"),
        ("accuracy", ["a", "b", "c"], 1, True, "stand for 2 classes, but there are 3 different labels"),
        ("accuracy", ["a", "b"], 3, True, "stand for 3 classes, but there are 2 different labels"),
        ("accuracy", [0, 1, 3], 2, True, "stand for 2 classes, but there are 3 different labels"),
        ("neg_log_loss", [0, 1], 3, True, "'neg_log_loss' cannot score this model"),
        ("roc_auc", [0, 1, 2], 3, True, "'roc_auc' cannot score this model: multi_class must be in"),
        ("f1_samples", [0, 1], 1, True, "'f1_samples' cannot score this model"),
        ("adjusted_rand_score", [0.5, 1.5, 2.5], 1, False, "but there are 3 different labels. For a regression choose"),
        ("r2", ["low", "high"], 1, True, "'r2' compares numbers, which the labels are not"),
        (SQUARED, [0.0, 1.0], 3, False, "the model has 3 outputs and each row 1 label"),
        ("accuracy", [[0, 1], [1, 0]], 2, True, "'accuracy' takes one label for each row, but there are 2"),
        ("neg_mean_squared_log_error", [-2.0, 1.0], 1, False, "cannot be used when targets contain"),
    ],
)  # fmt: skip
def test_a_scorer_that_cannot_work_is_refused_before_any_prediction(name, labels, n_outputs, are_probabilities, words):
    with pytest.raises(ConfigError) as caught:
        choose_scorers([name], np.array(labels), n_outputs, are_probabilities)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([4711.0, np.nan, 4711.0, np.nan]),
        np.array([4711.0, np.inf, 4711.0, -np.inf]),
        np.array(["4711", None, "4711", np.nan], dtype=object),
    ],
)
def test_missing_labels_are_counted_and_not_shown(labels):
    with pytest.raises(DataError, match=r"missing or infinite in 2 of 4 rows \(first: row 1\)") as caught:
        choose_scorers(["r2"], labels, 1, False)
    assert "4711" not in str(caught.value)


def test_predictions_that_a_scorer_cannot_take_end_the_comparison():
    scores = choose_scorers(["neg_mean_squared_log_error"], np.arange(10.0), 1, False)
    with pytest.raises(ConfigError, match="'neg_mean_squared_log_error' cannot score this model"):
        score_drops(scores, np.ones((10, 1)), [np.full((10, 1), -2.0)])
    nowhere = np.full((10, 1), np.nan)
    nowhere[3] = 1
    with pytest.raises(ConfigError, match="'r2' is not defined for these predictions"):
        choose_scorers(["r2"], np.arange(10.0), 1, False).of(nowhere)
