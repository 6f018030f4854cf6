"""Segments in an audit of a real network: what is written, read back, judged and promoted."""

from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from nnperm_mlflow import audit, promote
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import CheckError, DataError, EvidenceError
from nnperm_mlflow.cli.findings_text import describe
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.evidence.audit_folder import FolderFiles
from nnperm_mlflow.registry.records import read_audit
from tests.support.house import build_house, register


@pytest.fixture(scope="module")
def house(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    made = build_house(tmp_path_factory.mktemp("parted"), "parted")
    register(made)
    return made


def asked(house, *segments, **more):
    settings = house.settings()
    return {**settings, "analysis": {"seed": 3, "segments": list(segments) or ["region"]}, **more}


def test_segments_are_written_and_read_back_to_the_last_bit(house, tracked, tmp_path):
    found = audit(asked(house, "region", {"age": [0]}), model_uri="models:/parted/1", output=tmp_path / "out")
    assert (tmp_path / "out" / "segments.png").stat().st_size > 10_000
    told = pd.read_csv(tmp_path / "out" / "segments.csv")
    assert list(told["segment"].unique()) == [*(f"region={number}" for number in range(4)), "age <0", "age >=0"]
    by_hand = found.table.merge(house.table, left_on="row_id", right_on="client", suffixes=("", "_of_table"))
    means = by_hand.groupby("region_of_table")["income"].mean()
    of_income = told[(told["perturbation"] == "income") & (told["column"] == "region")]
    np.testing.assert_allclose(of_income["mean"], means, rtol=1e-6)
    back = read_audit(tracked, found.run_id, tmp_path)
    pd.testing.assert_frame_equal(back.segments.segments, found.segments.segments)
    pd.testing.assert_frame_equal(back.segments.differences, found.segments.differences)
    assert len(back.segments.differences) == (6 + 1) * len(found.summary)
    assert "## Parts of the rows" in (tmp_path / "out" / "audit.md").read_text()
    largest, _ = found.segments.largest_differences
    told_to_people = f"segments of region differ most in {largest.what}: {largest.more} has {largest.number} more than"
    assert told_to_people in describe(found, None)


def test_an_audit_that_was_not_asked_tells_nothing_of_segments(house, tracked, tmp_path):
    found = audit(house.settings(), model_uri="models:/parted/1", output=tmp_path / "out")
    assert found.segments is None
    assert not list((tmp_path / "out").glob("segment*"))
    assert read_audit(tracked, found.run_id, tmp_path).segments is None


def test_a_column_that_is_not_there_is_refused_before_the_model_is_asked(house, tracked):
    with pytest.raises(DataError, match="segments names the column 'regions'.*Did you mean 'region'"):
        audit(asked(house, "regions"), model_uri="models:/parted/1")


LIMIT = {"segment": "region", "any": True, "max": 0.9}
DIFFERENCE = {"segment": "region", "feature": "income", "max_difference": 0.5}


@pytest.mark.slow
def test_a_verdict_on_segments_stands_and_the_version_is_promoted_by_it(house, tracked, tmp_path):
    checked = asked(house, "region", format=2, checks=[LIMIT, DIFFERENCE])
    found = audit(checked, model_uri="models:/parted/1", output=tmp_path / "out")
    assert found.verdict.status == "pass"
    assert [len(found.verdict.outcomes), found.verdict.outcomes[1].finding.judged] == [2, 6]
    stricter = Policy.model_validate({"format": 2, "checks": [{**DIFFERENCE, "max_difference": 0.0}]})
    assert check(run_id=found.run_id, policy=stricter).verdict.outcomes[0].finding.state in ("undecided", "fails")
    assert check(run_id=found.run_id, policy=checked_policy(checked)).verdict.status == "pass"
    promote("models:/parted/1", alias="segmented", recompute=True)
    assert str(tracked.get_model_version_by_alias("parted", "segmented").version) == "1"


OF_SCORES = [
    {"segment": "any", "score": "roc_auc", "min": 0.2},
    {"segment": "region", "score": "roc_auc", "max_difference": 0.5},
]


@pytest.mark.slow
def test_scores_of_segments_are_on_record_checked_and_confirmed_by_another_audit(house, tracked, tmp_path):
    settings = asked(house, "region", format=2, checks=OF_SCORES)
    settings["analysis"]["scores"] = ["roc_auc"]
    found = audit(settings, model_uri="models:/parted/1", output=tmp_path / "out")
    told = found.segments.scores.scores
    by_row = found.table.drop_duplicates("row").sort_values("row")
    for row in told.itertuples():
        here = (house.table["region"] == int(row.segment.removeprefix("region="))).to_numpy()
        by_hand = roc_auc_score(house.table["label"][here], by_row["baseline"][here])
        assert row.value == pytest.approx(by_hand, rel=1e-12)
        assert row.low < row.value < row.high
    back = read_audit(tracked, found.run_id, tmp_path)
    pd.testing.assert_frame_equal(back.segments.scores.scores, told)
    pd.testing.assert_frame_equal(back.segments.scores.differences, found.segments.scores.differences)
    assert len(back.segments.scores.differences) == 6
    assert found.verdict.status == "pass"
    assert [outcome.finding.judged for outcome in found.verdict.outcomes] == [4, 6]
    promote("models:/parted/1", alias="scored", recompute=True)
    assert str(tracked.get_model_version_by_alias("parted", "scored").version) == "1"
    file = tmp_path / "out" / "segment_scores.csv"
    file.write_text(file.read_text().replace("region=0", "region=1", 1))
    record = replace(read_audit(tracked, found.run_id, tmp_path), files=FolderFiles(tmp_path / "out"))
    with pytest.raises(EvidenceError, match=r"segment_scores.csv of run .* has been changed"):
        _ = record.segments


def test_a_score_of_segments_that_was_not_asked_for_is_refused_before_the_model_is_asked(house, tracked):
    with pytest.raises(CheckError, match="'roc_auc' is no score of the model itself"):
        audit(asked(house, "region", format=2, checks=OF_SCORES), model_uri="models:/parted/1")


def checked_policy(settings):
    return Policy.model_validate({key: settings[key] for key in ("format", "checks")})


@pytest.mark.slow
def test_a_segment_that_was_not_asked_for_needs_another_audit(house, tracked):
    with pytest.raises(CheckError, match=r"'age' is no segment.*'analysis: \{segments: \[age\]\}'"):
        audit(asked(house, "region", format=2, checks=[{**LIMIT, "segment": "age"}]), model_uri="models:/parted/1")
    found = audit(house.settings(), model_uri="models:/parted/1")
    with pytest.raises(CheckError, match="which has none. Segments need an audit that was asked for them"):
        check(run_id=found.run_id, policy=Policy.model_validate({"format": 2, "checks": [LIMIT]}))


def test_tampered_segments_are_refused(house, tracked, tmp_path):
    found = audit(asked(house), model_uri="models:/parted/1", output=tmp_path / "out")
    record = replace(read_audit(tracked, found.run_id, tmp_path), files=FolderFiles(tmp_path / "out"))
    file = tmp_path / "out" / "segments.csv"
    file.write_text(file.read_text().replace("region=0", "region=1", 1))
    with pytest.raises(EvidenceError, match=r"segments.csv of run .* has been changed"):
        _ = record.segments
