"""Audits of one version that end at once: whoever writes last, the version tells of the one that ended last."""

import subprocess
import sys
import time
from collections import Counter

import mlflow
import pytest
import yaml
from mlflow.tracking._model_registry.client import ModelRegistryClient

from nnperm_mlflow import audit
from nnperm_mlflow.registry.publisher import link_newest
from nnperm_mlflow.registry.records import read_audit
from nnperm_mlflow.registry.tags import RUN_TAG
from nnperm_mlflow.registry.version_link import link_on_record
from tests.support.cases import slow
from tests.support.faults import PROJECT
from tests.support.house import build_house, register
from tests.support.servers import running_server

pytestmark = pytest.mark.slow

OWN_TEXT, MORE_TEXT = "Made by Ada.", "She knows more."
KEPT = {"name": "region", "feature": "region", "max": 0.9}
MOMENT = "nnperm.audited_at"
ASKED = (
    (mlflow.MlflowClient, ("get_run", "search_runs", "get_model_version")),
    (ModelRegistryClient, ("set_model_version_tag", "delete_model_version_tag", "update_model_version")),
)
"""What is asked of the tracking store and the registry to link a version."""


@pytest.fixture(scope="module")
def ended(store, tmp_path_factory):
    """Two audits of one version, and what it shall tell of each: one has passed its policy, the other had none."""
    mlflow.set_tracking_uri(store)
    client = mlflow.MlflowClient()
    house = build_house(tmp_path_factory.mktemp("concurrent"), "concurrent")
    register(house)
    links = {}
    for checks in ([KEPT], []):
        run_id = audit({**house.settings(), "checks": checks}, model_uri="models:/concurrent/1").run_id
        links[run_id] = link_on_record(read_audit(client, run_id, tmp_path_factory.mktemp("record")))
    return client, links


def test_what_is_told_of_an_audit_on_record_is_what_it_had_told_itself(ended):
    client, links = ended
    *_, link = links.values()
    version = client.get_model_version("concurrent", "1")
    assert {**version.tags, MOMENT: ""} == {**link.tags, MOMENT: ""}
    assert link.section in version.description
    assert {len(link.tags) for link in links.values()} == {3, 6}


def call_at(monkeypatch, number, act):
    """Do something before the call of that number, among those that link a version; return the count of calls."""
    calls, at_work = Counter(), []

    def interrupted(kind, name, real):
        def call(*given, **more):
            if not at_work:
                calls["all"] += 1
                if calls["all"] == number:
                    at_work.append(True)
                    act()
                    at_work.clear()
            return real(*given, **more)

        monkeypatch.setattr(kind, name, call)

    for kind, names in ASKED:
        for name in names:
            interrupted(kind, name, getattr(kind, name))
    return calls


@pytest.mark.parametrize("first", [0, *slow(1)])
def test_whenever_one_ends_while_the_other_is_linked_the_version_tells_of_the_one_that_ended_last(
    ended, monkeypatch, first
):
    client, links = ended
    (own, own_link), (other, other_link) = [*links.items()][:: -1 if first else 1]
    now = int(time.time() * 1000)

    def end_other():
        client.set_terminated(other, "FINISHED", now + 1)
        link_newest(client, "concurrent", "1", other, other_link)

    number, calls = 0, {"all": 0}
    while calls["all"] >= number:
        number += 1
        client.update_run(other, "RUNNING")
        client.set_terminated(own, "FINISHED", now)
        client.update_model_version("concurrent", "1", OWN_TEXT)
        link_newest(client, "concurrent", "1", own, own_link)
        told = client.get_model_version("concurrent", "1")
        assert told.tags == own_link.tags
        for key in own_link.tags:  # so that all are written again
            client.delete_model_version_tag("concurrent", "1", key)
        client.update_model_version("concurrent", "1", f"{told.description}\n\n{MORE_TEXT}")
        with monkeypatch.context() as patch:
            calls = call_at(patch, number, end_other)
            link_newest(client, "concurrent", "1", own, own_link)
        version = client.get_model_version("concurrent", "1")
        expected = other_link if calls["all"] >= number else own_link
        assert {**version.tags, MOMENT: ""} == {**expected.tags, MOMENT: ""}, number
        assert f"runs/{expected.tags[RUN_TAG]}" in version.description
        assert version.description.startswith(OWN_TEXT)
        assert version.description.endswith(MORE_TEXT)
        assert version.description.count("Audit run") == 1
    assert number > 8  # requests that could be interrupted


@pytest.mark.slow
def test_two_processes_that_audit_one_version_at_once_are_both_whole(tmp_path):
    with running_server(tmp_path) as address:
        mlflow.set_tracking_uri(address)
        client = mlflow.MlflowClient()
        house = build_house(tmp_path, "house")
        register(house, "risk")
        client.update_model_version("house", "1", OWN_TEXT)
        config = tmp_path / "checked.yaml"
        config.write_text(yaml.safe_dump({**house.settings(), "checks": [KEPT]}))
        command = [sys.executable, "-m", "nnperm_mlflow", "audit", "--model-uri", "models:/house/1"]
        command += ["--config", str(config), "--tracking-uri", address, "--work-dir", str(tmp_path / "work")]
        both = [subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [process.communicate()[1] for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        runs = client.search_runs([client.get_experiment_by_name("risk").experiment_id], "tags.`nnperm.kind` = 'audit'")
        last = max(runs, key=lambda run: (run.info.end_time, run.info.run_id))
        assert [run.info.status for run in runs] == ["FINISHED"] * 2
        assert len({run.data.params["table_digest"] for run in runs}) == 1
        version = client.get_model_version("house", "1")
        assert version.tags[RUN_TAG] == last.info.run_id
        assert version.tags["nnperm.verdict"] == "pass"
        assert version.description.startswith(OWN_TEXT)
        assert version.description.count("Audit run") == version.description.count(last.info.run_id) == 1
        assert [*(tmp_path / "work").glob("states/*")] == []
