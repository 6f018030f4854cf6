"""What a group moves beyond its members: by definition, by theory, and as sure as it says."""

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from nnperm_mlflow.analysis.engine.deviation import choose_measure
from nnperm_mlflow.analysis.engine.job import Job
from nnperm_mlflow.analysis.interactions.group_effects import group_effects
from nnperm_mlflow.analysis.interactions.interaction_columns import GROUP_COLUMNS
from nnperm_mlflow.analysis.perturbation.conditional_list import with_conditionals
from nnperm_mlflow.analysis.perturbation.deal import BATCH_ROWS
from nnperm_mlflow.analysis.perturbation.perturbation_list import plan_perturbations
from nnperm_mlflow.analysis.perturbation.sample import Sample
from nnperm_mlflow.analysis.repeats.repeat_loop import find
from nnperm_mlflow.config.audit_config import AnalysisConfig
from tests.support.plain import PlainPredictor, bound

FULL = os.environ.get("NNPERM_FULL_SIMULATIONS") == "1"
GROUP = {"groups": {"both": ["a", "b"]}}


def columns(n_rows, seed=0, correlation=0.0):
    """Return three normal columns of which the first two go together."""
    rng = np.random.default_rng([seed, n_rows])
    first, second, third = rng.normal(size=(3, n_rows))
    return pd.DataFrame({"a": first, "b": correlation * first + np.sqrt(1 - correlation**2) * second, "c": third})


def added(numbers):
    return numbers[:, 0] + numbers[:, 1]


def multiplied(numbers):
    return numbers[:, 0] * numbers[:, 1]


def job_on(table, function, *, repeats=1, seed=0, clusters=None, measure=None, **analysis):
    specs, inputs = bound(table, numbers=[*table])
    settings = AnalysisConfig(**{"rare_below": 0.0, "seed": seed, **GROUP, **analysis})
    plan = with_conditionals(plan_perturbations(inputs, "", settings), inputs, settings, clusters)
    predictor = PlainPredictor(specs, lambda given: function(given["num_input"]))
    return Job(
        predictor, inputs, plan, measure or choose_measure(None, 1, ()), "", seed, repeats, clusters=clusters,
        skips_missing=True,
    )  # fmt: skip


def told_of(job, path, block_rows=1_000):
    find(job, block_rows, path, lambda *_: None)
    return group_effects(job, path)


def by_way(table):
    return table.set_index("way").to_dict("index")


def test_numbers_are_those_of_the_definition(tmp_path):
    """With repeats, rows without a prediction, and blocks of any size."""

    def roots(numbers):
        with np.errstate(invalid="ignore"):
            return np.sqrt(numbers[:, 0] + 2) * numbers[:, 1]

    job = job_on(columns(500), roots, repeats=2)
    found = told_of(job, tmp_path / "t")
    assert tuple(found.columns) == GROUP_COLUMNS
    (row,) = found.to_dict("records")
    written = pd.read_parquet(tmp_path / "t")
    variance = np.nanvar(written.loc[written["repeat"] == 0, "baseline"].to_numpy(float))
    half = {name: np.nanmean(written[name].to_numpy(float) ** 2) / 2 / variance for name in ("a", "b", "both")}
    assert row["total"] == pytest.approx(half["both"])
    assert row["apart"] == pytest.approx(half["a"] + half["b"])
    assert row["beyond"] == pytest.approx(half["both"] - half["a"] - half["b"])
    assert (row["group"], row["way"], row["members"], row["rows"]) == ("both", "shuffle", "a, b", 1_000)
    assert row["skipped"] == written["both"].isna().sum() > 0
    for name in ("total", "apart", "beyond"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    again = told_of(job, tmp_path / "t", block_rows=37)
    pd.testing.assert_frame_equal(again, found, check_exact=True)


CASES = {
    "sum of two": (added, 0.0, (1.0, 1.0)),
    "sum of two that go together": (added, 0.8, (1.0, 2 / 3.6)),
    "difference of two that go together": (lambda numbers: numbers[:, 0] - numbers[:, 1], 0.8, (1.0, 5.0)),
    "product of two": (multiplied, 0.0, (1.0, 2.0)),
}
"""What is known: at once, and one by one. Members that go together add up to more, or less; what two do together is
counted with each of them."""


@pytest.mark.parametrize("case", CASES)
def test_groups_have_the_shares_that_theory_gives(case, tmp_path):
    function, correlation, (total, apart) = CASES[case]
    (row,) = told_of(job_on(columns(20_000, correlation=correlation), function), tmp_path / "t").to_dict("records")
    assert row["total"] == pytest.approx(total, abs=0.08)
    assert row["apart"] == pytest.approx(apart, abs=0.04 * (1 + apart))
    assert row["beyond"] == pytest.approx(total - apart, abs=0.04 * (1 + apart))


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_intervals_hold_what_a_group_moves_beyond_its_members(case, repeats, tmp_path):
    """Of half the mean squares: the variance that these are held against is taken as it is."""
    function, correlation, (total, apart) = CASES[case]
    n_audits, missed = 300 if FULL else 40, 0
    for seed in range(n_audits):
        table = columns(400, seed, correlation)
        (row,) = told_of(job_on(table, function, repeats=repeats, seed=seed), tmp_path / "t").to_dict("records")
        scale = function(table.to_numpy()).var() / function(columns(400_000, 1, correlation).to_numpy()).var()
        missed += not scale * row["beyond_low"] <= total - apart <= scale * row["beyond_high"]
    assert binom.sf(missed - 1, n_audits, 0.07) > 1e-3


def test_what_copies_tell_together_shows_among_rows_that_are_alike(tmp_path):
    """Neither copy tells anything where the other is known; the two of them do."""
    table = columns(2_000).assign(b=lambda rows: rows["a"])
    found = by_way(told_of(job_on(table, added, donors="conditional"), tmp_path / "t"))
    assert found["shuffle"]["apart"] == pytest.approx(0.5, abs=0.05)
    assert found["conditional"]["apart"] < 0.02
    assert found["conditional"]["beyond_low"] > 0.9
    only = told_of(job_on(table, added, donors={"both": ["c"], "a": ["c"]}), tmp_path / "t")
    assert only["way"].tolist() == ["shuffle"]  # 'b' has no conditional shuffle to be added


def test_rows_that_belong_together_tell_less(tmp_path):
    table, clusters = columns(60), np.repeat(np.arange(60), 10)
    table = table.loc[clusters].reset_index(drop=True)
    alone, together = (told_of(job_on(table, added, clusters=each), tmp_path / "t").loc[0] for each in (None, clusters))
    assert together["beyond"] == alone["beyond"]
    assert together["total_high"] - together["total_low"] > 1.5 * (alone["total_high"] - alone["total_low"])
    few = told_of(job_on(table, added, clusters=clusters // 3), tmp_path / "t").loc[0]
    assert np.isnan(few[["beyond_low", "beyond_high", "total_low", "apart_low"]].astype(float)).all()


def test_of_members_that_stopped_before_the_others_the_rows_are_counted_that_there_are(tmp_path):
    table = columns(4 * BATCH_ROWS)
    job = replace(job_on(table, added), in_batches=True)
    job = job.on_sample(Sample.of(job.deal.first(4)), None, None)
    places = {done.name: place for place, done in enumerate(job.perturbations)}
    (row,) = told_of(replace(job, stopped={places["a"]: 1}), tmp_path / "t").to_dict("records")
    written = pd.read_parquet(tmp_path / "t")
    assert written["a"].notna().sum() == job.deal.sizes[0]
    half = {name: np.nanmean(written[name].to_numpy(float) ** 2) / 2 for name in ("a", "b", "both")}
    assert row["apart"] == pytest.approx((half["a"] + half["b"]) / written["baseline"].to_numpy(float).var())
    (whole,) = told_of(job, tmp_path / "t").to_dict("records")
    assert row["beyond_high"] - row["beyond_low"] > 1.5 * (whole["beyond_high"] - whole["beyond_low"])


def test_without_groups_and_of_a_distance_nothing_is_told(tmp_path):
    assert told_of(job_on(columns(100), added, groups={}), tmp_path / "t") is None
    of_two = job_on(columns(100), lambda numbers: numbers[:, :2], measure=choose_measure("l2", 2, ()))
    assert told_of(of_two, tmp_path / "t") is None
