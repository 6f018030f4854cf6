"""Runs that are damaged, or that somebody has made up: they hinder nobody, and no older pass stands in for them."""

import io
import time
from types import SimpleNamespace

import mlflow
import pandas as pd
import pytest

from nnperm_mlflow import audit, compare, history
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import AuditError, CheckError, EvidenceError, RefusedError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.promotion.alias_promotion import promote
from nnperm_mlflow.registry.tags import RUN_TAG
from tests.support.house import build_house, register
from tests.support.recorded import copied_audit

FIRST, SECOND = "models:/damageable/1", "models:/damageable/2"
CHECKS = {"checks": [{"feature": "region", "max": 0.9}, {"against": FIRST, "statistic": "mean", "max_shift": 0.9}]}


@pytest.fixture(scope="module")
def audited(store, tmp_path_factory):
    """Two versions with an audit each, the second's with a pass, and the summary of that as text."""
    mlflow.set_tracking_uri(store)
    house = build_house(tmp_path_factory.mktemp("damaged"), "damageable")
    register(house)
    register(house)
    first = audit(house.settings(), model_uri=FIRST)
    second = audit({**house.settings(), **CHECKS}, model_uri=SECOND)
    assert second.verdict.status == "pass"
    summary = mlflow.artifacts.load_text(f"runs:/{second.run_id}/summary.csv")
    return SimpleNamespace(house=house, first=first.run_id, second=second.run_id, summary=summary)


@pytest.fixture
def copies(audited, tracked):
    """Make copies of audits that end later; they go again."""
    made = []

    def copy(run_id, **changed):
        made.append(copied_audit(tracked, run_id, **changed))
        return made[-1]

    yield copy
    for run_id in made:
        tracked.delete_run(run_id)


def without(summary, column):
    return pd.read_csv(io.StringIO(summary), dtype=str, keep_default_na=False).drop(columns=column).to_csv(index=False)


def with_summary(change):
    return lambda summary: {"files": {"summary.csv": change(summary)}}


def some_lines(*numbers):
    return with_summary(lambda summary: "".join(summary.splitlines(keepends=True)[number] for number in numbers))


DAMAGES = {
    "no median_low": with_summary(lambda summary: without(summary, "median_low")),
    "no summary": with_summary(lambda _: None),
    "no row": some_lines(0),
    "a row twice": some_lines(0, 1, 1),
    "text for numbers": with_summary(lambda summary: summary.replace("0.", "o.")),
    "a column twice": with_summary(lambda summary: summary.replace(",mean,", ",median,", 1)),
    "no configuration": lambda _: {"files": {"config.yaml": None}},
    "another configuration": lambda _: {"files": {"config.yaml": "analysis: {speed: 3}"}},
    "repeats": lambda _: {"params": {"repeats_made": "9" * 5000}},
    "rows": lambda _: {"params": {"rows": "all"}},
    "what leads": lambda _: {"params": {"order_by": "goodness"}},
    "changed": lambda _: {"files": {"summary.csv": "age"}, "params": {"summary_digest": "0" * 64}},
}


def test_damaged_audits_are_passed_over_with_a_line_where_others_are_there(audited, copies, caplog):
    changes = [damage(audited.summary) for damage in DAMAGES.values()]
    damaged = [copies(run_id, **change) for change in changes for run_id in (audited.first, audited.second)]
    assert compare(FIRST, SECOND).audits == (audited.first, audited.second)
    for run_id in damaged:
        assert f"run {run_id} is passed over: run {run_id} is damaged, or was made up: " in caplog.text
    caplog.clear()
    assert check(run_id=audited.second).verdict.baselines == {FIRST: FIRST}
    assert all(f"run {run_id} is passed over" in caplog.text for run_id in damaged)
    events = {(event.run_id, event.kind): event for event in history("damageable").events}
    assert {run_id for run_id, _ in events} == {*damaged, audited.first, audited.second}
    assert events[audited.second, "audit"].is_readable


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_older_pass_stands_in_for_a_newest_audit_that_is_damaged(audited, copies, damage):
    run_id = copies(audited.second, **DAMAGES[damage](audited.summary))
    told = (
        rf"the newest audit of {SECOND} cannot be read, and no older one stands in for it: run {run_id} is damaged, .*"
        rf"Or delete run {run_id}, if it is nobody's audit, or name the audit that is meant \(--run\)"
    )
    with pytest.raises(EvidenceError, match=told):
        check(SECOND, policy=Policy.model_validate(CHECKS))
    with pytest.raises(RefusedError, match=told):
        promote(SECOND, "champion")


def test_the_audit_that_is_meant_can_be_named_where_the_newest_is_damaged(audited, copies):
    copies(audited.second, files={"summary.csv": None})
    assert check(run_id=audited.second).verdict.status == "pass"
    assert promote(SECOND, "champion", run_id=audited.second).run_id == audited.second


def test_whatever_column_a_summary_lacks_all_that_is_told_of_it_is_told_in_words(audited, copies):
    """Or an audit whose summary has no such column is as good as any."""
    lacking = {}
    for column in audited.summary.splitlines()[0].split(","):
        run_id = copies(audited.second, files={"summary.csv": without(audited.summary, column)})
        try:
            check(SECOND)
        except AuditError:
            lacking[column] = run_id
    assert {"perturbation", "median", "median_low", "measurable"} <= set(lacking)
    assert "q05" not in lacking
    unreadable = {event.run_id for event in history("damageable", verify=True).events if not event.is_readable}
    assert unreadable == set(lacking.values())


def test_a_number_whose_interval_was_left_out_is_no_certain_one(audited, copies):
    """Without the columns a limit was held against the number alone, and what was undecided was kept."""
    left_out = without(audited.summary, ["mean_low", "mean_high"])
    copies(audited.second, files={"summary.csv": left_out})
    with pytest.raises(CheckError, match="how sure mean of 'region' is cannot be told"):
        check(SECOND, policy=Policy.model_validate({"format": 2, "checks": [{"feature": "region", "max": 0.9}]}))


def test_times_that_no_calendar_has_hinder_nobody(audited, copies, tracked):
    run_id = copies(audited.second)
    tracked.set_terminated(run_id, end_time=10**17)
    assert run_id in {event.run_id for event in history("damageable").events}
    assert check(SECOND).verdict.subject.run_id == audited.second


def test_a_damaged_audit_that_ends_later_keeps_the_version_from_no_tags(audited, copies, tracked, caplog):
    """It was taken for the newest, so that an audit could not be written to its end."""
    soon = int(time.time() * 1000) + 120_000  # within what clocks may differ by
    damaged = copies(audited.second, files={"summary.csv": without(audited.summary, "median_low")}, end=soon)
    result = audit({**audited.house.settings(), **CHECKS}, model_uri=SECOND)
    assert tracked.get_model_version("damageable", "2").tags[RUN_TAG] == result.run_id
    assert f"run {damaged} is passed over" in caplog.text


def test_a_finished_run_that_only_bears_the_tags_of_an_audit_is_told_of(audited, tracked, caplog):
    """It ended last, and nothing of it could be held against a digest: the audit before it stands."""
    tags = {"nnperm.kind": "audit", "nnperm.model": SECOND}
    newest = check(model_uri=SECOND).verdict.subject.run_id
    run_id = tracked.create_run(tracked.get_run(audited.second).info.experiment_id, tags=tags).info.run_id
    try:
        tracked.set_terminated(run_id, "FINISHED")
        assert check(model_uri=SECOND).verdict.subject.run_id == newest
        assert f"run {run_id} is passed over: its tags say that it is an audit of {SECOND}" in caplog.text
    finally:
        tracked.delete_run(run_id)
