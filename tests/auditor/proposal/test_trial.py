"""What the outcome tells of the order of columns: the right one fits, others do not, and chance tells nothing."""

import numpy as np
import pytest

from nnperm_mlflow.auditor.proposal.draft import Assumption, Reading
from nnperm_mlflow.auditor.proposal.trial import order_of, try_out
from nnperm_mlflow.auditor.proposal.yardstick import Yardstick, is_better
from nnperm_mlflow.inputs.dataset import Dataset, Series
from nnperm_mlflow.inputs.specs import InputSpec
from tests.support.plain import PlainPredictor

N_ROWS = 3_000
STEPS, CHANNELS, NUMBERS = (
    Assumption("steps", "history"), Assumption("channels", "history"), Assumption("numbers", "num_input")
)  # fmt: skip
SPECS = [InputSpec("num_input", (2,), np.dtype("float32")), InputSpec("h", (2, 2), np.dtype("float32"))]


def rows(seed=0):
    rng = np.random.default_rng(seed)
    names = ["age", "dose", "a1", "a2", "b1", "b2"]
    return Dataset({name: rng.normal(size=N_ROWS) for name in names}, {}, N_ROWS)


def reading(numbers=("age", "dose"), **channels):
    columns = channels or {"a": ("a1", "a2"), "b": ("b1", "b2")}
    series = Series(tuple(columns), columns=columns, model_channel_axis=2)
    return Reading({"num_input": list(numbers), "h": "history"}, {"history": series})


def network(inputs):
    """The first number, and of the first channel the last step, count."""
    return inputs["num_input"][:, 0] + 2 * inputs["h"][:, 1, 0]


def truth(data):
    return data.columns["age"] + 2 * data.columns["a2"]


def tried(assumed, function=network, outcome=truth, noise=0.5):
    data = rows()
    labels = outcome(data) + noise * np.random.default_rng(9).normal(size=N_ROWS) > 0
    return try_out(PlainPredictor(SPECS, function), data, assumed, labels.astype(int), [STEPS, CHANNELS, NUMBERS])


@pytest.mark.parametrize(
    "assumed",
    [
        reading(),
        reading(a=("a2", "a1"), b=("b2", "b1")),
        reading(b=("b1", "b2"), a=("a1", "a2")),
        reading(("dose", "age"), b=("b2", "b1"), a=("a2", "a1")),
    ],
    ids=["right", "steps", "channels", "all"],
)
def test_whatever_is_assumed_the_order_that_the_outcome_tells_is_found(assumed):
    trial = tried(assumed)
    assert trial.reading == reading()
    assert [finding.is_told for finding in trial.findings] == [True, True, True]
    changed = [order_of(assumed, one) != order_of(reading(), one) for one in (STEPS, CHANNELS, NUMBERS)]
    assert [finding.is_changed for finding in trial.findings] == changed
    assert all(finding.rival < trial.fit for finding in trial.findings)
    assert not trial.tells_nothing


def test_what_makes_no_difference_to_the_network_is_not_told():
    trial = tried(reading(), function=lambda inputs: inputs["num_input"][:, 0] + 2 * inputs["h"][:, :, 0].mean(axis=1))
    assert [finding.is_told for finding in trial.findings] == [False, True, True]
    assert trial.findings[0].rival == pytest.approx(trial.fit)


def test_chance_tells_nothing():
    trial = tried(reading(), outcome=lambda data: np.random.default_rng(1).normal(size=N_ROWS))
    assert trial.tells_nothing
    assert trial.reading == reading()
    assert not any(finding.is_told or finding.is_changed for finding in trial.findings)


def test_a_model_that_calls_the_good_outcome_1_is_tried_out_all_the_same():
    trial = tried(reading(a=("a2", "a1"), b=("b2", "b1")), function=lambda inputs: -network(inputs))
    assert trial.reading == reading()


def test_rows_without_a_prediction_or_an_outcome_are_left_out_and_without_any_nothing_is_compared():
    def partial(inputs):
        return np.where(inputs["num_input"][:, 1] > 1, np.nan, network(inputs))

    data = rows()
    trial = tried(reading(a=("a2", "a1"), b=("b2", "b1")), function=partial)
    assert trial.reading == reading()
    assert trial.n_rows == (data.columns["dose"].astype("float32") <= 1).sum()
    labels = np.where(np.arange(N_ROWS) < 100, np.nan, truth(data) > 0)
    found = try_out(PlainPredictor(SPECS, network), data, reading(), labels, [STEPS])
    assert found.n_rows == N_ROWS - 100
    assert tried(reading(), function=lambda inputs: network(inputs) + np.nan) is None


def test_the_auc_is_that_of_scikit_learn_on_each_part_of_the_rows():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 2, 200), rng.normal(size=(200, 1))
    fit = Yardstick.of(labels, 1).measure(scores)
    parts = np.array_split(np.random.default_rng(0).permutation(200), 10)
    expected = [roc_auc_score(labels[part], scores[part, 0]) for part in parts]
    turned = expected if np.mean(expected) >= 0.5 else 1 - np.array(expected)
    assert np.allclose(fit, turned)


@pytest.mark.parametrize(
    ("labels", "n_outputs", "name"),
    [
        (np.arange(200) % 2, 1, "AUC"),
        (np.array(["yes", "no"] * 100, dtype=object), 2, "AUC"),
        (np.arange(100) % 3, 3, "accuracy"),
        (np.linspace(0, 1, 100), 1, "rank correlation"),
    ],
)
def test_what_outcome_and_outputs_are_decides_by_what_they_are_compared(labels, n_outputs, name):
    assert Yardstick.of(labels, n_outputs).name == name


@pytest.mark.parametrize(
    ("labels", "n_outputs"),
    [
        (np.zeros(0), 1),
        (np.array([1] + [0] * 99), 1),
        (np.arange(100) % 3, 2),
        (np.zeros(100), 1),
        (np.array(["a", "b", "c", "d"] * 25, dtype=object), 1),
    ],
    ids=["none", "rare", "other outputs", "constant", "text"],
)
def test_where_nothing_can_be_compared_nothing_is(labels, n_outputs):
    assert Yardstick.of(labels, n_outputs) is None


def test_of_two_readings_that_are_alike_none_is_better():
    """By chance three in a thousand are; 2,000 pairs of the same goodness show it."""
    rng = np.random.default_rng(5)
    found = [is_better(*rng.normal(0.7, 0.02, size=(2, 10))) for _ in range(2_000)]
    assert np.mean(found) < 0.004
    fit = rng.normal(0.7, 0.02, 10)
    assert not is_better(fit, fit)
    assert is_better(fit + 0.01, fit)
    assert not is_better(fit, np.full(10, np.nan))
