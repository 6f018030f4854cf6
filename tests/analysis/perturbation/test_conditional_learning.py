"""What is learned of one feature does not hang on what was learned before: what is kept saves work and nothing else."""

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeRegressor

from nnperm_mlflow.analysis.perturbation.conditional_list import with_conditionals
from nnperm_mlflow.analysis.perturbation.perturbation_list import known_features, plan_perturbations
from nnperm_mlflow.analysis.perturbation.subgroups import growing
from nnperm_mlflow.analysis.perturbation.subgroups.columns import Column, ColumnReader
from nnperm_mlflow.analysis.perturbation.subgroups.learning import SubgroupLearner
from nnperm_mlflow.analysis.perturbation.subgroups.learning_rows import LearningRows
from nnperm_mlflow.config.audit_config import AnalysisConfig
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.slots import Slot
from nnperm_mlflow.inputs.specs import InputSpec
from tests.analysis.perturbation.test_conditional_donors import ALL, EVERYTHING, conditional, data, job_of
from tests.support.plain import bound


def test_subgroups_are_those_that_a_learner_finds_who_learns_of_one_feature_alone():
    """Of numbers, a code, channels, windows and a group, in one order and in the other."""
    table, history = data()
    _, inputs = bound(table, history, numbers=["x0", "x1", "x2", "alone", "copy"], codes=["code"], channels=["A", "B"])
    settings = AnalysisConfig(**{**ALL, **EVERYTHING})
    plan, known = plan_perturbations(inputs, "m", settings), known_features(inputs, settings)
    features = [done.feature for done in plan if done.way == "shuffle"]
    alone = {each.name: SubgroupLearner(inputs, 0, None).learn(each, known) for each in features}
    assert len(alone) > 10
    for some in (features, features[::-1]):
        learner = SubgroupLearner(inputs, 0, None)
        for feature in some:
            found = learner.learn(feature, known)
            assert (found.given, found.digest) == (alone[feature.name].given, alone[feature.name].digest)


def many_columns(n_rows=300):
    """Return the inputs of 20 numbers that go together more or less, and of names that are all rare."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=n_rows)
    numbers = {f"x{place}": common * place / 10 + rng.normal(size=n_rows) for place in range(20)}
    names = [f"name {place}" for place in range(n_rows)]
    table = pd.DataFrame({**numbers, "even": common**2, "name": names})
    specs = [InputSpec("name", (1,), np.dtype(object)), InputSpec("num_input", (21,), np.dtype("float64"))]
    return bind_inputs(specs, dataset_from(table, {}), {"num_input": [*numbers, "even"], "name": "name"})


def test_associations_are_those_of_each_two_features_by_themselves():
    """And what is no feature of the model is compared, too; of what nothing describes there is none."""
    inputs = many_columns()
    half = LearningRows(inputs, np.arange(300))
    wide = {name: np.c_[scores, scores**2] for name, scores in half.scores.items()}
    for one in inputs.features.values():
        for other in inputs.features.values():
            found = half.association(one, other)
            if "name" in (one.name, other.name):
                assert found == 0
                continue
            plain = np.abs(np.corrcoef(wide[one.name], wide[other.name], rowvar=False)[:2, 2:]).max()
            assert found == pytest.approx(plain, abs=1e-6)


def test_a_group_with_names_that_are_all_rare_is_told_apart_by_what_its_numbers_go_with():
    inputs = many_columns()
    settings = AnalysisConfig(**ALL, groups={"who": ["name", "x19"]})
    plan = with_conditionals(plan_perturbations(inputs, "m", settings), inputs, settings)
    by_name = {done.name: done.subgroups for done in plan if done.way == "conditional"}
    assert "x18" in by_name["who conditional"].given
    assert by_name["who conditional"].trees[0].as_dict() == by_name["x19 conditional"].trees[0].as_dict()
    assert by_name["name conditional"].n_subgroups == 2


@pytest.mark.parametrize("n_columns", [1, 2, 6])
def test_the_tree_is_that_of_a_second_growth_by_the_columns_that_surely_tell_rows_apart(n_columns):
    """Which is done only where these are not all; and columns in one piece are split as columns beside each other."""
    rng = np.random.default_rng(n_columns)
    values = rng.normal(size=(500, n_columns)).astype(np.float32)
    targets = values[:, :2].sum(axis=1, keepdims=True) + 0.3 * rng.normal(size=(500, 1))
    columns = [Column(f"x{place}", Slot("x", (place,)), "value") for place in range(n_columns)]

    def fitted(used):
        tree = DecisionTreeRegressor(min_samples_leaf=growing.FEWEST_OF_A_LEAF, random_state=0)
        tree = tree.fit(np.ascontiguousarray(values[:, used]), targets).tree_
        nodes = (tree.children_left, tree.children_right, tree.feature, tree.threshold)
        return growing._Grown(*nodes, tree.weighted_n_node_samples, tree.impurity)

    sure = growing._cut_back(columns, fitted([*range(n_columns)]), growing._SURELY).columns
    used = [place for place, column in enumerate(columns) if column in sure]
    assert used == [*range(min(2, n_columns))]
    expected = growing._cut_back([columns[place] for place in used], fitted(used))
    assert growing.grow(columns, [*values.T], targets).as_dict() == expected.as_dict()


def test_the_subgroups_of_a_block_are_kept_and_those_of_another_block_are_its_own():
    job = job_of({}, in_batches=True, rows=data(5_000))
    first, second, *_ = job.deal.blocks()
    done, other = conditional(job, "x0"), conditional(job, "code")
    for block, each in ((first, done), (first, other), (first, done), (second, done), (first, done)):
        expected = each.subgroups.of(ColumnReader(job.inputs.sources, block.rows), block.rows)
        found = job.subgroups(block, each)
        np.testing.assert_array_equal(found, expected)
        found += 1  # whoever changes what was returned changes nothing else


@pytest.mark.parametrize("unit", [2.0**-30, 2.0**-13, 2.0**10])
def test_what_tells_rows_apart_does_not_hang_on_its_unit(unit):
    """scikit-learn's trees do not split between numbers within 1e-7 of each other, as neighbours of many rows are."""
    table, _ = data()
    table.loc[::7, "x1"] = np.nan
    settings = AnalysisConfig(**{**ALL, "donors": {"x0": ["x1"]}})

    def told(rows):
        _, inputs = bound(rows, numbers=["x0", "x1", "alone"])
        plan = with_conditionals(plan_perturbations(inputs, "m", settings), inputs, settings)
        (done,) = (done for done in plan if done.way == "conditional")
        return done.subgroups, done.subgroups.of(
            ColumnReader(inputs.sources, np.arange(len(rows))), np.arange(len(rows))
        )

    subgroups, numbers = told(table)
    scaled, same = told(table.assign(x1=unit * table["x1"]))
    assert subgroups.n_subgroups > 10
    np.testing.assert_array_equal(numbers, same)
    words = [each.where for each in scaled.in_words()]
    assert any("x1 is missing" in where for where in words)
    assert any("x1 is above " in where for where in words)
