"""Flips of the decision: how often a disturbed feature turns it, beside how far it moves a number."""

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow.analysis.engine.decisions import Decision, choose_decision
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.specs import Head, OutputSpec
from tests.support.plain import PlainPredictor, bound

TABLE = pd.DataFrame({"dose": np.linspace(0, 1, 101), "age": np.arange(101.0)})
ONE, PROBABILITY = OutputSpec(), OutputSpec(heads=(Head((), "probability"),))
SOFTMAX = OutputSpec(("a", "b"), (Head((0, 1), "probability", True),))
SEVERAL = OutputSpec(
    ("amount", "sure", "a", "b", "c"),
    (Head((0,)), Head((1,), "probability"), Head((2, 3, 4), "probability", True)),
)


def flips(function, decision, tmp_path, *, n_outputs=1, output=None, block_rows=40, repeats=1):
    specs, inputs = bound(TABLE, numbers=["dose", "age"])
    plan = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0, set={"dose": [0.9]}))
    measure = choose_measure(output, n_outputs, ())
    job = Job(PlainPredictor(specs, function), inputs, plan, measure, "", repeats=repeats, decision=decision)
    found = find(job, block_rows, tmp_path / "t.parquet", lambda *_: None)
    return found.summary.set_index("perturbation")["flipped_share"]


def dose(inputs):
    return inputs["num_input"][:, 0]


@pytest.mark.parametrize("threshold", [0.5, 0.8])
@pytest.mark.parametrize("block_rows", [7, 1000])
def test_a_set_value_flips_those_on_the_other_side_of_the_threshold(threshold, block_rows, tmp_path):
    found = flips(dose, Decision((0,), threshold), tmp_path, block_rows=block_rows)
    assert found["dose=0.9"] == (TABLE["dose"] <= threshold).mean()
    assert found["age"] == 0


def test_a_shuffle_flips_twice_the_product_of_the_shares(tmp_path):
    found = flips(dose, Decision((0,), 0.75), tmp_path, repeats=400)
    share = (TABLE["dose"] > 0.75).mean()
    assert found["dose"] == pytest.approx(2 * share * (1 - share), rel=0.02)


def test_where_predictions_are_classes_each_change_is_a_flip(tmp_path):
    """Classes 0, 1 and 2 by number: between 0 and 2 there is no larger step than between 0 and 1."""

    def class_of(inputs):
        return np.floor(3 * np.minimum(dose(inputs), 0.99)) * np.where(inputs["num_input"][:, 1] < 0, -1, 1)

    decision = choose_decision(None, choose_measure(None, 1, ()), 1, ONE.as_classes())
    assert decision.is_prediction
    found = flips(class_of, decision, tmp_path)
    assert found["dose=0.9"] == (np.floor(3 * np.minimum(TABLE["dose"], 0.99)) != 2).mean()
    assert found["age"] == 0
    assert decision.decide(np.array([[0.0], [-0.0], [1.0], [2.0]]))[:2].tolist() == [0, 0]
    assert len(set(decision.decide(np.array([[0.0], [1.0], [2.0], [2.0]])).tolist())) == 3


def test_a_threshold_that_is_asked_for_goes_before_classes():
    found = choose_decision(0.5, choose_measure(None, 1, ()), 1, ONE.as_classes())
    assert (found.threshold, found.is_prediction) == (0.5, False)


def test_the_largest_of_several_outputs_decides_whichever_of_them_is_followed(tmp_path):
    def three(inputs):
        return np.stack([1 - dose(inputs), dose(inputs), 0.4 + 0 * dose(inputs)], axis=1)

    for output in (0, 2, "total_variation"):
        found = flips(three, Decision((0, 1, 2)), tmp_path, n_outputs=3, output=output)
        assert found["dose=0.9"] == (TABLE["dose"] <= 0.5).mean()


def test_without_a_decision_no_flips_are_claimed(tmp_path):
    assert flips(dose, None, tmp_path).isna().all()


@pytest.mark.parametrize(
    ("asked", "output", "n_outputs", "outputs", "expected"),
    [
        (None, None, 1, PROBABILITY, Decision((0,), 0.5)),
        (None, None, 1, ONE, None),
        (None, 1, 2, SOFTMAX, Decision((0, 1))),
        (None, "max", 2, SOFTMAX, Decision((0, 1))),
        (None, 1, 2, PROBABILITY, Decision((1,), 0.5)),
        (None, "max", 2, PROBABILITY, None),
        (None, 0, 5, SEVERAL, None),
        (None, 1, 5, SEVERAL, Decision((1,), 0.5)),
        (None, 3, 5, SEVERAL, Decision((2, 3, 4))),
        (None, "max", 5, SEVERAL, None),
        (0.2, None, 1, ONE, Decision((0,), 0.2)),
        (0.2, 1, 2, SOFTMAX, Decision((1,), 0.2)),
        ("argmax", 0, 2, ONE, Decision((0, 1))),
    ],
)
def test_a_decision_is_as_asked_for_or_as_the_layer_behind_tells(asked, output, n_outputs, outputs, expected):
    assert choose_decision(asked, choose_measure(output, n_outputs, ()), n_outputs, outputs) == expected


@pytest.mark.parametrize(
    ("asked", "output", "n_outputs", "message"),
    [
        ("argmax", None, 1, "takes the largest of several outputs, but the model has one"),
        (0.5, "l2", 2, "held against one output, but the distance 'l2' follows several"),
    ],
)
def test_decisions_that_there_are_not_are_refused(asked, output, n_outputs, message):
    with pytest.raises(ConfigError, match=message):
        choose_decision(asked, choose_measure(output, n_outputs, ()), n_outputs, ONE)


def test_the_largest_decides_among_the_classes_and_not_among_all_outputs(tmp_path):
    def beside_an_amount(inputs):
        return np.stack([100 + 0 * dose(inputs), 1 - dose(inputs), dose(inputs)], axis=1)

    found = flips(beside_an_amount, Decision((1, 2)), tmp_path, n_outputs=3, output=1)
    assert found["dose=0.9"] == (TABLE["dose"] <= 0.5).mean()


def test_rounding_of_rows_that_did_not_change_flips_nothing(tmp_path):
    """At the very threshold the last bit of another batch would turn every decision."""
    calls = []

    def rounds(inputs):
        calls.append(1)
        return np.float32(0.5) + np.float32(6e-8) * (len(calls) % 2 == 0) + 0 * dose(inputs).astype(np.float32)

    specs, inputs = bound(TABLE.assign(dose=1.0), numbers=["dose", "age"])
    plan = plan_perturbations(inputs, "", AnalysisConfig(exclude=["age"]))
    job = Job(PlainPredictor(specs, rounds), inputs, plan, choose_measure(None, 1, ()), "", decision=Decision((0,)))
    row = find(job, 1000, tmp_path / "t.parquet", lambda *_: None).summary.iloc[0]
    assert (row["max"], row["shift"], row["flipped_share"]) == (0, 0, 0)
