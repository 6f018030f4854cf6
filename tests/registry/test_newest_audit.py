"""Which of a version's audits is the newest: MLflow takes the end of a run from whoever writes it."""

import logging
import re
import time

import mlflow
import pytest

from nnperm_mlflow import audit, check, history
from nnperm_mlflow.basics.errors import EvidenceError
from nnperm_mlflow.registry.audits import SKEW_MS, find_audits
from nnperm_mlflow.registry.publisher import is_newest
from nnperm_mlflow.registry.sightings import Sightings
from tests.support.house import build_house, register

MINUTE, DAY = 60_000, 86_400_000
KEPT = {"format": 2, "checks": [{"feature": "region", "max": 0.9}]}


def now():
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def version(store, tmp_path_factory):
    """The URI of a version with two audits, the second of which is the newest."""
    mlflow.set_tracking_uri(store)
    home = build_house(tmp_path_factory.mktemp("newest"), "newest")
    uri = f"models:/newest/{register(home)}"
    runs = [audit({**home.settings(), **KEPT}, model_uri=uri).run_id for _ in range(2)]
    return uri, runs


@pytest.fixture
def runs(version, tracked):
    """The two audits; their ends are put back afterwards."""
    ends = {run_id: tracked.get_run(run_id).info.end_time for run_id in version[1]}
    yield version[1]
    for run_id, end in ends.items():
        tracked.set_terminated(run_id, end_time=end)


def found(tracked, uri, **more):
    return [run.info.run_id for run in find_audits(tracked, uri, **more)]


def test_an_audit_that_ends_ahead_of_time_is_not_the_newest(version, runs, tracked, caplog):
    first, second = runs
    tracked.set_terminated(first, end_time=now() + 2 * DAY)
    assert found(tracked, version[0]) == [second]
    assert re.search(rf"run {first} is passed over: it tells as its end 20\d\d-.* and was there on", caplog.text)
    assert check(version[0]).verdict.subject.run_id == second
    assert is_newest(tracked, version[0], second)
    assert not is_newest(tracked, version[0], first)
    check(run_id=first)
    tags = tracked.get_model_version("newest", version[0].rpartition("/")[2]).tags
    assert tags["nnperm.run_id"] == second


def test_a_year_beyond_all_calendars_is_doubtful_too(version, runs, tracked):
    tracked.set_terminated(runs[0], end_time=2**62)
    assert found(tracked, version[0]) == [runs[1]]


def test_an_audit_cannot_end_before_its_version_was_there(version, runs, tracked, caplog):
    created = tracked.get_model_version("newest", version[0].rpartition("/")[2]).creation_timestamp
    for run_id in runs:
        tracked.set_terminated(run_id, end_time=created - SKEW_MS - 1)
    assert found(tracked, version[0]) == []
    assert "and the version was created on" in caplog.text
    assert not is_newest(tracked, version[0], runs[0])
    with pytest.raises(EvidenceError, match="has no finished audit"):
        check(version[0])


def test_clocks_may_differ_by_some_minutes(version, runs, tracked):
    first, second = runs
    created = tracked.get_model_version("newest", version[0].rpartition("/")[2]).creation_timestamp
    tracked.set_terminated(first, end_time=created - SKEW_MS + MINUTE)
    tracked.set_terminated(second, end_time=now() + SKEW_MS - MINUTE)
    assert found(tracked, version[0]) == [second, first]


def test_what_was_seen_first_counts_before_clocks(version, runs, tracked, tmp_path):
    """The first audit is seen before there is a second, and then says that it ended after that."""
    first, second = runs
    sightings = Sightings(tmp_path / "state" / "seen.db")
    sightings.first_seen([first], now())
    tracked.set_terminated(first, end_time=now() + MINUTE)
    assert found(tracked, version[0]) == [first, second]
    assert found(tracked, version[0], sightings=sightings) == [second, first]
    assert found(tracked, version[0], sightings=Sightings(tmp_path / "state" / "seen.db")) == [second, first]


def test_an_end_after_a_run_was_seen_stays_doubtful_once_that_day_has_come(version, runs, tracked, tmp_path):
    first, second = runs
    sightings = Sightings(tmp_path / "seen.db")
    sightings.first_seen([first], tracked.get_run(first).info.end_time - DAY)
    assert found(tracked, version[0], sightings=sightings) == [second]


def test_a_log_that_cannot_be_kept_is_told_and_hinders_nobody(version, runs, tracked, tmp_path, caplog):
    (tmp_path / "file").touch()
    assert found(tracked, version[0], sightings=Sightings(tmp_path / "file" / "seen.db")) == runs[::-1]
    assert "what was seen before is not known" in caplog.text


def test_history_tells_a_doubtful_end_and_draws_none_of_it(version, runs, tracked, caplog):
    caplog.set_level(logging.ERROR)
    first, second = runs
    tracked.set_terminated(first, end_time=now() + 2 * DAY)
    told = history("newest")
    doubtful = [event for event in told.events if event.kind == "audit" and event.doubt]
    assert [event.run_id for event in doubtful] == [first]
    assert "; doubtful: it tells as its end" in doubtful[0].in_words
    assert not doubtful[0].is_evidence
    assert set(told.medians["run_id"]) == {second}
