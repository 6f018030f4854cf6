"""Conditional shuffles: donors are real rows that are alike in what the feature goes with, learned on other rows."""

import re

import numpy as np
import pandas as pd
import pytest

import nnperm_mlflow.analysis.perturbation.donors as shuffling
from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.engine.loop import run_blocks
from nnperm_mlflow.analysis.perturbation.conditional_list import digest_of, with_conditionals
from nnperm_mlflow.analysis.perturbation.deal import BATCH_ROWS
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.perturbation.sample import Sample
from nnperm_mlflow.analysis.perturbation.subgroups.folds import MOST_LEARNING_ROWS, Folds
from nnperm_mlflow.basics.errors import AuditError, ConfigError, DataError, UnknownFeatureError
from nnperm_mlflow.config.audit_config import AnalysisConfig, AuditConfig, parse_config
from nnperm_mlflow.inputs.binding import bind_inputs
from nnperm_mlflow.inputs.dataset import dataset_from
from nnperm_mlflow.inputs.specs import InputSpec
from tests.support.plain import PlainPredictor, bound

N_ROWS, N_STEPS = 1_200, 6
NUMBERS = ["x0", "x1", "x2", "alone"]
ALL = {"donors": "conditional", "rare_below": 0.0}


def data(n_rows=N_ROWS, seed=0):
    """Return numbers that go together, a code and series that go with them, and one that goes with nothing."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n_rows)
    table = pd.DataFrame({f"x{place}": common + 0.3 * rng.normal(size=n_rows) for place in range(3)})
    table["alone"], table["copy"] = rng.normal(size=n_rows), table["x0"]
    table["code"] = np.digitize(common + 0.2 * rng.normal(size=n_rows), (-1, 0, 1))
    history = common[:, None, None] + 0.3 * rng.normal(size=(n_rows, N_STEPS, 2))
    return table, history


def model(given):
    numbers, code = given["num_input"], given["code_input"][:, 0]
    return numbers[:, 0] + numbers[:, 3] * numbers[:, 1] + code + given["temporal_input"][:, -1, 0]


def planned(inputs, analysis, clusters=None):
    return with_conditionals(plan_perturbations(inputs, "m", analysis), inputs, analysis, clusters)


def job_of(analysis, *, order=NUMBERS, rows=data(), seed=0, repeats=1, clusters=None, **more):  # noqa: B008
    table, history = rows
    specs, inputs = bound(table, history, numbers=list(order), codes=["code"], channels=["A", "B"])
    places = [list(order).index(name) for name in NUMBERS]
    settings = AnalysisConfig(**{**ALL, "seed": seed, **analysis})

    def in_order(given):
        return model({**given, "num_input": given["num_input"][:, places]})

    return Job(
        PlainPredictor(specs, in_order), inputs, planned(inputs, settings, clusters), choose_measure(None, 1, ()), "m",
        seed, repeats, clusters=clusters, **more,
    )  # fmt: skip


def found(job, block_rows=5_000):
    results = [*run_blocks(job, block_rows)]
    order = np.argsort(np.concatenate([result.rows for result in results]))
    every = np.concatenate([result.deviations for result in results], axis=2)[:, :, order]
    return {done.name: every[:, place] for place, done in enumerate(job.perturbations)}


def conditional(job, name):
    return next(done for done in job.perturbations if done.name == f"{name} conditional")


EVERYTHING = {"windows": 3, "groups": {"both": ["x0", "A"]}}


@pytest.mark.parametrize("name", ["x0", "code", "A", "A steps 3 to 4", "both"])
def test_each_row_receives_the_values_of_another_row_of_its_subgroup_each_value_once(name):
    """Of a number, a code, a series, a window and a group, all of whose slots come from one donor."""
    job = job_of(EVERYTHING)
    (block,) = job.deal.blocks()
    done = conditional(job, name)
    donors, subgroups = job.donors(block, done, 0).astype(int), job.subgroups(block, done)
    np.testing.assert_array_equal(np.sort(donors), np.arange(N_ROWS))
    np.testing.assert_array_equal(subgroups[donors], subgroups)
    alone = np.bincount(subgroups)[subgroups] == 1
    np.testing.assert_array_equal(donors == np.arange(N_ROWS), alone)
    np.testing.assert_array_equal(np.isnan(found(job)[done.name][0]), alone)
    assert len(np.unique(subgroups)) > 4


def test_what_a_feature_adds_to_the_others_is_told_and_what_others_tell_as_well_is_not():
    """x0 is the common number and a third of its size; what it moves beyond that is about a third of a plain shuffle.

    A feature that goes with nothing moves predictions as in a plain shuffle, one that is not used not at all.
    """
    job = job_of({})
    means = {name: float(np.nanmean(values)) for name, values in found(job).items()}
    assert means["x0 conditional"] < 0.45 * means["x0"]
    assert means["alone conditional"] == pytest.approx(means["alone"], rel=0.1)
    assert means["x2"] == means["x2 conditional"] == means["B conditional"] == 0
    assert conditional(job, "alone").subgroups.given == ()


def test_donors_of_a_copied_column_hold_almost_its_value():
    table, _ = data()
    _, inputs = bound(table, numbers=["x0", "copy"])
    (_, done, *_) = planned(inputs, AnalysisConfig(**ALL))
    job = Job(None, inputs, [done], choose_measure(None, 1, ()), "m")
    (block,) = job.deal.blocks()
    x0 = table["x0"].to_numpy()
    assert np.abs(x0[job.donors(block, done, 0)] - x0).mean() < 0.1 * np.abs(x0[:, None] - x0).mean()


@pytest.mark.parametrize("block_rows", [37, 5_000])
def test_numbers_depend_neither_on_blocks_nor_on_the_order_of_features_nor_on_what_else_is_asked(
    block_rows, monkeypatch
):
    """Over several shuffle blocks, too."""
    monkeypatch.setattr(shuffling, "SHUFFLE_BLOCK_ROWS", 500)
    expected = found(job_of({}, repeats=2))
    again = found(job_of(EVERYTHING, order=NUMBERS[::-1], repeats=2), block_rows)
    for name, values in expected.items():
        np.testing.assert_array_equal(again[name], values, err_msg=name)


def test_a_smaller_sample_has_the_donors_and_subgroups_of_a_larger_one():
    rows = data(5 * BATCH_ROWS)
    whole = job_of({}, rows=rows, in_batches=True)
    samples = [whole.on_sample(Sample.of(whole.deal.first(n_batches)), None, None) for n_batches in (2, 4)]
    few, more = (found(sample) for sample in samples)
    shared = np.isin(samples[1].sample.rows, samples[0].sample.rows)
    for name, values in few.items():
        np.testing.assert_array_equal(more[name][:, shared], values, err_msg=name)


def test_what_tells_rows_apart_is_learned_on_other_rows():
    """Whatever the rows of one half hold, the tree for them is the same."""
    table, history = data()
    half = Folds(0).of(np.arange(N_ROWS))
    other = table.copy()
    other.loc[half == 0, ["x0", "x1", "x2"]] = np.random.default_rng(9).normal(size=((half == 0).sum(), 3))
    trees = [conditional(job_of({}, rows=(rows, history)), "x0").subgroups.trees for rows in (table, other)]
    assert trees[0][0].as_dict() == trees[1][0].as_dict()
    assert trees[0][1].as_dict() != trees[1][1].as_dict()


@pytest.mark.parametrize("n_rows", [100, 3_000, 1_000_000])
def test_halves_are_about_equal_and_few_of_their_rows_are_learned_from(n_rows):
    folds = Folds(3)
    for fold, rows in enumerate(folds.learning_rows(n_rows)):
        assert (folds.of(rows) == 1 - fold).all()
        assert len(rows) == len(np.unique(rows)) <= MOST_LEARNING_ROWS
        assert len(rows) >= min(MOST_LEARNING_ROWS, 0.3 * n_rows)


def test_a_cluster_lies_in_one_half():
    clusters = np.repeat(np.arange(100), 12)
    halves = Folds(0, clusters).of(np.arange(1_200)).reshape(100, 12)
    assert (halves == halves[:, :1]).all()
    assert 30 < halves[:, 0].sum() < 70


def test_rows_are_told_apart_by_the_features_that_are_named():
    job = job_of({"donors": {"x0": ["x1"], "A steps 1 to 2": ["A steps 5 to 6", "code"]}, "windows": 3})
    assert [done.name for done in job.perturbations if done.way == "conditional"] == [
        "x0 conditional", "A steps 1 to 2 conditional",
    ]  # fmt: skip
    words = [each.where for each in conditional(job, "x0").subgroups.in_words()]
    assert all(told.startswith("x1 is ") and "x2" not in told for told in words)
    assert any(told.startswith("x1 is at most ") for told in words)
    assert conditional(job, "A steps 1 to 2").subgroups.given == ("A steps 5 to 6", "code")


def test_words_say_which_rows_a_subgroup_holds():
    """Each row is in the subgroup whose words are true of it."""
    table, history = data()
    job = job_of({"donors": {"x0": ["code", "x1"]}}, rows=(table, history))
    (block,) = job.deal.blocks()
    done = conditional(job, "x0")
    subgroups, folds = job.subgroups(block, done), Folds(0).of(np.arange(N_ROWS))
    for number, fold, where in done.subgroups.in_words():
        told = np.ones(N_ROWS, dtype=bool)
        name = ""
        for part in where.split(" and "):
            name, told_by = part.split(" is ") if " is " in part else (name, part)
            value = float(told_by.split()[-1].replace(",", ""))
            column = table.eval(re.sub(r"([\d.]+) (\w+)", r"\1 * \2", name)).to_numpy()
            if "at most" in told_by:
                told &= column <= value
            elif "above" in told_by:
                told &= column > value
            else:
                told &= (column != value) if "not" in told_by else (column == value)
        agree = told[folds == fold] == (subgroups[folds == fold] == number)
        assert agree.mean() > 0.995, where  # words are rounded


def test_text_and_missing_values_tell_rows_apart():
    rng = np.random.default_rng(0)
    town = rng.choice(["Ulm", "Bonn", "Jena"], 900)
    dose = np.where(town == "Ulm", np.nan, rng.normal(size=900)) + 5 * (town == "Bonn")
    table = pd.DataFrame({"town": town, "dose": dose, "age": rng.normal(size=900)})
    specs = [InputSpec("town", (1,), np.dtype(object)), InputSpec("num_input", (2,), np.dtype("float64"))]
    inputs = bind_inputs(specs, dataset_from(table, {}), {"num_input": ["dose", "age"], "town": "town"})
    by_name = {done.name: done for done in planned(inputs, AnalysisConfig(**ALL))}
    of_town = {each.where for each in by_name["town conditional"].subgroups.in_words()}
    of_dose = {each.where for each in by_name["dose conditional"].subgroups.in_words()}
    assert {"dose is missing"} <= of_town
    not_bonn = "town is not Bonn and town is"
    assert of_dose == {"town is Bonn", f"{not_bonn} Jena", f"{not_bonn} not Jena"}  # but for Ulm there is no other


def test_the_digest_tells_who_may_give_to_whom():
    assert digest_of(plan_perturbations(job_of({}).inputs, "m", AnalysisConfig(rare_below=0))) is None
    digest = digest_of(job_of({}).perturbations)
    assert digest == digest_of(job_of({}, order=NUMBERS[::-1]).perturbations)
    assert digest != digest_of(job_of({}, rows=data(seed=1)).perturbations)


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"x9": ["x0"]}, UnknownFeatureError, "donors: 'x9' is not a feature of m, which has 'x0'"),
        ({"x0": ["x9"]}, UnknownFeatureError, "donors: x0: 'x9' is not a feature"),
        ({"x0": ["x0"]}, ConfigError, "'x0' would be shuffled with it"),
        ({"both": ["A steps 1 to 2"]}, ConfigError, "'A steps 1 to 2' would be shuffled with it"),
        ({"A steps 1 to 2": ["A"]}, ConfigError, "'A' would be shuffled with it"),
        ({"x1": ["x0"]}, ConfigError, "'x1' is both excluded and under 'donors'"),
    ],
)
def test_donors_that_cannot_be_are_refused(asked, error, told):
    exclude = ["x1"] if "x1" in asked else []
    with pytest.raises(error, match=told):
        job_of({**EVERYTHING, "donors": asked, "exclude": exclude})


def test_too_few_rows_to_learn_from_are_refused():
    with pytest.raises(DataError, match="takes 100 in all; there are 90"):
        job_of({}, rows=data(90))


def test_a_configuration_without_the_key_keeps_its_digest_and_one_with_it_has_another():
    plain = AuditConfig()
    assert "donors" not in plain.analysis.model_dump()
    with_donors = AuditConfig(analysis={"donors": "conditional"})
    assert plain.digest() != with_donors.digest() != AuditConfig(analysis={"donors": {"x": ["y"]}}).digest()
    with pytest.raises(AuditError, match="donors"):
        parse_config({"analysis": {"donors": "conditionall"}})
