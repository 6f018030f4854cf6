"""Where the work of audits is kept: what is the same audit, what is another, and what becomes of the rest."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

import nnperm_mlflow
from nnperm_mlflow import audit
from nnperm_mlflow.auditor import workspace
from nnperm_mlflow.auditor.outbox import publish
from nnperm_mlflow.auditor.preparation import as_config, prepare
from nnperm_mlflow.auditor.workspace import KEPT_SECONDS, LEFT_SECONDS, Workspace
from nnperm_mlflow.basics import own_code
from nnperm_mlflow.basics.errors import ConfigError, EvidenceError, TrackingError
from nnperm_mlflow.basics.own_code import code_digest, own_code_digest
from nnperm_mlflow.registry import publisher
from nnperm_mlflow.registry.connection import connected
from tests.support.cases import slow
from tests.support.empty_stores import empty_store
from tests.support.faults import commands_in, message_in, nnperm
from tests.support.house import build_network, register

ANALYSIS = {"seed": 3, "block_rows": 100}


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def settings(house, tracked):
    return settings_of(house)


def settings_of(house):
    return {**house.settings(), "analysis": ANALYSIS}


def interrupted(settings, work, after=400, **options):
    """Audit until so many rows are done, and give up."""

    def stop(done, _):
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(settings, model_uri="models:/house/1", work_dir=work, progress=stop, **options)


@pytest.fixture(scope="module")
def finished(house, store, tmp_path_factory):
    """The audit that others are compared with, done in one go."""
    mlflow.set_tracking_uri(store)
    return audit(settings_of(house), model_uri="models:/house/1", work_dir=tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def stopped(house, store, tmp_path_factory):
    """The state that the audit of the same settings has left which was stopped at its end."""
    mlflow.set_tracking_uri(store)
    work = tmp_path_factory.mktemp("stopped")
    interrupted(settings_of(house), work)
    (state,) = states(work)
    return state


@pytest.fixture(scope="module")
def another_stopped(house, store, tmp_path_factory):
    """The state of an audit with another seed."""
    mlflow.set_tracking_uri(store)
    work = tmp_path_factory.mktemp("another")
    interrupted(another_seed(settings_of(house)), work)
    (state,) = states(work)
    return state


def left_in(work, state):
    """Put a state into a work directory; return its place there."""
    return shutil.copytree(state, work / "states" / state.name)


def calls_of(result):
    return mlflow.MlflowClient().get_run(result.run_id).data.metrics["nnperm/model_calls"]


def states(work):
    return sorted((work / "states").glob("*"))


def test_a_finished_audit_leaves_nothing_in_the_work_directory_but_what_its_result_needs(settings, work):
    result = audit(settings, model_uri="models:/house/1", work_dir=work)
    assert states(work) == []
    assert result.directory.is_relative_to(work)
    folder = result.directory
    del result
    assert not folder.exists()


def with_profiles(settings):
    return {**settings, "analysis": {**ANALYSIS, "profile": ["age", "region"]}}


@pytest.fixture(scope="module")
def profiled(house, store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    settings = with_profiles(settings_of(house))
    return audit(settings, model_uri="models:/house/1", work_dir=tmp_path_factory.mktemp("profiled"))


@pytest.mark.slow
@pytest.mark.parametrize("done_before", [200, *slow(0, 400)])
def test_profiles_go_on_from_where_they_were_stopped(settings, work, done_before, profiled, finished):
    settings = with_profiles(settings)
    passes = []

    def stop(done, _):
        if done == 0:
            passes.append("deviations" if not passes else "profiles")
        if passes[-1] == "profiles" and done == done_before:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(settings, model_uri="models:/house/1", work_dir=work, progress=stop)
    again = audit(settings, model_uri="models:/house/1", work_dir=work)
    pd.testing.assert_frame_equal(again.profiles, profiled.profiles)
    assert again.table.equals(profiled.table)
    of_profiles = calls_of(profiled) - calls_of(finished)
    assert {0: calls_of(again) == of_profiles, 200: 0 < calls_of(again) < of_profiles, 400: calls_of(again) == 0}[
        done_before
    ]


@pytest.mark.slow
def test_what_profiles_have_found_of_a_value_serves_an_audit_that_sets_it(settings, work):
    """Flips of decisions included, of which profiles tell nothing."""
    profiled = {**settings, "analysis": {**ANALYSIS, "profile": ["region"], "decision": 0.4}}
    n_passes = 0

    def stop(done, total):
        nonlocal n_passes
        n_passes += done == 0
        if n_passes == 2 and done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(profiled, model_uri="models:/house/1", work_dir=work, progress=stop)
    setting = {**settings, "analysis": {**ANALYSIS, "set": {"region": "all"}, "decision": 0.4}}
    again = audit(setting, model_uri="models:/house/1", work_dir=work)
    fresh = audit(setting, model_uri="models:/house/1", work_dir=work, fresh=True)
    assert calls_of(again) == 0
    pd.testing.assert_frame_equal(again.summary, fresh.summary)
    assert fresh.summary["flipped_share"].max() > 0


def test_who_stops_an_audit_while_it_is_written_is_told_how_to_go_on(settings, work, monkeypatch, caplog, store):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nnperm_mlflow.auditor.audit_procedure.publish_audit", stop)
        with pytest.raises(KeyboardInterrupt):
            audit(settings, model_uri="models:/house/1", work_dir=work)
    said = caplog.messages[-1]
    assert said.startswith(f"Nothing that was computed is lost: it lies in '{work}")
    ((name, folder, *_),) = commands_in(said)
    assert (name, Path(folder).parent.parent) == ("publish", work / "results")
    assert nnperm(name, folder, "--tracking-uri", store)[0] == 0
    assert states(work) == []


@pytest.mark.slow
def test_a_feature_or_a_repeat_that_is_added_is_all_that_the_model_is_asked_for(settings, work, finished, stopped):
    def asking(**more):
        return {**settings, "analysis": {**ANALYSIS, **more}}

    def audited(asked):
        return audit(asked, model_uri="models:/house/1", work_dir=work)

    of_two = calls_of(audited(asking(exclude=["flag", "region", "balance", "payment"])))
    of_shuffles = calls_of(audited(asking(rare_below=0)))
    interrupted(asking(exclude=["age", "income"]), work)
    more = audited(settings)
    assert calls_of(more) == of_two < calls_of(finished)
    assert more.table.equals(finished.table)
    left_in(work, stopped)
    twice = audited(asking(repeats=2))
    assert twice.table[twice.table["repeat"] == 0].reset_index(drop=True).equals(finished.table)
    assert calls_of(twice) <= of_shuffles  # a set value is the same in both


def another_seed(settings, _=None):
    return {**settings, "analysis": {**ANALYSIS, "seed": 4}}


def other_data(settings, folder):
    table = pd.read_parquet(settings["data"]["static"])
    table.loc[7, "age"] += 1
    table.to_parquet(folder / "other.parquet")
    return {**settings, "data": {**settings["data"], "static": str(folder / "other.parquet")}}


@pytest.mark.parametrize(("what", "other"), [("seed", another_seed), ("data digest", other_data)])
def test_an_audit_of_another_seed_or_other_data_starts_afresh_and_says_so(
    settings, work, stopped, caplog, *, what, other
):
    assert_afresh(other(settings, work.parent), work, stopped, caplog, what)


def test_an_audit_with_another_version_of_a_package_starts_afresh_and_says_so(
    settings, work, stopped, monkeypatch, caplog
):
    monkeypatch.setattr(own_code, "__version__", "0.0.1")
    assert_afresh(settings, work, stopped, caplog, "nnperm")


def test_an_audit_by_other_code_of_the_same_version_starts_afresh_and_says_so(
    settings, work, stopped, monkeypatch, caplog
):
    monkeypatch.setattr(workspace, "own_code_digest", lambda: "0" * 64)
    assert_afresh(settings, work, stopped, caplog, "code")


def changed_copy(folder, module):
    """Copy this package and add a line to one of its modules; return the directory of the copy."""
    copy = folder / module.replace("/", "-")
    shutil.copytree(Path(nnperm_mlflow.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__", "configs"))
    with (copy / module).open("a") as file:
        file.write("\n")
    return copy


def test_code_is_another_where_a_module_changes_that_numbers_come_from_and_nowhere_else(tmp_path):
    own = own_code_digest()
    assert code_digest(changed_copy(tmp_path, "analysis/engine/deviation.py")) != own
    assert code_digest(changed_copy(tmp_path, "models/branches/branch_predictor.py")) != own
    assert code_digest(changed_copy(tmp_path, "report/boxplot.py")) == own
    moved = changed_copy(tmp_path, "report/__init__.py")
    (moved / "inputs" / "cells.py").rename(moved / "inputs" / "sells.py")
    assert code_digest(moved) != own


def assert_afresh(other, work, stopped, caplog, what):
    """Assert that an audit with other settings takes nothing from one that was stopped."""
    caplog.set_level("INFO")
    state = left_in(work, stopped)
    before = sorted(state.rglob("*"))
    result = audit(other, model_uri="models:/house/1", work_dir=work)
    assert f"an unfinished audit of models:/house/1 is of another {what}: this one starts afresh" in caplog.text
    assert "going on" not in caplog.text
    assert calls_of(result) > 0
    assert states(work) == [state]
    assert sorted(state.rglob("*")) == before  # with which the first one may still go on


@pytest.mark.slow
def test_another_version_of_the_model_starts_afresh(settings, house, work, stopped):
    left_in(work, stopped)
    network = build_network(unroll=False)
    network.set_weights([1.5 * weights for weights in network.get_weights()])
    version = register(replace(house, network=network))
    other = audit(settings, model_uri=f"models:/house/{version}", work_dir=work)
    assert calls_of(other) > 0
    assert len(states(work)) == 1


@pytest.mark.slow
def test_two_audits_do_not_remove_each_others_state(settings, work, stopped, another_stopped):
    left_in(work, stopped)
    left_in(work, another_stopped)
    assert len(states(work)) == 2
    audit(settings, model_uri="models:/house/1", work_dir=work)
    assert calls_of(audit(another_seed(settings), model_uri="models:/house/1", work_dir=work)) == 0


@pytest.mark.parametrize("after", [200, *slow(0, 400)])
def test_a_state_that_another_process_has_removed_is_not_missed(settings, work, after):
    """Whoever ends the same audit first removes what both have worked on."""

    def remove(done, _):
        if done == after:
            shutil.rmtree(work / "states")

    result = audit(settings, model_uri="models:/house/1", work_dir=work, progress=remove)
    assert mlflow.MlflowClient().get_run(result.run_id).info.status == "FINISHED"
    assert states(work) == []


@pytest.mark.slow
def test_descriptions_of_other_audits_that_are_damaged_hinder_none(settings, work, another_stopped):
    """Each of several unfinished audits is damaged in a way of its own."""
    for number, harm in enumerate([b"", b"{", b"[1, 2]", b"\xff\xfe", b"null", b"[" * 100_000]):
        damaged = left_in(work, another_stopped)
        (damaged / "about.json").write_bytes(harm)
        damaged.rename(damaged.with_name(f"{number:032}"))
    interrupted(settings, work)
    assert calls_of(audit(settings, model_uri="models:/house/1", work_dir=work)) == 0


def test_an_own_description_that_is_damaged_or_gone_is_written_again(settings, work, stopped):
    state = left_in(work, stopped)
    (state / "about.json").unlink()
    interrupted(settings, work)
    assert json.loads((state / "about.json").read_text())["seed"] == 3
    assert calls_of(audit(settings, model_uri="models:/house/1", work_dir=work)) == 0


def age(path, seconds):
    then = time.time() - seconds
    for each in (*path.rglob("*"), path):
        os.utime(each, (then, then))


@pytest.mark.slow
def test_what_nobody_has_gone_on_with_for_a_month_is_removed(settings, work, another_stopped):
    old = left_in(work, another_stopped)
    age(old, KEPT_SECONDS + 100)
    interrupted({**settings, "analysis": {**ANALYSIS, "seed": 5}}, work)
    (young,) = [state for state in states(work) if state != old]
    age(young, KEPT_SECONDS - 1000)
    audit(settings, model_uri="models:/house/1", work_dir=work)
    assert states(work) == [young]


def test_a_state_that_is_worked_on_is_not_old_however_long_ago_it_was_begun(settings, work, another_stopped):
    state = left_in(work, another_stopped)
    age(state, KEPT_SECONDS + 100)
    (state / "blocks" / "0-0-1.new.sheet").touch()
    audit(settings, model_uri="models:/house/1", work_dir=work)
    assert states(work) == [state]


def left_behind(work):
    """Return results that a process of this machine, which has ended, has left behind."""
    process = subprocess.run(
        [sys.executable, "-c", "import os, platform; print(f'{platform.node()}-{os.getpid()}')"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    folder = work / "results" / process.stdout.strip() / "tmp1234"
    folder.mkdir(parents=True)
    (folder / "deviations.parquet.0.partial").write_bytes(b"half")
    return folder


@pytest.mark.slow
def test_results_of_a_process_that_was_killed_are_removed_and_those_that_wait_are_kept(settings, work):
    half, fresh, waiting = (left_behind(work) for _ in range(3))
    (waiting / "publication.json").write_text("{}")
    foreign = work / "results" / "another.machine-17" / "tmp1"
    foreign.mkdir(parents=True)
    for path in (half, waiting, foreign):
        age(path, LEFT_SECONDS + 100)
    age(waiting, KEPT_SECONDS + 100)
    audit(settings, model_uri="models:/house/1", work_dir=work)
    assert not half.parent.exists()
    assert fresh.exists()
    assert waiting.exists()
    assert foreign.exists()
    age(foreign, KEPT_SECONDS + 100)
    audit(settings, model_uri="models:/house/1", work_dir=work)
    assert not foreign.exists()
    assert Workspace.at(work).unpublished() == [waiting]


@pytest.fixture
def shared():
    """A directory that all may write, but for the one who does not own what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@contextmanager
def as_nobody():
    """Be a user without the rights of root."""
    if os.geteuid() != 0:
        pytest.skip("needs root, who may become another user")
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_a_work_directory_of_another_user_is_refused_with_what_to_do(shared):
    Workspace.at(shared / "work")
    with as_nobody(), pytest.raises(ConfigError, match=r"cannot be written: Permission denied\. Name another \(--work"):
        Workspace.at(shared / "work")


def test_a_state_of_another_user_is_refused_with_what_to_do(shared, house, tracked):
    Workspace.at(shared)
    (shared / "states").chmod(0o777)  # as where several users share one
    with connected() as (client, scratch):
        plan = prepare(
            client, as_config(house.settings()), "models:/house/1", data=None, trust_model=False, scratch=scratch
        )
        folder = Workspace(shared).open(plan).folder
        message = rf"lies in '{folder}', which you may not write\. Name another work directory \(--work-dir\)"
        with as_nobody(), pytest.raises(ConfigError, match=message):
            Workspace(shared).open(plan)


def test_a_work_directory_that_cannot_be_made_is_refused_before_anything_is_begun(settings, tmp_path, tracked):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"the work directory '.*file' cannot be written: .*\(--work-dir\)"):
        audit(settings, model_uri="models:/house/1", work_dir=tmp_path / "file")


@pytest.mark.slow
def test_who_has_deleted_the_experiment_of_the_model_is_told_what_to_do(house, tracked, work, tmp_path):
    """Nothing is computed before that."""
    number = tracked.create_experiment("to be deleted", artifact_location=(tmp_path / "artifacts").as_uri())
    version = register(house, "to be deleted")
    tracked.delete_experiment(number)
    told = rf"'to be deleted', which has been deleted\. Restore it .* --experiment-id {number}\), or name another one"
    for experiment in (None, "to be deleted"):
        with pytest.raises(TrackingError, match=told):
            audit(house.config, model_uri=f"models:/house/{version}", experiment=experiment, work_dir=work)
    assert states(work) == []
    result = audit(house.config, model_uri=f"models:/house/{version}", experiment="tests", work_dir=work)
    assert tracked.get_experiment(result.experiment_id).name == "tests"
    tracked.restore_experiment(number)
    assert audit(house.config, model_uri=f"models:/house/{version}", work_dir=work).experiment_id == number


def give_way(*_):
    raise MlflowException("no more")


def unpublished(settings, work):
    """Return the folder of an audit whose store gave way when it was to be published."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publisher, "log_run_content", give_way)
        with pytest.raises(
            TrackingError, match=r"Nothing that was computed is lost: .*nnperm publish \S+ --tracking-uri \S+$"
        ) as told:
            audit(settings, model_uri="models:/house/1", work_dir=work)
    ((_, folder, *_),) = commands_in(str(told.value))
    return Path(folder)


@pytest.fixture(scope="module")
def waiting_once(house, store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return unpublished(settings_of(house), tmp_path_factory.mktemp("waiting"))


@pytest.fixture
def waiting(waiting_once, tmp_path, tracked):
    """A folder with all that waits there, to be damaged."""
    return shutil.copytree(waiting_once, tmp_path / "waiting")


def test_publish_lists_what_waits_and_publishes_it_once(settings, work, store, tracked):
    waiting = unpublished(settings, work)
    where = ["--work-dir", work, "--tracking-uri", store]
    assert nnperm("publish", *where) == (0, f"{waiting}\n")
    assert len(states(work)) == 1
    run_id = json.loads((waiting / "publication.json").read_text())["run_id"]
    assert tracked.get_run(run_id).info.status == "FAILED"
    status, said = nnperm("publish", waiting, "--tracking-uri", store)
    assert (status, said.splitlines()[0]) == (0, f"run {run_id} is written")
    run = tracked.get_run(run_id)
    assert (run.info.status, "nnperm.error" in run.data.tags) == ("FINISHED", False)
    assert not waiting.exists()
    assert states(work) == []
    assert nnperm("publish", *where) == (0, "nothing waits to be published\n")
    status, said = nnperm("publish", waiting, *where)
    assert (status, "there is nothing to publish" in message_in(said)) == (2, True)


def without(key):
    return lambda told: {name: value for name, value in told.items() if name != key}


DAMAGES = {
    "a later format": lambda told: {**told, "format": 3},
    "no format": without("format"),
    "no run": without("run_id"),
    "no digests": without("digests"),
    "more than is known": lambda told: {**told, "more": 1},
    "a list": lambda told: [told],
    "a number for a path": lambda told: {**told, "work_dir": 7},
    "a path": lambda told: {**told, "run": {**told["run"], "files": ["../../secret"]}},
    "no object": lambda told: {**told, "run": "run"},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_no_audit_has_written_is_not_published(waiting, store, damage):
    path = waiting / "publication.json"
    path.write_text(json.dumps(DAMAGES[damage](json.loads(path.read_text()))))
    status, said = nnperm("publish", waiting, "--tracking-uri", store)
    assert (status, len(said.splitlines())) == (2, 1)
    assert message_in(said).startswith(f"EvidenceError: {path} is not what an audit wrote")
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_publication_that_is_damaged_is_told_of_in_a_line(waiting, store, content):
    (waiting / "publication.json").write_bytes(content)
    status, said = nnperm("publish", waiting, "--tracking-uri", store)
    assert (status, len(said.splitlines())) == (2, 1)
    assert "is not what an audit wrote" in message_in(said)


@pytest.mark.parametrize("name", ["deviations.parquet", "names.json"])
@pytest.mark.parametrize("harm", ["cut", "flipped", "gone"])
def test_a_file_that_is_not_the_one_of_the_audit_is_not_published(waiting, store, tracked, name, harm):
    content = bytearray((waiting / name).read_bytes())
    content[len(content) // 2] ^= 1
    (waiting / name).write_bytes(content[: len(content) // 2] if harm == "cut" else content)
    if harm == "gone":
        (waiting / name).unlink()
    with pytest.raises(EvidenceError, match=f"'{name}' in .* changed since the audit"):
        publish(waiting)


def test_nothing_of_the_work_is_kept_where_others_may_read_it(settings, work):
    """The sheets hold predictions of people."""
    interrupted(settings, work)
    assert {path.stat().st_mode & 0o077 for path in (work / "states", work / "results")} == {0}


@pytest.mark.slow
def test_results_that_wait_are_not_written_over_by_another_audit(settings, work, monkeypatch, tmp_path):
    output = tmp_path / "output"
    with monkeypatch.context() as patch:
        patch.setattr(publisher, "log_run_content", give_way)
        with pytest.raises(TrackingError, match="nnperm publish"):
            audit(settings, model_uri="models:/house/1", work_dir=work, output=output)
    before = {path.name: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    run_id = json.loads(before["publication.json"])["run_id"]
    with pytest.raises(ConfigError, match=rf"another audit \(run {run_id}\) wait in .*publish {output.resolve()}"):
        audit(another_seed(settings), model_uri="models:/house/1", work_dir=work, output=output)
    assert {path.name: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
    assert Workspace.at(work).unpublished() == [output]
    publish(output)
    assert mlflow.MlflowClient().get_run(run_id).info.status == "FINISHED"
    assert Workspace.at(work).unpublished() == []
    audit(another_seed(settings), model_uri="models:/house/1", work_dir=work, output=output)


@pytest.mark.slow
def test_two_audits_do_not_write_to_one_directory_at_once(settings, work, tmp_path, tracked):
    options = {"model_uri": "models:/house/1", "work_dir": work, "output": tmp_path / "output"}
    refusals = []

    def audit_meanwhile(done, _):
        if done == 0:
            with pytest.raises(
                ConfigError, match=r"another audit is writing to '.*output'\. Wait for its end, or"
            ) as told:
                audit(another_seed(settings), **options)
            refusals.append(told)

    first = audit(settings, **options, progress=audit_meanwhile)
    assert len(refusals) == 1
    assert tracked.get_run(first.run_id).info.status == "FINISHED"
    again = audit(settings, **options)  # though the first result lives
    assert again.table.equals(first.table)


@pytest.mark.slow
def test_results_are_published_only_in_the_store_that_has_their_run(waiting, tmp_path):
    elsewhere = empty_store(tmp_path / "elsewhere.db")
    status, said = nnperm("publish", waiting, "--tracking-uri", elsewhere)
    assert status == 2
    assert f"of these results is not in {elsewhere}. Name the store that it was begun in" in message_in(said)
    assert (waiting / "publication.json").exists()
