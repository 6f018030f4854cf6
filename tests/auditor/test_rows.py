"""Audits of a sample of the rows: which rows, with which numbers, and where it is told."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import keras
import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.text import Text
from pyarrow import parquet as pq

from nnperm_mlflow import audit, compare, plan_audit, promote
from nnperm_mlflow.analysis.difference.feature_order import pair_errors
from nnperm_mlflow.analysis.difference.table_comparison import compare_tables
from nnperm_mlflow.analysis.engine.table import table_metadata
from nnperm_mlflow.analysis.perturbation.deal import Deal
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import CheckError, ConfigError, EvidenceError, RefusedError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.inputs.slots import Feature, Slot
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.verdict._estimates import Estimate
from tests.support.forging import forged
from tests.support.house import build_house, register

N_ROWS, BATCH = 400, 50


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    for module in ("engine.job", "perturbation.deal"):
        monkeypatch.setattr(f"nnperm_mlflow.analysis.{module}.BATCH_ROWS", BATCH)


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


def read_artifacts(client, run_id):
    return Path(mlflow.artifacts.download_artifacts(run_id=run_id))


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
    fixed = {rows: audit(asked(house, rows=rows), model_uri="models:/drawn/1") for rows in (200, n_rows)}
    assert set(found.summary["rows"]) == set(fixed)  # what was narrow on 200 rows stopped there
    assert "perturbations were sure enough on fewer" in caplog.text
    table, summary = by_row(found), found.summary.set_index("perturbation")
    for name, row in summary.iterrows():
        of_its_rows = fixed[row["rows"]]
        told = of_its_rows.summary.set_index("perturbation").loc[name]
        pd.testing.assert_series_equal(row, told)
        expected = by_row(of_its_rows)[name]
        pd.testing.assert_series_equal(table[name].dropna(), expected)
        assert table[name].isna().sum() == n_rows - len(expected)


def test_what_is_not_audited_is_null_and_of_that_the_table_tells(house, tracked):
    """Nulls, and no NaN: nobody takes them for rows that were left out. A profile is of all rows of the last look."""
    found = audit(asked(house, rows="auto", precision=0.04, profile=["age"]), model_uri="models:/drawn/1")
    fixed = audit(asked(house, rows=300, profile=["age"]), model_uri="models:/drawn/1")
    pd.testing.assert_frame_equal(found.profiles, fixed.profiles)
    table = pq.read_table(found.directory / "deviations.parquet")
    told = {done["perturbation"]: done for done in table_metadata(table.schema)["perturbations"]}
    summary = found.summary.set_index("perturbation")
    assert not summary["skipped"].any()
    for name, done in told.items():
        n_rows = summary.loc[name, "rows"]
        assert done.get("rows", 300) == n_rows
        assert table.column(done["column"]).is_valid().to_pylist() == [place < n_rows for place in range(300)]


def test_audits_of_which_perturbations_stopped_are_compared_on_the_rows_that_both_have(house, tracked):
    """With itself on all rows, a sample does not differ, to the last bit, whatever stopped where."""
    uri = f"models:/drawn/{register(house)}"
    stopped = audit(asked(house, rows="auto", precision=0.04), model_uri="models:/drawn/1")
    whole = audit(asked(house, rows=300), model_uri=uri)
    tables = [found.directory / "deviations.parquet" for found in (stopped, whole)]
    for pair, summaries in (
        (tables, (stopped.summary, whole.summary)),
        (tables[::-1], (whole.summary, stopped.summary)),
    ):
        told = compare_tables(*pair, *summaries).differences
        assert told["mean_difference"].abs().max() < 1e-12
        assert told["difference"].abs().max() < 1e-12
        assert (told["mean_difference_high"] - told["mean_difference_low"]).max() < 1e-12
    errors = [
        pair_errors(table, summary, "mean", ["income"], ["balance"]).errors["income"]["balance"]
        for table, summary in zip(tables, (stopped.summary, whole.summary), strict=True)
    ]
    fewer = audit(asked(house, rows=200), model_uri="models:/drawn/1")
    least = pair_errors(fewer.directory / "deviations.parquet", fewer.summary, "mean", ["income"], ["balance"])
    assert errors[1] <= errors[0] <= least.errors["income"]["balance"]


def test_perturbations_go_on_where_scores_or_segments_are_told_or_a_policy_wants_rows(house, tracked):
    for more in ({"scores": ["roc_auc"]}, {"segments": ["region"]}):
        found = audit(asked(house, rows="auto", precision=0.04, **more), model_uri="models:/drawn/1")
        assert found.summary["rows"].nunique() == 1
    settings = {**asked(house, rows="auto", precision=0.04), "format": 2, "requires": {"rows": 250}}
    found = audit({**settings, "checks": [{"feature": "flag", "max": 0.9}]}, model_uri="models:/drawn/1")
    assert found.summary["rows"].nunique() == 1
    assert found.verdict.status == "pass"


def test_rows_auto_looks_at_more_rows_without_predicting_the_first_again(house, tracked, caplog):
    """Every look at 200, 300 and 350 rows costs what it adds; in the end wide intervals are named."""
    with caplog.at_level(logging.INFO, "nnperm_mlflow"):
        found = audit(asked(house, rows="auto", precision=1e-5, max_rows=399), model_uri="models:/drawn/1")
    assert len(found.table) == 350
    assert caplog.text.count("wide") == 4
    assert "350 of 400 rows (random, seed 3), the most there are or allowed" in caplog.text
    at_once = audit(asked(house, rows=350), model_uri="models:/drawn/1")
    assert found.metrics["nnperm/model_calls"] <= at_once.metrics["nnperm/model_calls"]


def decided(house, *checks, **analysis):
    """What is asked for where checks decide on how many rows they are decided."""
    return {**asked(house, rows="auto", **analysis), "format": 2, "checks": list(checks)}


def mean_of(found, level):
    """The mean of `income`, with its interval at a share of the level."""
    row = found.summary.set_index("perturbation").loc["income"]
    return Estimate(row["mean"], row["mean_low"], row["mean_high"]).of_family(level, "mean")


def test_an_audit_stops_at_the_look_that_decides_each_check_and_its_verdict_says_so(house, sampled, tracked, caplog):
    """On 200 rows the interval at a third of the level reaches beyond a limit that it keeps on 300."""
    first = audit(asked(house, rows=200), model_uri="models:/drawn/1")
    wide, narrow = mean_of(first, 3), mean_of(sampled[1], 3)
    assert narrow.high < wide.high
    limit = (narrow.high + wide.high) / 2
    checks = [{"feature": "income", "statistic": "mean", "max": limit}, {"feature": "age", "max": 0.9}]
    with caplog.at_level(logging.INFO, "nnperm_mlflow"):
        found = audit(decided(house, *checks), model_uri="models:/drawn/1")
    assert "200 of 400 rows (random, seed 3): undecided: 'mean of income is at most" in caplog.text
    assert "300 of 400 rows (random, seed 3) are enough" in caplog.text
    verdict = found.verdict
    assert verdict.status == "pass"
    assert (verdict.subject.rows, verdict.subject.look, verdict.subject.looks) == (300, 2, 3)
    number = verdict.outcomes[0].finding.number
    assert (number.low, number.high) == pytest.approx((narrow.low, narrow.high))
    told = json.loads((read_artifacts(tracked, found.run_id) / "verdict.json").read_text())
    assert (told["subject"]["look"], told["subject"]["looks"]) == (2, 3)
    assert told["checks"][0]["levels"]["holds"] == pytest.approx(0.025 / 3)
    assert "look 2 of 3" in (read_artifacts(tracked, found.run_id) / "audit.md").read_text()
    pd.testing.assert_frame_equal(found.table, audit(asked(house, rows=300), model_uri="models:/drawn/1").table)
    again = check(run_id=found.run_id).verdict
    assert again.as_dict() == verdict.as_dict()


def test_what_stays_undecided_ends_with_the_most_rows_that_are_allowed(house, tracked, caplog):
    at_the_limit = mean_of(audit(asked(house, rows=350), model_uri="models:/drawn/1"), 1).value
    check_at_limit = {"feature": "income", "statistic": "mean", "max": at_the_limit}
    with caplog.at_level(logging.WARNING, "nnperm_mlflow"):
        found = audit(decided(house, check_at_limit, max_rows=399), model_uri="models:/drawn/1")
    assert (found.verdict.subject.rows, found.verdict.subject.look, found.verdict.subject.looks) == (350, 3, 3)
    assert "350 of 400 rows (random, seed 3), the most there are or allowed: undecided: 'mean of income" in caplog.text
    assert (found.verdict.status, found.verdict.result) == ("fail", "undecided")


def test_rows_that_a_policy_requires_are_gone_on_for(house, tracked):
    """A check that is decided on 200 rows is judged on no fewer than the policy asks for."""
    settings = {**decided(house, {"feature": "income", "max": 0.9}), "requires": {"rows": 250}}
    assert audit(settings, model_uri="models:/drawn/1").verdict.subject.rows == 300


def test_what_could_not_be_decided_by_more_rows_is_refused(house, tracked):
    against = {"against": "models:/drawn@champion", "statistic": "mean", "max_shift": 0.9}
    with pytest.raises(ConfigError, match="a check compares with 'models:/drawn@champion'"):
        audit(decided(house, against), model_uri="models:/drawn/1")
    with pytest.raises(ConfigError, match="pairs of features are told of once the rows are there"):
        audit(decided(house, {"pair": "any", "max": 0.9}), model_uri="models:/drawn/1")
    with pytest.raises(ConfigError, match="how wide an interval may be \\(precision\\), or what must be decided"):
        audit(asked(house, rows="auto"), model_uri="models:/drawn/1")


def test_the_plan_of_an_audit_that_a_verdict_ends_tells_its_looks(house, tracked):
    planned = plan_audit(decided(house, {"feature": "income", "max": 0.9}), model_uri="models:/drawn/1")
    assert dict(planned.facts)["rows"] == "200 at first, then more, at most 400, until each check is decided"


def test_the_plan_tells_the_first_look_and_the_last_that_may_be(house, tracked):
    planned = plan_audit(asked(house, rows="auto", precision=0.01), model_uri="models:/drawn/1")
    facts = dict(planned.facts)
    assert facts["rows"] == (
        "200 at first, then more, at most 400, until intervals are 0.01 wide at most: about 400, as a batch lets expect"
    )
    assert "s at most" in facts["expected time"]
    assert "200 of 400 rows" in planned.subject


def test_the_rows_that_a_plan_expects_are_about_those_that_an_audit_takes(house, tracked):
    """Of 50 rows widths are known badly: the looks before and after count as right, too."""
    for precision in (0.2, 0.04):
        settings = asked(house, rows="auto", precision=precision)
        took = len(audit(settings, model_uri="models:/drawn/1").table)
        expected = plan_audit(settings, model_uri="models:/drawn/1").expected_rows
        looks = [200, 300, 400]
        assert abs(looks.index(expected) - looks.index(took)) <= 1
    assert plan_audit(asked(house, rows="auto", precision=0.5), model_uri="models:/drawn/1").expected_rows == 200


@pytest.mark.slow
def test_a_sample_whose_size_was_found_out_is_promoted_by_another_audit(house, tracked, tmp_path):
    settings = asked(house, rows="auto", precision=0.04, repeats=2)
    settings |= {"format": 2, "checks": [{"feature": "income", "max": 0.9}]}
    file = tmp_path / "sampled.yaml"
    file.write_text(yaml.safe_dump(settings))
    assert audit(file, model_uri="models:/drawn/1").verdict.status == "pass"
    promote("models:/drawn/1", alias="sampled", recompute=True)
    assert str(tracked.get_model_version_by_alias("drawn", "sampled").version) == "1"


@pytest.mark.slow
def test_an_audit_that_a_verdict_ended_is_promoted_by_another_audit_at_the_same_look(house, tracked, tmp_path):
    """And neither judged nor promoted where it says that there were fewer looks, so that it would be surer."""
    file = tmp_path / "decided.yaml"
    file.write_text(yaml.safe_dump(decided(house, {"feature": "income", "max": 0.9})))
    found = audit(file, model_uri="models:/drawn/1")
    assert found.verdict.subject.look == 1
    promote("models:/drawn/1", alias="decided", recompute=True)
    assert str(tracked.get_model_version_by_alias("drawn", "decided").version) == "1"
    for told in ({"looks": "1"}, {"look": "2"}):
        lie = forged(tracked, found.run_id, tmp_path, **told)
        with pytest.raises(EvidenceError, match="there is no such look"):
            check(run_id=lie)
        with pytest.raises(RefusedError, match="there is no such look"):
            promote("models:/drawn/1", alias="forged", run_id=lie)


@pytest.mark.parametrize(
    ("analysis", "why"),
    [
        ({"repeats": "auto"}, "'repeats: auto' needs 'precision'"),
        ({"precision": 0.1}, "'precision' goes with 'repeats: auto' or 'rows: auto'"),
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
