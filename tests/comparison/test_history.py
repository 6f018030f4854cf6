"""The history of a registered model: real audits, verdicts and promotions in a real store, read back in their order."""

import json
import logging
import re
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import keras
import mlflow
import numpy as np
import pytest
import requests
from botocore.exceptions import BotoCoreError
from click.testing import CliRunner
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from nnperm_mlflow import audit, history
from nnperm_mlflow.approval.policy_check import check
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, ModelNotFoundError, RefusedError, TrackingError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.models.model_uri import pin_model
from nnperm_mlflow.promotion.alias_promotion import promote
from nnperm_mlflow.registry.aliases import move_alias
from nnperm_mlflow.registry.audits import find_audits
from nnperm_mlflow.registry.events import Event
from nnperm_mlflow.registry.evidence_cache import EvidenceCache
from tests.support.house import build_house, register

KEPT = {"name": "no reliance on region", "feature": "region", "max": 0.9}
MISSED = {"name": "age is no driver", "feature": "age", "statistic": "mean", "max": 1e-6}
MOMENT = 1_770_000_000_000  # milliseconds since 1970: 2026-02-02T02:40:00Z


def policy(*checks, **more):
    return Policy.model_validate({"checks": list(checks), **more})


def audit_version(home, version, *checks, **more):
    return audit({**home.settings(), "checks": list(checks), **more}, model_uri=f"models:/{home.name}/{version}")


def on_fewer_rows(home, folder):
    """Write other data, and return the settings that name them."""
    home.table.iloc[:300].to_parquet(folder / "fewer.parquet")
    data = home.settings()["data"]
    data["static"] = str(folder / "fewer.parquet")
    series = data["temporal"]["history"]
    fewer = folder / "fewer.npy"
    np.save(fewer, home.history[:300])
    series["file"] = str(fewer)
    return data


@pytest.fixture(scope="module")
def past(store, tmp_path_factory):
    """A model with three versions and a past; the events as they were made, in their order."""
    mlflow.set_tracking_uri(store)
    folder = tmp_path_factory.mktemp("past")
    home = build_house(folder, "recalled")
    other = keras.models.clone_model(home.network)
    other.set_weights([0.5 * weight for weight in home.network.get_weights()])
    for network in (home.network, other, home.network):
        register(replace(home, network=network))
    first = audit_version(home, 1, data=on_fewer_rows(home, folder))
    check(run_id=first.run_id, policy=policy(KEPT))
    check(run_id=first.run_id, policy=policy(MISSED, mode="dry_run"))
    second = audit_version(home, 2, KEPT)
    check(run_id=second.run_id, policy=policy(KEPT, MISSED))
    check(run_id=second.run_id)
    promote("models:/recalled/2", "champion")
    third = audit_version(home, 3, KEPT, analysis={"seed": 3, "groups": {"both": ["age", "income"]}})
    promote("models:/recalled/3", "champion")
    return SimpleNamespace(home=home, first=first, second=second, third=third, store=store)


@pytest.fixture
def told(past, tracked):
    return history("models:/recalled")


def hand_made(client, name, version, kind="audit", status="FINISHED", *, experiment="0", **more):
    """Make a run as an audit leaves it, of which only tags and times are real; return its id."""
    tags = {"nnperm.kind": kind, "nnperm.model": f"models:/{name}/{version}"}
    run_id = client.create_run(experiment, start_time=more.pop("start", MOMENT), tags={**tags, **more}).info.run_id
    client.set_terminated(run_id, status)
    return run_id


def path_of(client, run_id, name):
    return Path(urlparse(client.get_run(run_id).info.artifact_uri).path) / name


def invoke(store, *arguments):
    return CliRunner().invoke(main, ["history", *map(str, arguments), "--tracking-uri", store])


def test_all_audits_verdicts_and_promotions_are_told_in_the_order_in_which_they_happened(past, told):
    assert [(event.kind, event.version, event.verdict) for event in told.events] == [
        ("audit", "1", None),
        ("verdict", "1", "pass"),
        ("verdict", "1", "fail"),
        ("audit", "2", None),
        ("verdict", "2", "pass"),
        ("verdict", "2", "fail"),
        ("verdict", "2", "pass"),
        ("promotion", "2", "pass"),
        ("audit", "3", None),
        ("verdict", "3", "pass"),
        ("promotion", "3", "pass"),
    ]
    assert all(event.is_evidence and event.in_registry for event in told.events)
    moments = [event.when for event in told.events]
    assert moments == sorted(moments)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment) for moment in moments)


def test_an_event_says_what_it_was_where_it_lies_and_who_did_it(past, told, tracked):
    audited, _, dry, *_, fail, _, moved = [event for event in told.events if event.version in "12"]
    run = tracked.get_run(past.first.run_id)
    assert (audited.run_id, audited.experiment_id) == (past.first.run_id, past.first.experiment_id)
    assert audited.who == run.data.tags["mlflow.user"]
    top = past.first.summary.iloc[0]
    assert audited.top_feature == top["perturbation"]
    assert audited.in_words == f"predictions move most with {top['perturbation']} ({top['mean']:.3g})"
    assert (dry.mode, dry.policy_digest) == ("dry_run", policy(MISSED).digest())
    assert (fail.mode, fail.policy_digest) == ("enforce", policy(KEPT, MISSED).digest())
    assert fail.in_words == "fail: 1 of 2 checks are not kept: 'age is no driver'"
    assert (moved.alias, moved.replaced, moved.policy_digest) == ("champion", None, policy(KEPT).digest())
    assert told.events[-1].in_words == "became 'champion', replacing version 2"
    assert moved.model_digest == tracked.get_run(past.second.run_id).data.params["model_digest"]
    assert {event.model_digest for event in told.events if event.kind != "promotion"} == {None}
    assert moved.run_id not in {past.first.run_id, past.second.run_id}
    assert told.aliases == {"champion": "3"}


def test_medians_are_those_of_the_newest_audit_of_each_version_with_its_newest_verdict(past, told):
    medians = told.medians.set_index(["version", "perturbation"])
    for version, result in (("1", past.first), ("2", past.second), ("3", past.third)):
        for row in result.summary.to_dict("records"):
            found = medians.loc[version, row["perturbation"]]
            numbers = ["median", "median_low", "median_high"]
            assert found[numbers].tolist() == [row[name] for name in numbers]
            assert (found["run_id"], found["kind"]) == (result.run_id, row["kind"])
    verdicts = told.medians.drop_duplicates("version").set_index("version")["verdict"]
    assert verdicts.to_dict() == {"1": "fail", "2": "pass", "3": "pass"}


def test_only_versions_that_were_audited_on_the_same_data_can_be_compared(told):
    """A group more in the audit of version 3 changes no other feature's donors."""
    versions = told.medians.drop_duplicates("version").set_index("version")
    assert versions["basis"].to_dict() == {"1": 1, "2": 0, "3": 0}
    assert versions["differs"].to_dict() == {"1": "data", "2": "", "3": ""}


def test_another_seed_or_question_is_another_ground(tracked, store, tmp_path):
    home = build_house(tmp_path, "grounds")
    for _ in range(4):
        register(home)
    audit_version(home, 1, analysis={"seed": 4})
    audit_version(home, 2, analysis={"seed": 3, "within": ["region"]})
    audit_version(home, 3)
    older = audit_version(home, 4, analysis={"seed": 4})
    newer = audit_version(home, 4)
    told = history("grounds")
    versions = told.medians.drop_duplicates("version").set_index("version")
    assert versions["differs"].to_dict() == {"1": "seed", "2": "configuration", "3": "", "4": ""}
    assert versions.loc["4", "run_id"] == newer.run_id != older.run_id
    assert versions["basis"].is_unique is False
    assert len(set(versions["basis"])) == 3


def test_the_name_alone_means_the_same(past, told, tracked):
    assert history("recalled").events == history("models:/recalled/").events == told.events


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ("models:/recalled/2", ConfigError, "of all versions: give models:/recalled, not 'models:/recalled/2'"),
        ("models:/recalled@champion", ConfigError, "of all versions: give models:/recalled, not"),
        ("recalled/latest", ConfigError, "of all versions: give models:/recalled, not"),
        ("runs:/abc/model", ConfigError, "names no registered model; expected models:/credit"),
        ("models:/", ConfigError, "names no registered model"),
        ("", ConfigError, "names no registered model"),
        ("recaled", ModelNotFoundError, "no model 'recaled'.*registered are .*Did you mean 'recalled'"),
    ],
)
def test_what_is_no_registered_model_is_refused(past, tracked, asked, error, message):
    with pytest.raises(error, match=message):
        history(asked)


def test_a_registered_model_that_was_never_audited_has_an_empty_history(tracked, store):
    tracked.create_registered_model("untouched")
    told = history("untouched")
    assert told.events == ()
    assert told.medians.empty
    with pytest.raises(EvidenceError, match="no version of models:/untouched has a finished audit to draw"):
        _ = told.figure
    result = invoke(store, "untouched")
    assert (result.exit_code, result.output.strip()) == (0, "models:/untouched: no version has been audited.")


def test_a_deleted_version_stays_in_the_history_and_is_marked(tracked, store, tmp_path):
    home = build_house(tmp_path, "fading")
    register(home)
    register(home)
    audit_version(home, 1)
    tracked.delete_model_version("fading", "1")
    hand_made(tracked, "fading", 2, status="FAILED")
    hand_made(tracked, "fading", 1, status="FAILED", start=4_000_000_000_000)  # hides no audit that is older
    told = history("fading")
    assert {event.version: event.in_registry for event in told.events} == {"1": False, "2": True}
    assert list(told.medians["version"].unique()) == ["1"]
    output = invoke(store, "fading").output
    assert re.search(r"^\S+ \S+ +1\* +audit", output, re.MULTILINE)
    assert re.search(r"^\S+ \S+ +2 +audit +failed", output, re.MULTILINE)
    assert "* not in the registry any more" in output
    tracked.delete_registered_model("fading")
    assert {event.in_registry for event in history("fading").events} == {False}


def test_failed_and_killed_tries_are_told_with_what_hindered_them(past, tracked, store, monkeypatch):
    home = replace(past.home, name="hindered")
    register(home)
    before = len(history("hindered").events)

    def interrupted(*args, **more):
        raise stop

    monkeypatch.setattr("nnperm_mlflow.auditor.audit_procedure.measure", interrupted)
    for stop in (TrackingError("the store is full."), KeyboardInterrupt()):
        with pytest.raises(type(stop)):
            audit_version(home, 1)
    told = history("hindered")
    assert before == 0
    assert [(event.status, event.in_words) for event in told.events] == [
        ("FAILED", "FAILED: the store is full."),
        ("KILLED", "KILLED"),
    ]
    assert told.medians.empty
    assert re.search(r"audit +killed", invoke(store, "hindered").output)


def test_a_promotion_that_was_refused_midway_moved_nothing(past, tracked):
    home = replace(past.home, name="contested")
    for _ in range(2):
        register(home)
    audit_version(home, 1, KEPT)
    done = promote("models:/contested/1", "champion")
    tracked.set_registered_model_alias("contested", "champion", "2")
    with pytest.raises(RefusedError):
        move_alias(tracked, done, pin_model(tracked, "models:/contested/1"))
    moved, refused = [event for event in history("contested").events if event.kind == "promotion"]
    assert (moved.is_evidence, refused.is_evidence) == (True, False)
    assert refused.in_words.startswith("did not become 'champion': FAILED: 'champion' of contested has moved meanwhile")


def test_a_verdict_that_could_not_be_given_is_told(past, tracked):
    home = replace(past.home, name="unanswered")
    register(home)
    with pytest.raises(Exception, match="no feature can miss a rank of at most 99"):
        audit_version(home, 1, {"feature": "age", "rank_at_most": 99})
    (event,) = history("unanswered").events
    assert event.is_evidence
    assert re.search(r"predictions move most with \w+ .*; no verdict: check .*can miss a rank", event.in_words)
    check(run_id=event.run_id, policy=policy(KEPT))
    audited, verdict = history("unanswered").events
    assert ("no verdict" in audited.in_words, verdict.verdict) == (False, "pass")


def test_what_is_damaged_hides_nothing_else_and_says_so(past, tracked, store, caplog):
    home = replace(past.home, name="damaged")
    for _ in range(2):
        register(home)
    whole = audit_version(home, 1, KEPT)
    changed = audit_version(home, 2, KEPT)
    check(run_id=changed.run_id)
    summary = path_of(tracked, changed.run_id, "summary.csv")
    summary.write_text(summary.read_text().replace("age", "ege"))
    first, second = sorted(path_of(tracked, changed.run_id, "verdicts").iterdir())
    first.write_text("{")
    told = json.loads(second.read_text())
    second.write_text(json.dumps({**told, "subject": {**told["subject"], "run_id": whole.run_id}}))
    promote("models:/damaged/1", "champion")
    (promotion,) = [event for event in history("damaged").events if event.kind == "promotion"]
    path_of(tracked, promotion.run_id, "promotion.json").unlink()
    with caplog.at_level(logging.WARNING, "nnperm_mlflow"):
        told = history("damaged", verify=True)
    found = [(event.version, event.kind, event.is_readable, event.verdict) for event in told.events]
    assert found == [
        ("1", "audit", True, None),
        ("1", "verdict", True, "pass"),
        ("2", "audit", False, None),
        ("2", "verdict", False, None),
        ("2", "verdict", False, None),
        ("1", "promotion", False, None),
    ]
    words = [event.in_words for event in told.events if not event.is_readable]
    expected = ("has been changed", "no JSON object", "is no verdict on its audit", "promotion.json .* is not there")
    for text, message in zip(words, expected, strict=True):
        assert re.search(message, text)
        assert text.removeprefix("unreadable: ") in caplog.text
    assert list(told.medians["version"].unique()) == ["1"]
    assert invoke(store, "damaged", "--verify").output.count("unreadable") == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is not what was written there (no JSON object)"),
        ('{"verdict": "maybe", "mode": "enforce"}', "(wrong or missing: 'verdict', 'in_words', 'policy_digest', "),
        ("[" * 100_000, "no JSON object"),
        ("ä".encode("latin-1"), "no JSON object"),
    ],
)
def test_a_verdict_that_is_none_is_unreadable(tracked, content, message):
    tracked.create_registered_model("strange")
    run_id = hand_made(tracked, "strange", 1)
    tracked.log_text(run_id, "", "verdicts/20260202T030000.500000Z-abc.json")
    file = path_of(tracked, run_id, "verdicts/20260202T030000.500000Z-abc.json")
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (verdict,) = [event for event in history("strange", verify=True).events if event.kind == "verdict"]
    assert not verdict.is_readable
    assert message in verdict.in_words
    assert verdict.when == "2026-02-02T03:00:00.500Z"
    tracked.delete_registered_model("strange")
    tracked.delete_run(run_id)


def refuse(error):
    def refusing(*args, **more):
        raise error

    return refusing


@pytest.fixture
def ailing(past, tracked, monkeypatch):
    """A model with an audit whose artifacts can be read, and one whose store of artifacts is down."""
    for name, value in {
        "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    home = replace(past.home, name="ailing")
    register(home)
    whole = audit_version(home, 1, KEPT)
    down = tracked.get_experiment_by_name("down")
    experiment = down.experiment_id if down else tracked.create_experiment("down", "s3://down/runs")
    params = tracked.get_run(whole.run_id).data.params
    lost = hand_made(tracked, "ailing", 2, experiment=experiment)
    for key, value in params.items():
        tracked.log_param(lost, key, value)
    yield SimpleNamespace(whole=whole.run_id, lost=lost)
    for run_id in (whole.run_id, lost):
        tracked.delete_run(run_id)
    tracked.delete_registered_model("ailing")


def test_a_store_of_artifacts_that_is_down_hides_no_other_run(ailing, store, caplog):
    told = history("ailing", verify=True)
    unreadable = [event for event in told.events if event.run_id == ailing.lost]
    assert [(event.kind, event.is_readable) for event in unreadable] == [("audit", False), ("verdict", False)]
    assert all("the store of artifacts refused (EndpointConnectionError)" in event.in_words for event in unreadable)
    others = [(event.kind, event.is_readable) for event in told.events if event not in unreadable]
    assert others == [("audit", True), ("verdict", True)]
    assert list(told.medians["run_id"].unique()) == [ailing.whole]
    assert "the store of artifacts refused" in caplog.text
    output = invoke(store, "ailing", "--verify").output
    assert (output.count("unreadable"), "EndpointConnectionError" in output) == (2, True)


@pytest.mark.parametrize(
    "error", [MlflowException("500"), requests.ConnectionError("gone"), PermissionError(13, "no"), BotoCoreError()]
)
@pytest.mark.parametrize(
    "asked", [("download_artifacts",), ("list_artifacts",), ("download_artifacts", "list_artifacts")]
)
def test_whatever_artifacts_end_in_is_told_of_the_event(past, tracked, monkeypatch, asked, error):
    for name in asked:
        monkeypatch.setattr(LocalArtifactRepository, name, refuse(error))
    told = history("recalled", verify=True)
    kinds = {event.kind for event in told.events if not event.is_readable}
    assert kinds == {"verdict"} if asked == ("list_artifacts",) else kinds >= {"audit", "promotion"}
    assert {event.run_id for event in told.events} >= {past.first.run_id, past.second.run_id, past.third.run_id}


def test_a_configuration_that_cannot_be_fetched_leaves_its_medians_alone(past, tracked, monkeypatch):
    fetch = LocalArtifactRepository.download_artifacts

    def without_configurations(repository, path, *more):
        if path == "config.yaml" and past.second.run_id in repository.artifact_uri:
            raise MlflowException("500")
        return fetch(repository, path, *more)

    monkeypatch.setattr(LocalArtifactRepository, "download_artifacts", without_configurations)
    versions = history("recalled", verify=True).medians.drop_duplicates("version").set_index("version")
    assert versions["differs"].to_dict() == {"1": "data", "2": "configuration", "3": ""}
    assert versions["basis"].is_unique


def test_a_server_that_falls_silent_ends_the_history(past, store, monkeypatch):
    """Or each event would be told to be unreadable, which none is."""
    silent = MlflowException("API request to http://house/api failed with exception Caused by NewConnectionError")
    for name in ("download_artifacts", "list_artifacts"):
        monkeypatch.setattr(LocalArtifactRepository, name, refuse(silent))
    monkeypatch.setattr(mlflow.MlflowClient, "get_run", refuse(silent))
    done = invoke(store, "recalled")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("TrackingError: the MLflow server gave no answer")


def test_what_is_no_version_s_newest_audit_is_told_as_its_run_tells_it(past, tracked, store):
    """By its metrics and tags; with `verify` by its files, all verdicts among them."""
    home = replace(past.home, name="retold")
    register(home)
    older = audit_version(home, 1, KEPT)
    check(run_id=older.run_id, policy=policy(MISSED))
    newest = audit_version(home, 1, KEPT, analysis={"seed": 4})
    promote("models:/retold/1", "champion")
    told = history("retold")
    found = [(event.kind, event.run_id == older.run_id, event.as_told, event.verdict) for event in told.events]
    assert sorted(found) == sorted([
        ("audit", True, True, None), ("verdict", True, True, "fail"), ("audit", False, False, None),
        ("verdict", False, False, "pass"), ("promotion", False, True, "pass"),
    ])  # fmt: skip
    read = history("retold", verify=True)
    assert not any(event.as_told for event in read.events)
    assert [event.kind for event in read.events].count("verdict") == 3
    words = [next(e.in_words for e in each.events if e.run_id == older.run_id) for each in (told, read)]
    assert words[0] == words[1] != ""
    moved = [next(e for e in each.events if e.kind == "promotion") for each in (told, read)]
    assert (moved[0].alias, moved[0].policy_digest) == (moved[1].alias, moved[1].policy_digest)
    assert moved[0].in_words == moved[1].in_words == "became 'champion'"
    assert list(told.medians["run_id"].unique()) == [newest.run_id]
    assert read.medians.equals(told.medians)
    output = invoke(store, "retold").output
    assert output.count(", as told") == 3
    assert "as told: as the run says of itself; --verify reads its files" in output


def test_what_was_read_once_is_not_fetched_again(past, tracked, monkeypatch):
    history("recalled")
    fetched, fetch = [], LocalArtifactRepository.download_artifacts

    def noted(repository, path, *more):
        fetched.append(path)
        return fetch(repository, path, *more)

    monkeypatch.setattr(LocalArtifactRepository, "download_artifacts", noted)
    told = history("recalled")
    assert {path.split("/")[0] for path in fetched} == {"verdicts"}
    kept = EvidenceCache.of_user().folder / tracked.get_run(past.first.run_id).data.params["summary_digest"]
    (kept / "summary.csv").write_text("something else")  # which has another digest, and is fetched anew
    assert history("recalled").medians.equals(told.medians)
    assert fetched.count("summary.csv") == 1


def test_of_audits_that_overlap_the_newest_is_the_one_that_ended_last(past, tracked):
    home = replace(past.home, name="overlapping")
    register(home)
    long, short = (audit_version(home, 1, analysis={"seed": seed}) for seed in (3, 4))
    ended = tracked.get_run(short.run_id).info.end_time
    tracked.set_terminated(long.run_id, end_time=ended + 60_000)
    told = history("overlapping")
    assert [event.run_id for event in told.events] == [long.run_id, short.run_id]
    assert find_audits(tracked, "models:/overlapping/1")[0].info.run_id == long.run_id
    assert list(told.medians["run_id"].unique()) == [long.run_id]


def test_a_run_that_only_bears_the_tags_of_an_audit_is_unreadable_and_hides_none(past, tracked):
    home = replace(past.home, name="tagged")
    register(home)
    audited = audit_version(home, 1)
    empty = hand_made(tracked, "tagged", 1, start=4_000_000_000_000)
    told = history("tagged")
    assert {event.run_id: event.is_readable for event in told.events} == {audited.run_id: True, empty: False}
    assert list(told.medians["run_id"].unique()) == [audited.run_id]


def test_equal_times_are_ordered_by_kind_and_then_by_the_number_of_the_version(tracked):
    tracked.create_registered_model("at_once")
    for version in (10, 9):
        hand_made(tracked, "at_once", version, "promotion", "FAILED")
        hand_made(tracked, "at_once", version)
    hand_made(tracked, "at_once", 11, start=MOMENT - 1)
    found = [(event.kind, event.version) for event in history("at_once").events]
    assert found == [("audit", "11"), ("audit", "9"), ("audit", "10"), ("promotion", "9"), ("promotion", "10")]
    assert history("at_once").events[1].when == "2026-02-02T02:40:00.000Z"


@pytest.mark.parametrize("name", ["it's", 'say "so"', "both'\"", "50%_x", "a+b(1)", "back\\slash", "-- x", "ä b"])
def test_a_name_is_taken_by_the_letter(tracked, name):
    """Runs of names that a filter's wildcards would also mean are left out."""
    tracked.create_registered_model(name)
    tracked.create_model_version(name, "file:///nowhere")
    likely = re.sub(r"[^\w]|_", "Z", name)
    tracked.create_registered_model(likely)
    for _ in range(2):
        tracked.create_model_version(likely, "file:///nowhere")
    first, second = (hand_made(tracked, name, version, start=MOMENT + version) for version in (1, 2))
    for other in {likely, f"{name}2", name.upper(), f"x{name}"} - {name}:
        hand_made(tracked, other, 1)
    hand_made(tracked, name, 1, kind="comparison")
    hand_made(tracked, name, "1/2")
    assert [(event.run_id, event.in_registry) for event in history(name).events] == [(first, True), (second, False)]


def test_audits_in_any_experiment_are_found(tracked):
    tracked.create_registered_model("scattered")
    experiments = [tracked.create_experiment(f"scattered {number}") for number in range(3)]
    runs = {hand_made(tracked, "scattered", 1, experiment=experiment) for experiment in experiments}
    assert {event.run_id for event in history("scattered").events} == runs


def test_the_table_fits_120_columns_and_tells_each_event(past, tracked):
    result = invoke(past.store, "models:/recalled")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 120
    assert re.match(r"when \(UTC\) +version +what +verdict +by +run", lines[2])
    events = [line for line in lines if re.match(r"\d{4}-", line)]
    assert [line.split()[2:4] for line in events[:2]] == [["1", "audit"], ["1", "verdict"]]
    assert len(events) == 11
    flat = " ".join(result.output.split())
    assert "1 of 2 checks are not kept: 'age is no driver'" in flat
    assert past.second.run_id[:8] in flat
    assert "now: 'champion' is version 3" in result.output


def test_words_that_do_not_fit_go_on_below(tracked, store):
    tracked.create_registered_model("wordy")
    error = " ".join(f"word{number}" for number in range(60)) + " 1\x1b[31m\n2"
    hand_made(tracked, "wordy", 1, status="FAILED", **{"nnperm.error": error, "mlflow.user": "x" * 300})
    output = invoke(store, "wordy").output
    assert max(map(len, output.splitlines())) <= 120
    assert "\x1b" not in output
    assert " ".join(f"word{number}" for number in range(60)) in " ".join(output.replace("x" * 17 + "...", "").split())
    assert r"1\x1b[31m\n2" in output


def test_json_is_a_list_of_events_with_the_same_keys(past, told):
    result = invoke(past.store, "models:/recalled", "--json")
    assert result.exit_code == 0, result.output
    listed = json.loads(result.stdout)
    keys = [field.name for field in fields(Event)]
    assert {tuple(event) for event in listed} == {tuple(keys)}
    assert [Event(**event) for event in listed] == list(told.events)


def test_the_picture_is_written_beside_table_or_json(past, tmp_path):
    for number, more in enumerate([(), ("--json",)]):
        picture = tmp_path / f"{number}.png"
        result = invoke(past.store, "recalled", "--picture", picture, *more)
        assert result.exit_code == 0, result.output
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f"the picture: {picture}" in result.output
        assert "the picture" not in result.stdout or not more


@pytest.mark.parametrize(
    ("file", "message"), [("missing/past.png", "no directory"), ("past.jpeg2", "must end in one of .png, .svg, .pdf")]
)
def test_a_picture_that_cannot_be_written_is_refused_before_anything_is_read(
    past, tmp_path, monkeypatch, file, message
):
    monkeypatch.setattr("nnperm_mlflow.comparison.model_history.history", None)
    result = invoke(past.store, "recalled", "--picture", tmp_path / file)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", "").split())


def test_what_hinders_is_one_message(past, tmp_path):
    result = invoke(past.store, "models:/recalled/2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("ConfigError: a history is of all versions")
    (tmp_path / "taken.png").mkdir()
    result = invoke(past.store, "recalled", "--picture", tmp_path / "taken.png")
    assert result.exit_code == 2
    assert re.search(r"ConfigError: the picture '.*taken.png' cannot be written", result.stderr)


def test_the_figure_shows_the_medians_that_were_found(told):
    (axes,) = told.figure.axes
    texts = " ".join(text.get_text() for text in axes.texts)
    newest = told.medians[told.medians["version"] == "3"].nlargest(1, "median").iloc[0]
    assert newest["perturbation"] in texts
    assert "models:/recalled, the newest audit of each version" in texts
    assert "audited with other data than version 3" in " ".join(texts.split())
