"""A server that fails at any one of an audit's requests: nothing is lost, and nothing is written twice."""

import json
import os
import shutil
import socket
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
import yaml

from nnperm_mlflow.basics.audit_files import file_digest
from nnperm_mlflow.registry import connection
from nnperm_mlflow.registry.connection import BOUNDS, PROBE_SECONDS, bounded
from nnperm_mlflow.registry.publication import load_publication
from nnperm_mlflow.registry.publisher import publish
from tests.support.faults import FAULTS, Proxy, at, commands_in, message_in, nnperm, once_each
from tests.support.house import build_house, register
from tests.support.servers import running_server
from tests.support.simulations import IN_FULL

pytestmark = pytest.mark.slow

OWN_TEXT = "Made by Ada. She knows more."
CHECKS = [
    {"name": "no reliance on region", "feature": "region", "max": 0.9},
    {"name": "much like the first", "against": "models:/house/1", "statistic": "mean", "max_shift": 0.5},
]
NEED_NOT_BE_WELL = ("/health", "/server-info")
"""Requests that are asked to see whether there is a server, or that MLflow makes for its own sake, once."""

_ONE_OF = 12
OF_THE_PROCESS = ("nnperm/model_calls",)
"""Metrics that tell of what had been computed before."""


@dataclass(frozen=True)
class Site:
    """A server behind a proxy, with version 1 of `house` audited and version 2 to be audited under a policy."""

    folder: Path
    proxy: Proxy
    client: mlflow.MlflowClient
    config: Path
    output: Path

    def audit(self):
        return nnperm(
            "audit", "--model-uri", "models:/house/2", "--config", self.config, "--output", self.output,
            "--tracking-uri", self.proxy.address,
        )  # fmt: skip

    def publish(self):
        return nnperm("publish", self.output, "--tracking-uri", self.proxy.address)

    @property
    def version(self):
        return self.client.get_model_version("house", "2")

    @property
    def runs(self):
        experiment = self.client.get_experiment_by_name("risk")
        runs = self.client.search_runs([experiment.experiment_id], "tags.`nnperm.model` = 'models:/house/2'")
        return {run.info.run_id: run for run in runs}

    def new_runs(self, before):
        """Return the runs that were not there before."""
        return {run_id: run for run_id, run in self.runs.items() if run_id not in before}

    def points(self, table, run_id):
        """Return the values that a metric has in the server's database, by key."""
        key, of_run = {"metrics": ("key", "run_uuid"), "logged_model_metrics": ("metric_name", "run_id")}[table]
        value = "value" if table == "metrics" else "metric_value"
        with sqlite3.connect(self.folder / "mlflow.db") as database:
            rows = database.execute(f"SELECT {key}, {value} FROM {table} WHERE {of_run} = ?", (run_id,)).fetchall()
        points = {}
        for name, number in rows:
            points.setdefault(name, []).append(number)
        return points

    def artifacts(self, run_id):
        root = self.folder / "artifacts" / self.client.get_run(run_id).info.experiment_id / run_id / "artifacts"
        return {str(path.relative_to(root)): file_digest(path) for path in root.rglob("*") if path.is_file()}


@dataclass(frozen=True)
class Undisturbed:
    """An audit in which nothing failed: its run, its metrics, how many requests it made, and which began its run."""

    run_id: str
    metrics: dict
    n_requests: int
    begins: int


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch, running_server(folder) as address, Proxy(address) as proxy:
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")  # so that what is late is too late, and
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # what fails is not made good by asking again
        patch.setattr(connection, "PROBE_SECONDS", (3, 3))
        mlflow.set_tracking_uri(address)
        house = build_house(folder, "house")
        settings = {**house.settings(), "analysis": {"seed": 3, "block_rows": 200}}
        config = folder / "audit.yaml"
        for version in ("1", "2"):
            assert register(house, "risk") == version
            config.write_text(yaml.safe_dump({**settings, "checks": CHECKS if version == "2" else []}))
            arguments = ["--config", config, "--output", folder / "output", "--tracking-uri", address]
            assert nnperm("audit", "--model-uri", f"models:/house/{version}", *arguments)[0] == 0
        client = mlflow.MlflowClient(address)
        client.update_model_version("house", "2", OWN_TEXT)
        yield Site(folder, proxy, client, config, folder / "output")


def assert_whole(site, run_id, undisturbed):
    """Assert that a run holds all of an audit, once, and that the version tells of it."""
    run, metrics = site.client.get_run(run_id), undisturbed.metrics
    assert run.info.status == "FINISHED"
    assert "nnperm.error" not in run.data.tags
    points = site.points("metrics", run_id)
    assert points == site.points("logged_model_metrics", run_id)
    assert {**points, **dict.fromkeys(OF_THE_PROCESS)} == {**metrics, **dict.fromkeys(OF_THE_PROCESS)}
    assert all(len(values) == 1 for values in points.values())
    assert_artifacts(site, run)
    assert run.data.params == site.client.get_run(undisturbed.run_id).data.params
    assert (len(run.inputs.dataset_inputs), len(run.inputs.model_inputs)) == (1, 1)
    assert run.data.tags["nnperm.verdict"] == "pass"
    version = site.version
    assert version.tags["nnperm.run_id"] == run_id
    assert version.tags["nnperm.verdict"] == "pass"
    assert version.description.startswith(OWN_TEXT)
    assert version.description.count("Audit run") == version.description.count(run_id) == 1
    assert not (site.output / "publication.json").exists()


def assert_artifacts(site, run, has_verdict=True):
    """Assert that all files are in a run as the audit wrote them, and exactly one verdict, or none."""
    there = site.artifacts(run.info.run_id)
    verdicts = [digest for name, digest in there.items() if name.startswith("verdicts/")]
    assert verdicts == ([there["verdict.json"]] if has_verdict else [])
    assert there["deviations.parquet"] == run.data.params["table_digest"]
    files = {path.relative_to(site.output).as_posix(): path for path in site.output.rglob("*") if path.is_file()}
    written = {name: file_digest(path) for name, path in files.items() if name != "publication.json"}

    def measured(digests):  # a verdict can be given again, and tells when
        again = ("audit.md", "report.html")
        return {name: digest for name, digest in digests.items() if "verdict" not in name and name not in again}

    assert measured(there) == measured(written)


def mend(site, said):
    """Do what the message of an audit that was disturbed says, else the same again."""
    commands = commands_in(message_in(said))
    for command in commands:
        assert nnperm(*command)[0] == 0
    if not commands:
        assert site.audit()[0] == 0


def disturbed(site, number, fault, command):
    """Run a command with a fault at one request; return its exit status, what it said, and what was asked then."""
    site.proxy.fail(at(number, fault))
    status, said = command()
    seen = [*site.proxy.seen]
    site.proxy.fail()
    print(number, fault, seen[number : number + 1], status, said)  # noqa: T201 - shown where the rest fails
    return status, said, seen


def one_finished(runs):
    (run_id,) = [run_id for run_id, run in runs.items() if run.info.status == "FINISHED"]
    return run_id


def turns(fault, numbers):
    """Return at which requests to try a fault: at all, or at so many that each request has one fault."""
    return numbers if IN_FULL else numbers[FAULTS.index(fault) :: len(FAULTS)]


def some(fault, numbers):
    """Return at which requests to try a fault: at all, or at a few that are others for each fault."""
    in_turn = turns(fault, numbers)
    return numbers if IN_FULL else in_turn[FAULTS.index(fault) % _ONE_OF :: _ONE_OF] or in_turn[-1:]


@pytest.fixture(scope="module")
def undisturbed(site):
    site.proxy.fail()
    status, said = site.audit()
    assert status == 0, said
    run_id = site.version.tags["nnperm.run_id"]
    (begins,) = [n for n, (_, path, _) in enumerate(site.proxy.seen) if path.endswith("runs/create")]
    return Undisturbed(run_id, site.points("metrics", run_id), len(site.proxy.seen), begins)


def test_a_server_that_fails_before_the_run_has_begun_is_told_of_in_a_line(site, undisturbed):
    for fault in FAULTS:
        for number in turns(fault, range(undisturbed.begins)):
            before, tags = set(site.runs), site.version.tags
            status, said, seen = disturbed(site, number, fault, site.audit)
            asked = seen[number][1]
            if asked.endswith("/runs/create"):  # MLflow has asked for less than the last time
                continue
            if asked.endswith(NEED_NOT_BE_WELL) and status == 0:
                assert len(site.runs) == len(before) + 1
                continue
            assert status == 2
            assert commands_in(message_in(said)) == []
            assert set(site.runs) == before
            assert site.version.tags == tags
    before = set(site.runs)
    assert site.audit()[0] == 0
    (new,) = set(site.runs) - before
    assert_whole(site, new, undisturbed)


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_request_of_an_audit_fails_all_is_there_once_in_the_end(site, undisturbed, fault):
    numbers = some(fault, range(undisturbed.begins, undisturbed.n_requests))
    assert numbers
    for number in numbers:
        before, tags = set(site.runs), site.version.tags
        status, said, _ = disturbed(site, number, fault, site.audit)
        new = site.new_runs(before)
        if site.version.tags != tags:
            (run,) = new.values()
            assert_artifacts(site, run, has_verdict="nnperm.verdict" in site.version.tags)
        if status != 0:
            assert status == 2
            mend(site, said)
        assert_whole(site, one_finished(site.new_runs(before)), undisturbed)


@pytest.fixture(scope="module")
def waiting(site, undisturbed):
    """What an audit left to be written, of which the server has taken nothing but that its run has begun."""
    folder = site.folder / "waiting"
    site.proxy.fail(lambda number, method, *_: "drop" if method == "PUT" else None)
    status, said = site.audit()
    assert status == 2, said
    site.proxy.fail()
    shutil.copytree(site.output, folder)
    mend(site, said)
    return folder


def laid_out(site, waiting):
    """Lay out what waits to be written, as that of a run of its own; return the run."""
    tags = {"nnperm.kind": "audit", "nnperm.model": "models:/house/2"}
    run = site.client.create_run(site.client.get_experiment_by_name("risk").experiment_id, tags=tags)
    shutil.rmtree(site.output)
    shutil.copytree(waiting, site.output)
    told = (waiting / "publication.json").read_text(encoding="utf-8")
    run_id = json.loads(told)["run_id"]
    (site.output / "publication.json").write_text(told.replace(run_id, run.info.run_id), encoding="utf-8")
    return run.info.run_id


@pytest.fixture(scope="module")
def n_to_publish(site, waiting):
    laid_out(site, waiting)
    site.proxy.fail()
    assert site.publish()[0] == 0
    return len(site.proxy.seen)


def test_publishing_that_fails_at_one_request_after_the_other_writes_all_once(site, undisturbed, waiting, n_to_publish):
    """Each try gets one request further than the one before it."""
    run_id, tags = laid_out(site, waiting), site.version.tags
    publication = site.output / "publication.json"
    told = publication.read_text(encoding="utf-8")
    for number in range(n_to_publish):
        status, _, _ = disturbed(site, number, FAULTS[number % len(FAULTS)], site.publish)
        assert publication.exists() == (status == 2)
        publication.write_text(told, encoding="utf-8")  # some faults do no harm
        if site.version.tags != tags:
            assert_artifacts(site, site.client.get_run(run_id))
    assert site.publish()[0] == 0
    assert_whole(site, run_id, undisturbed)


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_request_of_publishing_fails_publishing_again_writes_all_once(
    site, undisturbed, waiting, n_to_publish, fault
):
    numbers = some(fault, range(n_to_publish))
    assert numbers
    for number in numbers:
        run_id, tags = laid_out(site, waiting), site.version.tags
        status, _, _ = disturbed(site, number, fault, site.publish)
        if site.version.tags != tags:
            assert_artifacts(site, site.client.get_run(run_id))
        if status != 0:
            assert status == 2
            assert site.publish()[0] == 0
        assert_whole(site, run_id, undisturbed)


def test_an_audit_of_which_each_request_comes_twice_leaves_what_one_leaves(site, undisturbed, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    before = set(site.runs)
    lost = once_each("lost")
    site.proxy.fail(lambda number, *request: lost(number, *request) if number else None)  # but for the probe
    status, said = site.audit()
    site.proxy.fail()
    assert status == 0, said
    assert_whole(site, one_finished(site.new_runs(before)), undisturbed)


def test_a_server_that_is_gone_once_all_is_computed_costs_nothing_but_a_command(site, undisturbed, caplog):
    before = set(site.runs)
    site.proxy.fail(lambda number, *_: "drop" if number > undisturbed.begins else None)
    status, said = site.audit()
    site.proxy.fail()
    assert status == 2
    assert "could not be ended as FAILED (INTERNAL_ERROR)" in caplog.text
    assert "Traceback" not in caplog.text
    assert f"the MLflow server gave no answer, or only errors, at {site.proxy.address}/api/2.0/" in message_in(said)
    (run_id,) = set(site.runs) - before
    assert site.runs[run_id].info.status == "RUNNING"
    publish, check = commands_in(message_in(said))
    assert publish == ["publish", str(site.output), "--tracking-uri", site.proxy.address]
    assert check == ["check", "--run", run_id, "--tracking-uri", site.proxy.address]
    mend(site, said)
    assert_whole(site, run_id, undisturbed)


def test_a_server_that_forbids_to_write_files_is_told_as_that(site, undisturbed):
    before = set(site.runs)
    site.proxy.fail(lambda number, method, *_: "forbidden" if method == "PUT" else None)
    status, said = site.audit()
    site.proxy.fail()
    (run_id,) = set(site.runs) - before
    assert status == 2
    assert f"the server refused (403 Forbidden) at {site.proxy.address}/api/" in message_in(said)
    assert "Is it well, and may you do that? Nothing that was computed is lost" in message_in(said)
    mend(site, said)
    assert_whole(site, run_id, undisturbed)


def test_the_same_command_again_takes_what_was_computed_and_writes_it_into_a_run_of_its_own(site, undisturbed, caplog):
    before = set(site.runs)
    site.proxy.fail(lambda number, method, path, _: "error" if path.endswith("log-inputs") else None)
    assert site.audit()[0] == 2
    site.proxy.fail()
    assert site.audit()[0] == 0
    assert "going on with an audit that was interrupted (finished parts: 2)" in caplog.text
    run_id = one_finished(site.new_runs(before))
    assert_whole(site, run_id, undisturbed)
    assert site.points("metrics", run_id)["nnperm/model_calls"] == [0]


def test_publishing_twice_changes_nothing(site, undisturbed, waiting):
    run_id = laid_out(site, waiting)
    publication = load_publication(site.output)
    assert publish(site.client, site.output, publication) == []
    first = site.client.get_run(run_id).to_dictionary(), site.artifacts(run_id), dict(site.version)
    assert publish(site.client, site.output, publication) == []
    assert (site.client.get_run(run_id).to_dictionary(), site.artifacts(run_id)) == first[:2]
    last_updated = "last_updated_timestamp"
    assert {**dict(site.version), last_updated: 0} == {**first[2], last_updated: 0}
    assert_whole(site, run_id, undisturbed)
    status, said = site.publish()
    assert status == 2
    assert message_in(said).startswith(f"EvidenceError: there is nothing to publish in '{site.output}'")


def test_a_file_that_was_changed_is_not_published(site, waiting):
    run_id = laid_out(site, waiting)
    summary = site.output / "summary.csv"
    summary.write_bytes(summary.read_bytes().replace(b"age", b"agf", 1))
    status, said = site.publish()
    assert status == 2
    assert "'summary.csv' in" in message_in(said)
    assert site.artifacts(run_id) == {}


def test_an_audit_with_a_policy_makes_few_requests(site, tmp_path):
    """Of MLflow itself are those for the model's files, one each, and for the tags of the version, one each."""
    settings = yaml.safe_load(site.config.read_text())
    config = tmp_path / "plain.yaml"
    config.write_text(yaml.safe_dump({**settings, "checks": CHECKS[:1]}))
    site.proxy.fail()
    asked = ["--model-uri", "models:/house/1", "--config", config, "--tracking-uri", site.proxy.address]
    status, said = nnperm("audit", *asked)
    assert status == 0, said
    paths = [path for _, path, _ in site.proxy.seen]
    assert len(paths) <= 40
    assert sum(path.endswith("runs/log-batch") for path in paths) == 1
    assert not any(path.endswith("runs/set-tag") for path in paths)


def test_bounds_hold_until_the_last_block_that_asks_for_them_has_ended(monkeypatch):
    """As threads of one process ask for them, each in its own time."""
    own = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    for name in BOUNDS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(own, "3")
    first, second = bounded(), bounded()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert {name: os.environ.get(name) for name in BOUNDS} == {**BOUNDS, own: "3"}
    second.__exit__(None, None, None)
    assert [name for name in BOUNDS if name in os.environ] == [own]


def test_a_server_that_never_answers_is_told_of_in_time(monkeypatch):
    """All limits together are below 15 seconds, and nothing is asked again of a socket that nobody reads from."""
    assert sum(PROBE_SECONDS) < 15
    assert float(BOUNDS["MLFLOW_HTTP_REQUEST_TIMEOUT"]) < 15
    monkeypatch.setattr(connection, "PROBE_SECONDS", PROBE_SECONDS)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        status, said = nnperm("audit", "--model-uri", "models:/house/1", "--tracking-uri", address)
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert status == 2
    assert message_in(said).startswith(f"TrackingError: the MLflow server at {address} cannot be reached (ReadTimeout)")
