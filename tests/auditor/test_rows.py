"""Audits of a sample of the rows: which rows, with which numbers, and where it is told."""

import logging
from dataclasses import replace

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.text import Text

from nnperm_mlflow import audit, compare, plan_audit, promote
from nnperm_mlflow.analysis.difference.table_comparison import compare_tables
from nnperm_mlflow.analysis.perturbation.deal import Deal
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import CheckError, ConfigError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.inputs.slots import Feature, Slot
from nnperm_mlflow.registry.records import read_audit
from tests.support.house import build_house, register

N_ROWS, BATCH = 400, 50


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("nnperm_mlflow.analysis.engine.job.BATCH_ROWS", BATCH)


@pytest.fixture(scope="module")
def house(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    made = build_house(tmp_path_factory.mktemp("drawn"), "drawn")
    register(made)
    return made


@pytest.fixture(scope="module")
def sampled(house, store, tmp_path_factory):
    """An audit of 150 of the 400 rows, and one of 300."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("nnperm_mlflow.analysis.engine.job.BATCH_ROWS", BATCH)
        folder = tmp_path_factory.mktemp("sampled")
        return [
            audit(asked(house, rows=rows, segments=["region"]), model_uri="models:/drawn/1", output=folder / str(rows))
            for rows in (140, 300)
        ]


def asked(house, **analysis):
    return {**house.settings(), "analysis": {"seed": 3, **analysis}}


def by_row(found):
    return found.table.set_index("row").sort_index()


def test_a_sample_is_random_rows_with_donors_from_their_own_batch(house, sampled):
    """What comes of `income` is found again from the network and the batches of a deal of all rows."""
    table, found = by_row(sampled[0]), {}
    income = Feature("income", (Slot("num_input", (1,)),), "number")
    deal = Deal(N_ROWS, 3, block_rows=BATCH)
    for block in deal.first(3):
        inputs = {name: array[block.rows] for name, array in house.inputs.items()}
        before = house.network(inputs, training=False).numpy()[:, 0]
        donors = deal.donors(block, income, 0)
        assert (donors != np.arange(len(donors))).all()
        inputs["num_input"] = inputs["num_input"].copy()
        inputs["num_input"][:, 1] = inputs["num_input"][donors, 1]
        after = house.network(inputs, training=False).numpy()[:, 0]
        found |= dict(zip(block.rows.tolist(), np.abs(after - before), strict=True))
    assert sorted(found) == list(table.index)
    assert len(found) == 150
    np.testing.assert_allclose(table["income"], [found[row] for row in table.index], atol=1e-6)
    assert (table["row_id"] == house.table["client"].iloc[table.index].to_numpy()).all()


def test_a_smaller_sample_is_a_part_of_a_larger_one_to_the_last_bit(sampled):
    few, more = map(by_row, sampled)
    assert (len(few), len(more)) == (150, 300)
    shared = few.columns.intersection(more.columns)
    assert {"age", "income", "region", "balance", "flag=1"} <= set(shared)
    pd.testing.assert_frame_equal(few[shared], more.loc[few.index, shared])


def test_rows_of_a_sample_are_told_wherever_an_audit_is(sampled, tracked, tmp_path):
    found = sampled[0]
    words = "150 of 400 rows (random, seed 3)"
    run = tracked.get_run(found.run_id)
    assert (run.data.params["rows"], run.data.params["sampled_rows"]) == ("400", "150")
    assert (run.data.metrics["nnperm/rows"], run.data.metrics["nnperm/data_rows"]) == (150, 400)
    record = read_audit(tracked, found.run_id, tmp_path)
    assert (record.rows, record.data_rows, record.rows_in_words) == (150, 400, words)
    assert f"on {words}" in (found.directory / "audit.md").read_text()
    assert found.subtitle == f"models:/drawn/1 on {words}"
    drawn = " ".join(text.get_text() for text in found.figure.findobj(Text))
    assert words in " ".join(drawn.split())
    description = tracked.get_model_version("drawn", "1").description  # of the newer audit
    assert "on 300 of 400 rows (random, seed 3): predictions move most" in description
    assert (found.summary["rows"] == 150).all()
    assert found.segments.segments.groupby("perturbation")["rows"].sum().eq(150).all()


def test_two_samples_are_compared_on_the_rows_that_they_share(house, sampled, tracked):
    """As if both were of these rows alone; the interval of a mean is the same, which such audits have."""
    network = keras.models.clone_model(house.network)
    network.set_weights([0.7 * weights for weights in house.network.get_weights()])
    uri = f"models:/drawn/{register(replace(house, network=network))}"
    small, large = (audit(asked(house, rows=rows), model_uri=uri) for rows in (150, 300))
    few, more = by_row(sampled[0]), by_row(large).loc[by_row(sampled[0]).index]
    tables = [found.directory / "deviations.parquet" for found in (sampled[0], large, small)]
    shared = compare_tables(*tables[:2], sampled[0].summary, large.summary)
    alone = compare_tables(tables[0], tables[2], sampled[0].summary, small.summary)
    assert shared.shared_rows == alone.shared_rows == 150
    told, expected = (each.differences.set_index("perturbation") for each in (shared, alone))
    for name in told.index:
        assert told.loc[name, "mean_difference"] == pytest.approx(more[name].mean() - few[name].mean(), abs=1e-7)
        assert told.loc[name, "difference"] == pytest.approx(more[name].median() - few[name].median(), abs=1e-7)
        for end in ("mean_difference_low", "mean_difference_high", "mean_b", "median_b"):
            assert told.loc[name, end] == pytest.approx(expected.loc[name, end], abs=1e-9)
    turned = compare_tables(tables[1], tables[0], large.summary, sampled[0].summary).differences.set_index(
        "perturbation"
    )
    np.testing.assert_allclose(turned["mean_difference"], -told["mean_difference"].loc[turned.index], atol=1e-12)


def test_a_comparison_tells_how_many_rows_both_have(house, sampled, tracked):
    copied = f"models:/drawn/{register(house)}"
    audit(asked(house, rows=200, segments=["region"]), model_uri=copied)
    compared = compare("models:/drawn/1", copied)
    n_shared = compared.comparison.shared_rows
    assert n_shared in (150, 200)
    assert compared.how.startswith(f"the same {n_shared} of 400 rows (random, seed 3) of house.parquet with the same")
    assert compared.table["mean_difference"].abs().max() == 0  # one network
    assert compared.table["mean_a_low"].notna().any() != (len(sampled[1].table) > n_shared)


def test_a_policy_counts_the_rows_of_the_sample(sampled):
    policy = {"format": 2, "checks": [{"feature": "income", "max": 0.9}], "requires": {"rows": 200}}
    with pytest.raises(CheckError, match="at least 200 rows, and it has 150"):
        check(run_id=sampled[0].run_id, policy=Policy.model_validate(policy))
    assert check(run_id=sampled[1].run_id, policy=Policy.model_validate(policy)).verdict.status == "pass"


def test_of_too_few_rows_all_are_audited_and_that_is_said(house, tracked, caplog):
    with caplog.at_level(logging.WARNING, "nnperm_mlflow"):
        found = audit(asked(house, rows=5_000), model_uri="models:/drawn/1")
    assert "5,000 rows are asked for, and there are 400: all are audited" in caplog.text
    assert len(found.table) == N_ROWS
    assert " on 400 rows of house.parquet" in found.subtitle


def test_rows_auto_ends_with_the_audit_of_a_sample_of_its_size(house, tracked, caplog):
    with caplog.at_level(logging.INFO, "nnperm_mlflow"):
        found = audit(asked(house, rows="auto", precision=0.04), model_uri="models:/drawn/1")
    n_rows = len(found.table)
    assert n_rows == 300
    widths = found.summary["mean_high"] - found.summary["mean_low"]
    assert widths[found.summary["way"] != "set"].max() <= 0.04
    assert f"{n_rows} of 400 rows (random, seed 3) are enough" in caplog.text
    fixed = audit(asked(house, rows=n_rows), model_uri="models:/drawn/1")
    pd.testing.assert_frame_equal(found.table, fixed.table)
    pd.testing.assert_frame_equal(found.summary, fixed.summary)


def test_rows_auto_looks_at_more_rows_without_predicting_the_first_again(house, tracked, caplog):
    """Every look at 200, 300 and 350 rows costs what it adds; in the end wide intervals are named."""
    with caplog.at_level(logging.INFO, "nnperm_mlflow"):
        found = audit(asked(house, rows="auto", precision=1e-5, max_rows=399), model_uri="models:/drawn/1")
    assert len(found.table) == 350
    assert caplog.text.count("wide") == 4
    assert "350 of 400 rows (random, seed 3), the most there are or allowed" in caplog.text
    at_once = audit(asked(house, rows=350), model_uri="models:/drawn/1")
    assert found.metrics["nnperm/model_calls"] <= at_once.metrics["nnperm/model_calls"]


def test_the_plan_tells_the_first_look_and_the_last_that_may_be(house, tracked):
    planned = plan_audit(asked(house, rows="auto", precision=0.01), model_uri="models:/drawn/1")
    facts = dict(planned.facts)
    assert facts["rows"] == "200 at first, then more, at most 400, until intervals are 0.01 wide at most"
    assert "s at most" in facts["expected time"]
    assert "200 of 400 rows" in planned.subject


@pytest.mark.slow
def test_a_sample_whose_size_was_found_out_is_promoted_by_another_audit(house, tracked, tmp_path):
    settings = asked(house, rows="auto", precision=0.04, repeats=2)
    settings |= {"format": 2, "checks": [{"feature": "income", "max": 0.9}]}
    file = tmp_path / "sampled.yaml"
    file.write_text(yaml.safe_dump(settings))
    assert audit(file, model_uri="models:/drawn/1").verdict.status == "pass"
    promote("models:/drawn/1", alias="sampled", recompute=True)
    assert str(tracked.get_model_version_by_alias("drawn", "sampled").version) == "1"


@pytest.mark.parametrize(
    ("analysis", "why"),
    [
        ({"rows": "auto"}, "'rows: auto'\\): how wide an interval may be"),
        ({"rows": "auto", "repeats": "auto", "precision": 0.1}, "say one of the two"),
        ({"rows": 100, "max_rows": 200}, "'max_rows' goes with 'rows: auto'"),
        ({"rows": 0}, "greater than or equal to 1"),
        (
            {"rows": "auto", "precision": 0.1, "scores": ["roc_auc"], "p_values": True},
            "'p_values' hold for a number of rows that is fixed beforehand",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_a_row_is_read(house, analysis, why):
    with pytest.raises(ConfigError, match=why):
        audit(asked(house, **analysis), model_uri="models:/drawn/1")
