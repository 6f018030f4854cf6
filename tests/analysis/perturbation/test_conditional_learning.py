"""What is learned of one feature does not hang on what was learned before: what is kept saves work and nothing else."""

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeRegressor

from nnperm_mlflow.analysis.perturbation.conditional_list import with_conditionals
from nnperm_mlflow.analysis.perturbation.perturbation_list import known_features, plan_perturbations
from nnperm_mlflow.analysis.perturbation.subgroups import growing
from nnperm_mlflow.analysis.perturbation.subgroups.binned_tree import bins_of, grow_binned
from nnperm_mlflow.analysis.perturbation.subgroups.columns import Column, ColumnReader
from nnperm_mlflow.analysis.perturbation.subgroups.grown import FEWEST_OF_A_LEAF, Grown
from nnperm_mlflow.analysis.perturbation.subgroups.learning import SubgroupLearner
from nnperm_mlflow.analysis.perturbation.subgroups.learning_rows import LearningRows
from nnperm_mlflow.analysis.perturbation.subgroups.tree import LEAF
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


def columns_and_targets(n_columns, n_targets=1):
    """Return columns, what they hold in 500 rows, and targets to which the first two and noise add up."""
    rng = np.random.default_rng(n_columns)
    values = rng.normal(size=(500, n_columns)).astype(np.float32)
    targets = values[:, :2].sum(axis=1, keepdims=True) + 0.3 * rng.normal(size=(500, n_targets))
    return [Column(f"x{place}", Slot("x", (place,)), "value") for place in range(n_columns)], values, targets


def as_grown(tree):
    nodes = (tree.children_left, tree.children_right, tree.feature, tree.threshold)
    return Grown(*nodes, tree.weighted_n_node_samples, tree.impurity)


@pytest.mark.parametrize("n_columns", [1, 2, 6])
def test_the_tree_is_grown_by_the_columns_that_surely_tell_rows_apart(n_columns):
    """And columns in one piece are split as columns beside each other."""
    columns, values, targets = columns_and_targets(n_columns)
    used = [*range(min(2, n_columns))]
    tree = DecisionTreeRegressor(min_samples_leaf=FEWEST_OF_A_LEAF, random_state=0)
    tree = tree.fit(np.ascontiguousarray(values[:, used]), targets).tree_
    expected = growing._cut_back([columns[place] for place in used], as_grown(tree))
    found = growing.grow(columns, [*values.T], [bins_of(each) for each in values.T], targets)
    assert found.as_dict() == expected.as_dict()


@pytest.mark.parametrize("n_targets", [1, 3])
def test_a_tree_over_bins_is_that_of_scikit_learn_over_as_many_values(n_targets):
    """Of nodes that are numbered by levels, and not by branches."""
    _, values, targets = columns_and_targets(5, n_targets)
    bins = [bins_of(each) for each in values.T]
    limits = {"max_depth": 6, "min_samples_split": 40, "min_samples_leaf": FEWEST_OF_A_LEAF}
    expected = DecisionTreeRegressor(**limits, random_state=0).fit(np.stack(bins, axis=1), targets).tree_
    found = grow_binned(bins, targets)

    def branch(tree, node):
        low, high = tree.below[node], tree.above[node]
        told = (tree.column[node] if low != LEAF else LEAF, tree.rows[node])
        return [told] if low == LEAF else [told, *branch(tree, low), *branch(tree, high)]

    assert branch(found, 0) == branch(as_grown(expected), 0)
    assert len(branch(found, 0)) > 20
    np.testing.assert_allclose(np.sort(found.variance), np.sort(expected.impurity * n_targets), rtol=1e-9)


def test_bins_hold_about_as_many_rows_each_and_equal_values_share_one():
    values = np.random.default_rng(0).normal(size=2_000)
    assert set(np.bincount(bins_of(values))) <= {30, 31, 32, 33}
    assert (np.diff(bins_of(values)[np.argsort(values)].astype(int)) >= 0).all()
    skewed = np.r_[np.zeros(1_900), np.arange(1, 101)]
    assert (np.bincount(bins_of(skewed))[[0, -1]] == [1_900, 31]).all()
    assert set(bins_of(np.ones(50))) == {0}
    assert len(set(bins_of(np.arange(500.0) // 20))) == 25


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
