"""An audit with conditional donors, on a real network and a real store: what it leaves, and what checks make of it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nnperm_mlflow import audit, compare, promote
from nnperm_mlflow.basics.errors import CheckError
from nnperm_mlflow.registry.records import read_audit
from tests.support.house import register

pytestmark = pytest.mark.slow

ANALYSIS = {
    "seed": 3, "rare_below": 0, "donors": "conditional", "groups": {"person": ["age", "income"]}, "windows": 2,
    "interactions": [["income", "age"]],
}  # fmt: skip


@pytest.fixture(scope="module")
def settings(house, tmp_path_factory):
    """The house's configuration, on rows in which income goes with age, and a channel with the other."""
    folder = tmp_path_factory.mktemp("conditional")
    settings, rng = house.settings(), np.random.default_rng(0)
    table = pd.read_parquet(settings["data"]["static"])
    table["income"] = table["age"] + 0.3 * rng.normal(size=len(table))
    table.to_parquet(folder / "rows.parquet")
    settings["data"]["static"] = str(folder / "rows.parquet")
    return {**settings, "analysis": ANALYSIS}


@pytest.fixture(scope="module")
def audited(settings, store, tmp_path_factory):
    import mlflow

    mlflow.set_tracking_uri(store)
    return audit(settings, model_uri="models:/house/1", output=tmp_path_factory.mktemp("output"))


def test_plain_shuffles_are_what_they_are_without_the_key(audited, settings, tracked):
    without = audit({**settings, "analysis": {**ANALYSIS, "donors": None}}, model_uri="models:/house/1")
    both = audited.summary.set_index("perturbation").loc[without.summary["perturbation"]]
    shared = [name for name in without.summary if name != "perturbation"]
    pd.testing.assert_frame_equal(both[shared].reset_index(), without.summary[["perturbation", *shared]])
    assert "donors" not in without.summary
    assert "subgroups.csv" not in {file.path for file in tracked.list_artifacts(without.run_id)}
    assert "subgroups" not in tracked.get_run(without.run_id).data.params


def test_every_shuffle_has_a_conditional_one_behind_all_plain_ones(audited):
    ways = audited.summary["way"].tolist()
    n_plain = ways.count("shuffle")
    assert ways == ["shuffle"] * n_plain + ["conditional"] * n_plain
    assert set(audited.conditionals["feature"]) == set(audited.plain["feature"])
    assert (audited.conditionals["donors"] >= 1).all()
    assert audited.plain["donors"].isna().all()
    by_name = audited.summary.set_index("perturbation")
    assert by_name.loc["income conditional", "mean"] < 0.6 * by_name.loc["income", "mean"]
    assert by_name.loc["region conditional", "donors"] > 150  # it goes with nothing, and a half is one subgroup


def test_subgroups_are_told_in_words_with_all_of_their_rows(audited, tracked):
    files = {file.path for file in tracked.list_artifacts(audited.run_id)}
    assert "subgroups.csv" in files
    told = pd.read_csv(audited.directory / "subgroups.csv")
    assert (told.groupby("feature")["rows"].sum() == 400).all()
    assert told.loc[told["feature"] == "income", "where"].str.contains("age is ").all()
    assert (told.loc[told["feature"] == "region", "where"] == "all rows").all()


def test_card_and_picture_have_a_part_for_it_and_windows_do_not(audited):
    card = (audited.directory / "audit.md").read_text()
    _, _, part = card.partition("### Among rows that are alike")
    assert "age conditional" in part
    assert "age conditional" not in card[: len(card) - len(part)]
    texts = [text.get_text() for text in audited.figure.axes[0].texts]
    assert any("AMONG ROWS THAT ARE ALIKE" in text for text in texts)
    assert len(audited.windows) == 4


def test_a_group_is_told_beside_its_members_in_either_way(audited, tracked):
    """Age and income tell the same: each adds little to the other, and the two together what neither does alone."""
    assert "groups.csv" in {file.path for file in tracked.list_artifacts(audited.run_id)}
    told = pd.read_csv(audited.directory / "groups.csv")
    pd.testing.assert_frame_equal(told, audited.groups, check_exact=True)
    assert told["way"].tolist() == ["shuffle", "conditional"]
    conditional = told.loc[1]
    assert conditional["group"] == "person"
    assert conditional["beyond_low"] > 0
    assert "### Groups beside their members" in (audited.directory / "audit.md").read_text()


def test_checks_limit_one_way_alone(settings, audited, tracked):
    """By the numbers of the audit: a limit between the two means of income, and its place among its like."""
    by_name = audited.summary.set_index("perturbation")
    limit = float(by_name.loc["income", "mean_low"] + by_name.loc["income conditional", "mean_high"]) / 2
    own = audited.conditionals[~audited.conditionals["kind"].isin(["group", "window"])]
    last = own.sort_values("mean")["feature"].iloc[0]
    checks = [
        {"name": "conditional", "feature": "income", "way": "conditional", "statistic": "mean", "max": limit},
        {"name": "plain", "feature": "income", "way": "shuffle", "statistic": "mean", "max": limit},
        {"name": "place", "feature": last, "way": "conditional", "statistic": "mean", "rank_at_least": 2},
    ]
    found = audit({**settings, "checks": checks}, model_uri="models:/house/1")
    kept = {outcome.check: outcome.passed for outcome in found.verdict.outcomes}
    assert (kept["conditional"], kept["plain"]) == (True, False)
    place = next(outcome for outcome in found.verdict.outcomes if outcome.check == "place")
    assert place.finding.number.value == len(own)


def test_a_check_on_a_pair_is_judged_and_made_again_by_who_promotes(settings, tracked):
    checks = [{"name": "apart", "pair": ["age", "income"], "max": 0.9}, {"name": "any", "pair": "any", "max": 1e-9}]
    found = audit({**settings, "format": 2, "checks": checks[:1]}, model_uri="models:/house/1")
    (outcome,) = found.verdict.outcomes
    assert outcome.passed
    assert outcome.finding.number.value == found.interactions["mean"][0]
    assert promote("models:/house/1", "paired", run_id=found.run_id, recompute=True).verdict == "pass"
    found = audit({**settings, "format": 2, "checks": checks[1:]}, model_uri="models:/house/1")
    assert found.verdict.status == "fail"
    with pytest.raises(CheckError, match="the audit tells of no pairs of features"):
        audit({**settings, "analysis": {"seed": 3}, "format": 2, "checks": checks[:1]}, model_uri="models:/house/1")


def test_an_audit_without_it_is_told_what_a_check_on_it_needs(settings, tracked):
    asked = {**settings, "analysis": {"seed": 3}}
    check = {"feature": "age", "way": "conditional", "statistic": "mean", "max": 1.0}
    with pytest.raises(CheckError, match="nothing of that kind was disturbed"):
        audit({**asked, "checks": [check]}, model_uri="models:/house/1")


def test_two_versions_are_compared_in_each_way(settings, house, audited, tracked):
    register(replace(house, name="alike"))
    other = audit(settings, model_uri="models:/alike/1")
    result = compare("models:/house/1", "models:/alike/1", config=settings)
    differences = result.comparison.differences
    conditional = differences[differences["way"] == "conditional"]
    assert len(conditional) == len(other.conditionals)
    assert (conditional["mean_difference"] == 0).all()
    own = conditional["rank_a"].dropna()
    assert sorted(own) == [*range(1, len(own) + 1)]
    assert result.comparison.by_way["conditional"].rank_correlation.value == pytest.approx(1)
    (pair,) = result.interactions.to_dict("records")
    assert (pair["first"], pair["second"]) == ("age", "income")
    assert pair["mean_a"] == pair["mean_b"] == other.interactions["mean"][0]
    assert "comparison_interactions.csv" in {file.path for file in tracked.list_artifacts(result.run_id)}
    assert "## What features do together" in (result.directory / "comparison.md").read_text()


def test_the_record_says_who_may_give_to_whom_and_the_audit_can_be_made_again(audited, tracked, tmp_path):
    record = read_audit(tracked, audited.run_id, tmp_path)
    assert len(record.params["subgroups"]) == 64
    again = audit(audited.directory / "config.yaml", output=tmp_path / "again")
    pd.testing.assert_frame_equal(again.summary, audited.summary, check_exact=True)
    assert tracked.get_run(again.run_id).data.params["subgroups"] == record.params["subgroups"]


def test_rows_that_cannot_occur_are_told_in_the_summary_and_may_be_limited(settings, tracked, caplog):
    asked = {"seed": 3, "rare_below": 0, "out_of_data": True, "donors": {"income": ["age"]}, "exclude": ["region"]}
    checks = [
        {"name": "conditional", "any": True, "way": "conditional", "statistic": "out_of_data", "max": 0.7},
        {"name": "plain", "feature": "income", "way": "shuffle", "statistic": "out_of_data", "max": 0.53},
    ]
    found = audit({**settings, "analysis": asked, "checks": checks}, model_uri="models:/house/1")
    by_name = found.summary.set_index("perturbation")["out_of_data"]
    assert by_name["income"] > 0.6  # of 400 rows; more would show it better
    assert by_name["income conditional"] < 0.6
    assert {outcome.check: outcome.passed for outcome in found.verdict.outcomes} == {
        "conditional": True,
        "plain": False,
    }
    assert "### Rows that cannot occur" in (found.directory / "audit.md").read_text()
    with pytest.raises(CheckError, match="'out_of_data' is no statistic of this audit"):
        audit({**settings, "analysis": {"seed": 3}, "checks": checks[1:]}, model_uri="models:/house/1")
