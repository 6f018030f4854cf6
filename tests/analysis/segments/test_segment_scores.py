"""The model's own score of each segment: scikit-learn's, with intervals and differences that hold the truth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer

from nnperm_mlflow.analysis.difference.recomputation import confirm_segments
from nnperm_mlflow.analysis.scores.own_scores import own_scores
from nnperm_mlflow.analysis.scores.scorers import choose_scorers
from nnperm_mlflow.analysis.segments.segment_scores import score_segments
from nnperm_mlflow.analysis.segments.segment_tables import SegmentTables
from nnperm_mlflow.analysis.segments.segmentation import part_rows
from nnperm_mlflow.basics.errors import EvidenceError
from tests.support.simulations import in_full

SURE = 1e-3
N_AUDITS = in_full(3000, 200)
NAMES = ["roc_auc", "accuracy", "balanced_accuracy", "neg_log_loss", "neg_brier_score", "f1", "average_precision"]


def parted(part):
    return part_rows({"part": None}, {"part": np.asarray(part)})


def classes(rng, n_rows):
    """Return labels, and the probabilities of a model that knows one of two causes."""
    inputs = rng.normal(size=(n_rows, 2))
    labels = (rng.random(n_rows) < 1 / (1 + np.exp(-inputs @ [1.5, 0.7]))).astype(int)
    return labels, 1 / (1 + np.exp(-1.5 * inputs[:, :1]))


@pytest.mark.parametrize("name", NAMES)
def test_the_score_of_a_segment_is_that_of_scikit_learn_on_its_rows(name):
    rng = np.random.default_rng(0)
    inputs, part = rng.normal(size=(600, 3)), rng.integers(0, 3, 600)
    labels = (inputs @ [1, 2, 0] + rng.normal(size=600) > 1).astype(int)
    model = LogisticRegression().fit(inputs[:200], labels[:200])
    scores = choose_scorers([name], labels, 1, True)
    told = score_segments(scores, model.predict_proba(inputs)[:, 1:], parted(part)).scores
    by_hand = [get_scorer(name)(model, inputs[part == each], labels[part == each]) for each in range(3)]
    np.testing.assert_allclose(told["value"], by_hand, rtol=1e-12, atol=1e-12)
    assert told["rows"].tolist() == np.bincount(part).tolist()


@pytest.mark.parametrize("clusters", [None, np.arange(400) // 3])
def test_the_only_segment_of_all_rows_is_told_what_is_told_of_the_model(clusters):
    labels, predicted = classes(np.random.default_rng(1), 400)
    scores = choose_scorers(NAMES, labels, 1, True)
    whole = own_scores(scores, predicted, clusters)
    told = score_segments(scores, predicted, parted(np.zeros(400)), clusters)
    for row in told.scores.itertuples():
        assert (row.value, row.low, row.high) == (whole[row.score].value, whole[row.score].low, whole[row.score].high)
    assert told.differences.empty


def test_what_cannot_be_judged_is_counted_and_says_why():
    labels, predicted = classes(np.random.default_rng(2), 400)
    part = np.repeat([0, 1, 2, 3, 4], [29, 40, 151, 150, 30])
    labels[part == 1] = 1
    predicted[part == 4] = np.nan
    told = score_segments(choose_scorers(["roc_auc", "accuracy"], labels, 1, True), predicted, parted(part))
    of_area, of_shares = (told.scores[told.scores["score"] == name] for name in ("roc_auc", "accuracy"))
    why = of_area["not_judged"].tolist()
    assert why[0].endswith("below 30")
    assert why[1:] == ["all rows have one label", "", "", "no row has a prediction"]
    assert of_area["value"].notna().tolist() == [True, False, True, True, False]
    assert of_area["low"].notna().tolist() == [False, False, True, True, False]
    assert of_area["rows"].tolist() == [29, 40, 151, 150, 0]
    assert of_shares["low"].notna().tolist() == [False, True, True, True, False]  # of one class it is defined
    assert told.differences["score"].value_counts().to_dict() == {"accuracy": 3, "roc_auc": 1}


def test_errors_of_disjoint_rows_add_up_and_those_of_shared_clusters_cancel():
    """Each cluster has the same row in both segments: what one segment has too much, the other has as well."""
    labels, predicted = classes(np.random.default_rng(3), 300)
    both, twice, part = np.tile(labels, 2), np.tile(predicted, (2, 1)), np.repeat([0, 1], 300)
    scores = choose_scorers(["roc_auc"], both, 1, True)
    alone = score_segments(scores, twice, parted(part))
    reach = alone.differences["difference_high"][0]
    row = alone.scores.iloc[0]
    assert reach == pytest.approx(np.hypot(row["high"] - row["value"], row["value"] - row["low"]), rel=1e-9)
    shared = score_segments(scores, twice, parted(part), np.tile(np.arange(300), 2)).differences
    assert shared["difference_high"][0] < 0.2 * reach
    apart = score_segments(scores, twice, parted(part), np.arange(600)).differences
    assert apart["difference_high"][0] == pytest.approx(reach, rel=1e-9)


def test_without_influences_two_segments_that_share_clusters_are_taken_to_err_against_each_other():
    labels, predicted = classes(np.random.default_rng(4), 400)
    scores, part = choose_scorers(["average_precision"], labels, 1, True), np.arange(400) % 2
    told = score_segments(scores, predicted, parted(part), np.arange(400) // 2)
    one, other = told.scores.itertuples()
    pair, worst = told.differences.iloc[0], (one.value - one.low) + (other.high - other.value)
    assert pair["difference_low"] == pytest.approx(pair["difference"] - worst)


def test_scores_of_segments_that_come_out_otherwise_are_refused():
    labels, predicted = classes(np.random.default_rng(5), 400)
    told = score_segments(choose_scorers(["roc_auc"], labels, 1, True), predicted, parted(np.arange(400) % 2))
    none = told.scores.head(0)
    tables = SegmentTables(none, none, told)
    confirm_segments(tables, tables)
    confirm_segments(replace(tables, scores=None), tables)  # an audit of before tells none
    better = replace(told, scores=told.scores.assign(value=told.scores["value"] + 0.001))
    closer = replace(told, differences=told.differences.assign(difference_high=0.0))
    for forged in (better, closer):
        with pytest.raises(EvidenceError, match="segments come out otherwise than on record"):
            confirm_segments(replace(tables, scores=forged), tables)
    with pytest.raises(EvidenceError, match="no scores of segments are told, which are on record"):
        confirm_segments(tables, replace(tables, scores=None))


@pytest.mark.slow
@pytest.mark.parametrize(("clustered", "n_rows"), [(False, 500), (True, 1200)])
def test_scores_of_segments_and_their_differences_err_as_they_say(clustered, n_rows):
    """Data sets drawn anew; the truth is that of many rows. Clusters of four rows lie across both segments."""
    truth_labels, truth = classes(np.random.default_rng(10**6), 400_000)
    true_area = own_scores(choose_scorers(["roc_auc"], truth_labels, 1, True), truth)["roc_auc"].value
    held, told = 0, 0
    for seed in range(N_AUDITS):
        rng = np.random.default_rng(seed)
        n_drawn = n_rows // 4 if clustered else n_rows
        labels, predicted = classes(rng, n_drawn)
        copies = np.arange(n_rows) % n_drawn
        labels, predicted = labels[copies], predicted[copies]
        found = score_segments(
            choose_scorers(["roc_auc"], labels, 1, True),
            predicted,
            parted(rng.integers(0, 2, n_rows)),
            copies if clustered else None,
        )
        row, pair = found.scores.iloc[0], found.differences.iloc[0]
        held += row["low"] <= true_area <= row["high"]
        told += pair["difference_low"] <= 0 <= pair["difference_high"]
    for each in (held, told):
        assert binom.sf(N_AUDITS - each - 1, N_AUDITS, 0.07) > SURE, (held, told)
