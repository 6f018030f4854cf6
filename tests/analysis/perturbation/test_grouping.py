"""Features that go together are pointed out, with the group that would join them."""

import numpy as np
import pandas as pd

from nnperm_mlflow.analysis.perturbation.grouping import ASSOCIATION_COLUMNS, find_companions, point_out
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import bound, deviations

N_ROWS = 400
RNG = np.random.default_rng(0)
WEALTH = RNG.normal(size=N_ROWS)
TABLE = pd.DataFrame(
    {
        "income": np.exp(WEALTH + RNG.normal(size=N_ROWS) / 10),
        "rent": -WEALTH + RNG.normal(size=N_ROWS) / 10,
        "age": RNG.normal(size=N_ROWS),
        "class": np.digitize(WEALTH, [-1.0, 0.0, 1.0]),
    }
)
HISTORY = RNG.normal(size=(N_ROWS, 6, 2))
HISTORY[:, :, 1] += 5 * TABLE["age"].to_numpy()[:, None]


def bind():
    return bound(TABLE, HISTORY, ["income", "rent", "age"], ["class"], ["PAY", "BILL"])


def test_pairs_are_told_strongest_first_with_the_group_that_would_join_them():
    found = find_companions(bind()[1], [], 0.7)
    assert tuple(found.pairs.columns) == ASSOCIATION_COLUMNS
    assert [set(members) for members in found.groups.values()] == [{"income", "rent", "class"}, {"age", "BILL"}]
    pairs = {frozenset(pair[:2]): pair for pair in found.pairs.itertuples(index=False)}
    assert pairs[frozenset({"income", "rent"})].value < -0.95
    assert pairs[frozenset({"income", "rent"})].measure == "spearman"
    assert pairs[frozenset({"rent", "class"})].measure == "correlation_ratio"
    assert pairs[frozenset({"age", "BILL"})].value > 0.9  # a series counts by the mean over its steps
    assert not any("PAY" in pair for pair in pairs)
    assert found.pairs["value"].abs().is_monotonic_decreasing
    assert {pairs[frozenset({"age", "BILL"})].group} <= set(found.groups)


def test_what_is_not_audited_and_what_lies_below_the_limit_is_not_told():
    assert not any(
        "rent" in pair for pair in find_companions(bind()[1], ["rent"], 0.7).pairs[["first", "second"]].values
    )
    assert find_companions(bind()[1], [], 1.0).groups == {}


def test_a_warning_names_those_who_are_not_joined(caplog):
    companions = find_companions(bind()[1], [], 0.7)
    point_out(companions, {"mine": ["income", "class", "rent", "PAY"]})
    assert caplog.text.count("go together") == 1
    assert "'age', 'BILL' go together and share their effect" in caplog.text
    caplog.clear()
    point_out(companions, companions.groups)
    assert not caplog.text


def test_the_proposed_groups_can_be_audited():
    _, inputs = bind()
    groups = find_companions(inputs, [], 0.7).groups
    plan = plan_perturbations(inputs, "", AnalysisConfig(rare_below=0), groups)
    assert [done.name for done in plan if done.feature.kind == "group"] == list(groups)
    (wealth, _) = (done.feature for done in plan if done.feature.kind == "group")
    assert {slot.input for slot in wealth.slots} == {"num_input", "class_input"}


def test_one_donor_for_a_group_keeps_what_its_members_have_between_them():
    """A model that reads the difference of two copies sees nothing of a shuffle of both, and much of one alone."""
    table = pd.DataFrame({"a": WEALTH, "b": WEALTH, "age": TABLE["age"]})
    groups = {"both": ["a", "b"]}
    found = deviations(
        lambda inputs: inputs["num_input"][:, 0] - inputs["num_input"][:, 1],
        bound(table, numbers=["a", "b", "age"]),
        groups=groups,
    )
    assert not found["both"].any()
    assert np.median(found["a"]) > 0.5
