"""The listener's parts: what it takes, what it refuses, what it remembers, and how it runs an audit."""

import json
import os
import pickle
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pytest
import requests
import uvicorn
from click.testing import CliRunner
from mlflow.webhooks.types import EVENT_TO_PAYLOAD_CLASS

from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.listening.audit_process import AuditProgram, surroundings
from nnperm_mlflow.listening.audit_work import Auditor
from nnperm_mlflow.listening.backlog import Backlog
from nnperm_mlflow.listening.child_process import Outcome
from nnperm_mlflow.listening.configs import configs_in
from nnperm_mlflow.listening.connections import MOST_CONNECTIONS, PromptProtocol, web_config
from nnperm_mlflow.listening.delivery_ledger import Deliveries, Failures, first_start
from nnperm_mlflow.listening.intake import MOST_BODY_BYTES, Intake, build_app
from nnperm_mlflow.listening.reconciliation import Reconciler
from nnperm_mlflow.listening.registry_state import standing
from nnperm_mlflow.listening.service import listen
from nnperm_mlflow.listening.settings import ListenSettings
from nnperm_mlflow.listening.state_lock import only_listener
from nnperm_mlflow.listening.versions import Version
from nnperm_mlflow.registry.audits import finished_audits
from nnperm_mlflow.registry.connection import BOUNDS
from nnperm_mlflow.registry.model_lookups import versions_of
from nnperm_mlflow.registry.sightings import Sightings
from tests.support.deliveries import SECRET, deliver, event, signed
from tests.support.recorded import made_audit
from tests.support.servers import free_port, wait_until

NOW = 1_800_000_000
HOUSE = Version("house", "1")
SOURCE = "file:///a/model"
ODD_NAMES = [
    "two words",
    "überprüft ✓",
    "$(touch injected); `touch injected` & x",
    "-rf",
    "it's",
    'a "b"',
    "both ' and \"",
    "%s_{}",
    "back\\slash",
    "back\\",
    "line\nbreak",
    "a.b",
    "..",
    "*",
    "--config=x",
]


@dataclass
class Door:
    """A listener's web application, served on loopback, with audits that are only recorded."""

    folder: Path
    most_waiting: int = 1000
    now: float = NOW
    audited: list = field(default_factory=list)
    while_audited: list = field(default_factory=list)
    while_told: list = field(default_factory=list)

    def __post_init__(self):
        self.configs = self.folder / "configs"
        self.configs.mkdir()
        (self.configs / "house.yaml").touch()
        self.backlog = Backlog(self.folder / "listener.db", self.most_waiting, self.audit)
        self.deliveries = Deliveries(self.folder / "listener.db")
        self.intake = Intake(SECRET, self.configs, self.backlog, self.deliveries, clock=lambda: self.now)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(web_config(build_app(self.intake, self.tell)))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()

    def audit(self, version):
        self.audited.append(version)
        for act in self.while_audited:
            act()

    def tell(self):
        for act in self.while_told:
            act()
        return {"status": "ok"}

    def connect(self, said=b""):
        connection = socket.create_connection(self.socket.getsockname(), timeout=60)
        connection.sendall(said)
        return connection

    def deliver(self, body=None, **how):
        return deliver(self.address, event() if body is None else body, **{"when": self.now, **how})

    def post(self, body, headers):
        return requests.post(f"{self.address}/webhook", data=body, headers=headers, timeout=30)

    def work(self):
        while self.backlog.run_next():
            pass

    def close(self):
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def door(tmp_path):
    opened = Door(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def narrow_door(tmp_path):
    opened = Door(tmp_path, most_waiting=1)
    yield opened
    opened.close()


def test_a_delivery_that_comes_three_times_is_audited_once(door):
    """Also where the third comes once the audit is done, and nothing waits or runs any more."""
    assert door.deliver().status_code == 202
    assert door.deliver().status_code == 200
    door.work()
    assert door.deliver().json() == {"status": "delivered before"}
    door.work()
    assert door.audited == [HOUSE]


def test_a_version_that_waits_or_is_audited_right_now_is_not_queued_again(door):
    door.deliver(delivery="first")
    assert door.deliver(delivery="second").json() == {"status": "waiting"}
    answers = []
    door.while_audited.append(lambda: answers.append(door.deliver(delivery=f"while {len(answers)}").json()))
    door.work()
    assert (door.audited, answers) == ([HOUSE], [{"status": "running"}])
    assert door.deliver(delivery="later").json() == {"status": "queued"}


def headers_with(**changed):
    return {**signed(event(), when=NOW), **{f"X-MLflow-{name.replace('_', '-')}": to for name, to in changed.items()}}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (event(), signed(event(), when=NOW, secret="another secret")),
        (event(version="2"), signed(event(), when=NOW)),
        (event(), headers_with(Signature="")),
        (event(), headers_with(Signature="v1,")),
        (event(), headers_with(Signature=signed(event(), when=NOW)["X-MLflow-Signature"].removeprefix("v1,"))),
        (event(), headers_with(Delivery_Id="another")),
        (event(), headers_with(Delivery_Id="")),
        (event(), headers_with(Timestamp=str(NOW + 1))),
        (event(), headers_with(Timestamp="")),
        (event(), headers_with(Timestamp="now")),
        (event(), headers_with(Timestamp="9" * 5000)),
        (event(), {}),
        (event(), signed(event(), when=NOW - 301)),
        (event(), signed(event(), when=NOW + 301)),
        ("x" * 100, {}),
    ],
)
def test_what_does_not_prove_where_and_when_it_comes_from_is_refused(door, body, headers):
    answer = door.post(body, headers)
    assert answer.status_code == 401
    assert answer.json()["reason"] in ("not signed", "wrong signature", "too old, or from the future")
    assert len(answer.text.splitlines()) == 1
    assert door.backlog.waiting == 0


@pytest.mark.parametrize("when", [NOW - 300, NOW + 300])
def test_a_delivery_of_the_last_five_minutes_is_taken(door, when):
    assert door.deliver(when=when).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "no JSON",
        '{"entity": "model_version"}',
        '{"entity": "model_version", "action": "created", "data": []}',
        '{"entity": "model_version", "action": "created", "data": {}}',
        event(name=None),
        event(name=""),
        event(name="a/b"),
        event(name="a:b"),
        event(name="x" * 300),
        event(version="latest"),
        event(version="1; touch injected"),
        event(version=["1"]),
        event(name="\ud800"),
        '{"a":' * 100_000,
    ],
)  # fmt: skip
def test_a_signed_body_that_is_no_event_is_refused(door, body):
    answer = door.deliver(body)
    assert (answer.status_code, answer.json()) == (400, {"reason": "no event of a model registry"})
    assert door.backlog.waiting == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_a_mebibyte_is_refused_and_one_of_a_mebibyte_is_not(door, chunked):
    padding = MOST_BODY_BYTES - len(event(description=""))
    for more, code in ((0, 202), (1, 413)):
        body = event(description="x" * (padding + more))
        parts = (part.encode() for part in (body[:100], body[100:])) if chunked else body
        assert door.post(parts, signed(body, when=NOW)).status_code == code


@pytest.mark.parametrize("kind", [kind for kind in EVENT_TO_PAYLOAD_CLASS if kind != ("model_version", "created")])
def test_every_other_event_of_mlflow_is_answered_and_ignored(door, kind):
    example = EVENT_TO_PAYLOAD_CLASS[kind].example()
    body = json.dumps({"entity": kind[0].value, "action": kind[1].value, "timestamp": "", "data": example})
    assert door.deliver(body).status_code == 200
    assert door.backlog.waiting == 0


@pytest.mark.parametrize("name", ["other", "House", "house ", "hous?", "*", "..", "house.yaml", "listener"])
def test_a_model_without_a_configuration_of_exactly_its_name_is_ignored_and_counted(door, name):
    (door.configs / "listener.yml").touch()
    (door.configs / "listener.yaml").mkdir()
    answer = door.deliver(event(name=name))
    assert (answer.status_code, answer.json()["status"]) == (200, "ignored")
    assert (door.backlog.waiting, door.intake.without_config) == (0, 1)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_reaches_the_audit_as_it_is(door, name):
    (door.configs / f"{name}.yaml").touch()
    assert door.deliver(event(name=name)).status_code == 202
    door.work()
    assert door.audited == [Version(name, "1")]
    assert len(str(door.audited[0]).splitlines()) == 1
    assert configs_in(door.configs)[name] == door.configs / f"{name}.yaml"


def test_a_full_queue_says_come_again_and_takes_the_same_delivery_later(narrow_door):
    narrow_door.deliver(delivery="first")
    refused = narrow_door.deliver(event(version="2"), delivery="second")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "60")
    narrow_door.work()
    assert narrow_door.deliver(event(version="2"), delivery="second").status_code == 202
    narrow_door.work()
    assert narrow_door.audited == [HOUSE, Version("house", "2")]


def test_a_queue_that_cannot_be_written_says_come_again(door):
    with sqlite3.connect(door.folder / "listener.db") as other:
        other.execute("drop table task")
    answer = door.deliver()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")


def test_what_waits_is_there_for_the_next_listener_in_its_order(door):
    for number in "312":
        door.deliver(event(version=number), delivery=number)
    audited = []
    after = Backlog(door.folder / "listener.db", 1000, audited.append)
    assert after.waiting == 3
    while after.run_next():
        pass
    assert [version.number for version in audited] == ["3", "1", "2"]


def test_an_audit_that_raises_leaves_the_queue_going(door, caplog):
    door.while_audited.append(lambda: 1 / 0)
    door.deliver(event(version="1"), delivery="1")
    door.deliver(event(version="2"), delivery="2")
    door.work()
    assert len(door.audited) == 2
    assert door.backlog.running is None
    assert "ZeroDivisionError" in caplog.text


class Injected:
    def __reduce__(self):
        return os.system, ("touch injected",)


def test_whoever_writes_into_the_queue_runs_no_code(door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with sqlite3.connect(door.folder / "listener.db") as other:
        other.execute("insert into task (queue, data) values ('audits', ?)", (pickle.dumps(Injected()),))
    with pytest.raises(ValueError, match="decode|JSON"):
        door.backlog.run_next()
    assert not (tmp_path / "injected").exists()
    assert door.backlog.waiting == 0


ASKED = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"


def is_closed(connection):
    """Wait until the other side has closed a connection, whatever it still says; longer than a minute raises."""
    try:
        while connection.recv(1000):
            pass
    except ConnectionResetError:
        pass
    return True


def test_connections_that_ask_for_nothing_shut_nobody_out(door, monkeypatch):
    monkeypatch.setattr(PromptProtocol, "seconds", 0.5)
    idle = [door.connect(said) for said in (b"", b"POST /web", ASKED[:-2]) for _ in range(MOST_CONNECTIONS)]
    wait_until(lambda: requests.get(f"{door.address}/health", timeout=60).ok, "nobody gets in")
    assert all(is_closed(connection) for connection in idle)


def test_a_connection_is_not_kept_by_the_half_of_a_second_request(door, monkeypatch):
    """Uvicorn closes one that was answered and then says nothing, and waits for ever once it says something."""
    monkeypatch.setattr(PromptProtocol, "seconds", 1)
    connection = door.connect(ASKED)
    assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
    connection.sendall(ASKED[:10])
    assert is_closed(connection)


def test_a_request_that_takes_long_is_answered(door, monkeypatch):
    """It is held until a connection that was made later has been closed, whose time was up after its own."""
    monkeypatch.setattr(PromptProtocol, "seconds", 1)
    reached, go = threading.Event(), threading.Event()
    door.while_told += [reached.set, lambda: go.wait(60)]
    asking = door.connect(ASKED)
    assert reached.wait(60)
    assert is_closed(door.connect())
    go.set()
    assert asking.recv(10_000).startswith(b"HTTP/1.1 200")


def test_deliveries_are_remembered_as_long_as_their_signature_can_be_good(tmp_path):
    """One that was signed five minutes ahead is good for ten."""
    deliveries = Deliveries(tmp_path / "listener.db")
    deliveries.remember("one", NOW)
    deliveries.forget_old(NOW + 600)
    assert deliveries.knows("one")
    deliveries.forget_old(NOW + 601)
    assert not deliveries.knows("one")


def test_the_first_start_is_remembered(tmp_path):
    assert first_start(tmp_path / "listener.db", NOW) == first_start(tmp_path / "listener.db", NOW + 1) == NOW


# How an audit is run


def program(tmp_path, code, most_seconds=600, stopping=None, environment=None):
    """Run Python code instead of an audit."""
    return AuditProgram(
        tmp_path / "audit.lock",
        most_seconds,
        os.environ if environment is None else environment,
        stopping or threading.Event(),
        (sys.executable, "-c", code),
    )


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_one_argument_of_the_audit_whatever_it_holds(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    told = "import json, sys; json.dump(sys.argv[1:], open('told', 'w'))"
    outcome = program(tmp_path, told)(Version(name, "7"), tmp_path / "a config.yaml")
    assert outcome == Outcome(0)
    arguments = ["--model-uri", f"models:/{name}/7", "--config", str(tmp_path / "a config.yaml")]
    assert json.loads((tmp_path / "told").read_text()) == arguments
    assert not (tmp_path / "injected").exists()


def test_an_audit_is_told_the_store_and_neither_the_secret_nor_a_run_of_the_listener(tmp_path, monkeypatch):
    monkeypatch.setenv("HOOK", SECRET)
    monkeypatch.setenv("MLFLOW_RUN_ID", "1234")
    monkeypatch.setenv("MLFLOW_HOOK", SECRET)
    told = "import os; print(*(os.environ.get(n) for n in ('MLFLOW_TRACKING_URI', 'MLFLOW_RUN_ID', 'HOOK')))"
    for secret_env in ("HOOK", "MLFLOW_HOOK"):
        monkeypatch.delenv("HOOK" if secret_env == "MLFLOW_HOOK" else "MLFLOW_HOOK")
        environment = surroundings("http://me:word@house", [secret_env], ["HOOK"])
        outcome = program(tmp_path, told, environment=environment)(HOUSE, tmp_path)
        assert outcome.said == ["http://me:word@house None None"]
        assert SECRET not in environment.values()
        monkeypatch.setenv("MLFLOW_HOOK", SECRET)


def test_an_audit_gets_what_stores_are_reached_by_what_is_passed_on_and_nothing_else(monkeypatch):
    needed = ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "https_proxy", "HOME", "OMP_NUM_THREADS", "PATH")
    others = ("SMTP_PASSWORD", "GITHUB_TOKEN", "TF_VAR_password", "A_KEY_OF_TOMORROW")
    for name in (*needed, *others, "STORE_PLUGIN", "NNPERM_KEY_PASSWORD"):
        monkeypatch.setenv(name, f"value of {name}")
    found = surroundings("http://house", ["HOOK"], ["STORE_PLUGIN", "NNPERM_KEY_PASSWORD"])
    assert {name: found.get(name) for name in (*needed, "STORE_PLUGIN")} == {
        name: f"value of {name}" for name in (*needed, "STORE_PLUGIN")
    }
    assert not {*others, "NNPERM_KEY_PASSWORD"} & set(found)


def test_all_that_an_audit_says_is_kept_with_its_exit_status(tmp_path):
    """The table's head above all: without it nobody knows what the numbers are."""
    code = (
        "import sys; print('perturbation median', *range(40), '', sep='\\n', flush=True)\n"
        "print('\\x1b[31mred', file=sys.stderr); sys.exit(2)"
    )
    outcome = program(tmp_path, code)(HOUSE, tmp_path)
    assert (outcome.status, outcome.ended) == (2, "by itself")
    assert outcome.said == ["perturbation median", *(str(number) for number in range(40)), "\\x1b[31mred"]


@pytest.mark.parametrize(("before", "after"), [(60, 1), (0, 10**6), (20_000, 20_000)])
def test_of_very_much_the_beginning_and_the_end_are_kept(before, after, tmp_path):
    lines = [*(f"head {number}" for number in range(40)), *(f"end {number}" for number in range(40))]
    code = f"lines = {lines}; print(*lines[:40], 'x' * {before}, 'y' * {after}, *lines[40:], sep='\\n')"
    assert program(tmp_path, code)(HOUSE, tmp_path).said == [*lines[:30], "...", *lines[-30:]]


def test_a_line_without_an_end_is_cut(tmp_path):
    assert program(tmp_path, "print('x' * 10**6)")(HOUSE, tmp_path).said == ["x" * 500, "...", "x" * 500]


def test_an_audit_that_takes_too_long_is_stopped(tmp_path):
    outcome = program(tmp_path, "import time; time.sleep(3600)", most_seconds=0.1)(HOUSE, tmp_path)
    assert (outcome.status, outcome.ended) == (-signal.SIGTERM, "timed out")


ENDS_ON_SIGTERM = """
import pathlib, signal, sys, time
def end(number, frame):
    pathlib.Path("ended").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
pathlib.Path("begun").touch()
time.sleep(3600)
"""


def test_a_listener_that_stops_lets_the_audit_end_its_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stopping, outcomes = threading.Event(), []
    run = program(tmp_path, ENDS_ON_SIGTERM, stopping=stopping)
    thread = threading.Thread(target=lambda: outcomes.append(run(HOUSE, tmp_path)))
    thread.start()
    wait_until((tmp_path / "begun").exists, "the audit did not begin")
    stopping.set()
    thread.join()
    assert outcomes == [Outcome(143, "stopped")]
    assert (tmp_path / "ended").exists()


ORPHAN = """
import pathlib, time
pathlib.Path("begun").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.05)
pathlib.Path("ended").touch()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="locks are not inherited there")
def test_an_audit_that_a_killed_listener_left_behind_is_waited_for(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO", "nnperm_mlflow")
    listener = (
        "import os, sys, threading; from pathlib import Path\n"
        "from nnperm_mlflow.listening.audit_process import AuditProgram\n"
        "from nnperm_mlflow.listening.versions import Version\n"
        f"run = AuditProgram(Path('audit.lock'), 600, os.environ, threading.Event(), "
        f"(sys.executable, '-c', {ORPHAN!r}))\n"
        "run(Version('house', '1'), Path('x'))"
    )
    with subprocess.Popen([sys.executable, "-c", listener], cwd=tmp_path) as process:
        wait_until((tmp_path / "begun").exists, "the audit did not begin")
        process.kill()
    ended = []
    next_one = program(tmp_path, "")
    waiting = threading.Thread(target=lambda: ended.append((next_one.wait_for_others(), (tmp_path / "ended").exists())))
    waiting.start()
    wait_until(lambda: "is still running" in caplog.text, "the audit was not waited for")
    (tmp_path / "go").touch()
    waiting.join()
    assert ended == [(True, True)]


@pytest.mark.skipif(sys.platform == "win32", reason="locks are not inherited there")
def test_an_audit_that_never_ends_is_not_joined_by_another(tmp_path, caplog):
    import fcntl

    with (tmp_path / "audit.lock").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not program(tmp_path, "", most_seconds=0).wait_for_others()
    assert f"does not end: end what holds '{tmp_path / 'audit.lock'}'" in caplog.text
    assert program(tmp_path, "", most_seconds=0).wait_for_others()


# What the registry is asked, and what is done about it


class Recorded:
    """A program that audits nothing: it writes the run of a finished audit, or fails."""

    def __init__(self, client):
        self.client, self.outcome, self.writes, self.asked, self.told = client, Outcome(0), True, [], {}

    def wait_for_others(self):
        return True

    def __call__(self, version, config):
        self.asked.append((version, config))
        if self.writes:
            finished_audit(self.client, version, **self.told)
        return self.outcome


def finished_audit(client, version, status="FINISHED", **more):
    return made_audit(client, version.uri, status, **more)


@dataclass
class Shop:
    """An auditor and a reconciler over a real sqlite store."""

    client: mlflow.MlflowClient
    folder: Path
    name: str
    now: float = NOW

    def __post_init__(self):
        self.client.create_registered_model(self.name)
        self.config = self.folder / f"{self.name}.yaml"
        self.config.write_text("one")
        self.database = self.folder / "listener.db"
        self.failures = Failures(self.database)
        self.program = Recorded(self.client)
        self.auditor = Auditor(self.folder, self.failures, self.program)
        self.open()

    def open(self, since=0.0, most_waiting=1000):
        deliveries = Deliveries(self.database)
        self.backlog = Backlog(self.database, most_waiting, self.auditor.audit)
        self.reconciler = Reconciler(
            self.folder, self.backlog, self.failures, deliveries, since, clock=lambda: self.now
        )

    def add(self, n=1):
        return [Version(self.name, str(self.client.create_model_version(self.name, SOURCE).version)) for _ in range(n)]

    def work(self):
        while self.backlog.run_next():
            pass

    @property
    def asked(self):
        return [version.number for version, _ in self.program.asked]


@pytest.fixture
def shop(tracked, tmp_path, request):
    made = Shop(tracked, tmp_path, f"shop of {request.node.name}"[:200].replace("/", "").replace(":", ""))
    yield made
    tracked.delete_registered_model(made.name)


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if name != ".."])  # which MLflow refuses
def test_versions_and_audits_of_odd_names_are_found_and_no_others(tracked, name):
    name = f"heard {name}"  # others use the store, too
    version = Version(name, "1")
    alike = name.replace("'", "_") + "_"
    for each in (name, alike):
        tracked.create_registered_model(each)
    try:
        tracked.create_model_version(alike, SOURCE)
        assert standing(tracked, version, None) == "missing"
        tracked.create_model_version(name, SOURCE)
        assert [(found.name, str(found.version)) for found in versions_of(tracked, name)] == [(name, "1")]
        assert standing(tracked, version, None) == "unaudited"
        finished_audit(tracked, version)
        assert standing(tracked, version, None) == "audited"
        assert standing(tracked, Version(name, "2"), None) == "missing"
    finally:
        for each in (name, alike):
            tracked.delete_registered_model(each)


def test_the_listener_notes_when_it_first_saw_an_audit(shop, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (version,) = shop.add()
    shop.reconciler.reconcile()
    finished_audit(shop.client, version)
    for shop.now in (NOW + 60, NOW + 120):
        shop.reconciler.reconcile()
    (run,) = finished_audits(shop.client, version.uri)
    seen = Sightings.of_user().first_seen([run.info.run_id, "another"], 5)
    assert seen == {run.info.run_id: (NOW + 60) * 1000, "another": 5}


def test_only_a_finished_audit_of_this_very_version_counts(shop):
    one, other = shop.add(2)
    for status in ("FAILED", "KILLED"):
        finished_audit(shop.client, one, status)
    shop.client.create_run("0", tags={"nnperm.model": one.uri, "nnperm.kind": "audit"})
    finished_audit(shop.client, one, kind="comparison")
    finished_audit(shop.client, Version(shop.name, "11"))
    assert standing(shop.client, one, None) == "unaudited"
    finished_audit(shop.client, one, experiment=shop.client.create_experiment(f"another, for {shop.name}"))
    assert standing(shop.client, one, None) == "audited"
    assert standing(shop.client, other, None) == "unaudited"


@pytest.mark.parametrize(
    ("verdict", "found"),
    [
        ({}, "unaudited"),
        ({"nnperm.verdict": "pass"}, "unaudited"),
        ({"nnperm.policy": "wanted"}, "unaudited"),
        ({"policy": "another"}, "unaudited"),
        ({"nnperm.verdict": "pass", "nnperm.policy": "wanted"}, "unaudited"),
        ({"policy": "another", "nnperm.policy": "wanted"}, "unaudited"),
        ({"policy": "wanted", "verdict": "fail"}, "audited"),
    ],
)
def test_where_a_verdict_is_wanted_only_an_audit_with_one_by_that_policy_counts(shop, verdict, found):
    """A verdict that only tags tell, or that is by another policy than they say, is none."""
    (version,) = shop.add()
    finished_audit(shop.client, version, **verdict)
    finished_audit(shop.client, version, policy="an older one")
    assert standing(shop.client, version, "wanted") == found
    assert standing(shop.client, version, None) == "audited"


def test_a_verdict_by_an_earlier_policy_still_counts_once_another_was_applied(shop):
    """Where the two policies alternate, each would otherwise ask for an audit again and again."""
    (version,) = shop.add()
    run_id = finished_audit(shop.client, version, policy="wanted")
    (kept,) = [file.path for file in shop.client.list_artifacts(run_id, "verdicts")]
    text = mlflow.artifacts.load_text(f"runs:/{run_id}/{kept}")
    later = text.replace('"wanted"', '"another"')
    for path in ("verdict.json", kept.replace("wanted", "another")):
        shop.client.log_text(run_id, later, path)
    shop.client.set_tag(run_id, "nnperm.policy", "another")
    for policy, found in {"another": "audited", "wanted": "audited", "a third": "unaudited"}.items():
        assert standing(shop.client, version, policy) == found
    shop.client.log_text(run_id, later, kept)  # a name alone is no verdict
    assert standing(shop.client, version, "wanted") == "unaudited"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"files": {"summary.csv": None, "config.yaml": None, "deviations.parquet": None}}, "does not say its"),
        ({"params": {"summary_digest": "0" * 64}}, "summary.csv of run .* has been changed"),
        ({"files": {"summary.csv": "perturbation,median\nage,1\n"}}, "summary.csv lacks the columns"),
        ({"params": {"repeats_made": "many"}}, "'repeats_made' of run .* is no whole number"),
        ({"params": {"model": "models:/another/1"}}, "it is an audit of models:/another/1"),
        ({"params": {"table_digest": "0" * 64}, "files": {"deviations.parquet": None}}, "deviations.parquet is not"),
    ],
)
def test_a_made_up_run_keeps_no_version_from_its_audit(shop, caplog, made, message):
    """Before its evidence was read, four tags on an empty run were enough, for ever."""
    (version,) = shop.add()
    made = {**made, "params": {"table_digest": "0" * 64, **made.get("params", {})}}
    run_id = finished_audit(shop.client, version, policy="wanted", **made)
    for policy in ("wanted", None):
        assert standing(shop.client, version, policy) == "unaudited"
    assert re.search(f"run {run_id} does not count as an audit of .*{message}", caplog.text)
    finished_audit(shop.client, version, policy="wanted")
    for policy in ("wanted", None):
        assert standing(shop.client, version, policy) == "audited"


def test_a_version_whose_event_was_lost_is_found_and_audited_once(shop):
    shop.add(3)
    shop.reconciler.reconcile()
    shop.reconciler.reconcile()
    assert shop.backlog.waiting == 3
    shop.work()
    shop.reconciler.reconcile()
    shop.work()
    assert shop.asked == ["3", "2", "1"]
    assert shop.program.asked[0][1] == shop.config
    assert (shop.auditor.audited, shop.reconciler.registry) == (3, "ok")


def test_versions_from_before_are_left_alone(shop):
    shop.add()
    (first,) = versions_of(shop.client, shop.name)
    shop.open(since=first.creation_timestamp / 1000 + 0.001)
    shop.reconciler.reconcile()
    assert shop.backlog.waiting == 0
    shop.open(since=first.creation_timestamp / 1000)
    shop.reconciler.reconcile()
    assert shop.backlog.waiting == 1


def test_a_version_that_is_not_ready_is_left_for_later(shop, store):
    (version,) = shop.add()

    def set_status(status):
        with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
            database.execute("update model_versions set status = ? where name = ?", (status, shop.name))

    set_status("PENDING_REGISTRATION")
    shop.reconciler.reconcile()
    assert shop.backlog.waiting == 0
    shop.backlog.add(version)
    shop.work()
    assert shop.asked == []
    set_status("READY")
    shop.reconciler.reconcile()
    shop.work()
    assert shop.asked == ["1"]


def test_a_version_that_is_gone_or_audited_by_now_is_not_audited(shop):
    gone, audited = Version(shop.name, "7"), shop.add()[0]
    finished_audit(shop.client, audited)
    shop.backlog.add(gone)
    shop.backlog.add(audited)
    shop.work()
    assert (shop.asked, shop.failures.uris()) == ([], set())


@pytest.mark.parametrize("status", [0, 1, 2])
def test_an_audit_that_was_written_is_finished_whatever_its_verdict_and_what_came_after(shop, status):
    shop.program.outcome = Outcome(status)
    shop.failures.add(*shop.add(), "another digest")
    shop.reconciler.reconcile()
    shop.work()
    assert (shop.auditor.audited, shop.failures.uris()) == (1, set())


@pytest.mark.parametrize(
    "outcome", [Outcome(0), Outcome(1), Outcome(2), Outcome(-9), Outcome(143), Outcome(-15, "timed out")], ids=str
)
def test_an_audit_that_left_no_finished_run_is_tried_three_times_and_given_up(shop, outcome):
    """The run decides: status 1 is a verdict of fail, and also what Python ends with on an error of its own."""
    shop.program.outcome, shop.program.writes = outcome, False
    shop.add()
    for _ in range(5):
        shop.reconciler.reconcile()
        shop.work()
    assert shop.asked == ["1", "1", "1"]
    assert (shop.failures.given_up(), Failures(shop.database).given_up()) == (1, 1)
    shop.config.write_text("another")
    shop.reconciler.reconcile()
    shop.work()
    assert shop.asked == ["1", "1", "1", "1"]


def asks_for(shop, most, **more):
    """Write a configuration with a policy, and return what an audit with a verdict by it has."""
    policy = {"checks": [{"feature": "age", "max": most}]}
    shop.config.write_text(json.dumps({**policy, **more}))
    return {"policy": Policy.model_validate(policy).digest()}


def test_a_policy_that_cannot_be_answered_is_a_failure_until_it_is_mended(shop, caplog):
    """The audit itself is then finished, with exit status 2 and without a verdict."""
    asks_for(shop, 0.1)
    shop.program.outcome = Outcome(2)
    shop.add()
    for _ in range(5):
        shop.reconciler.reconcile()
        shop.work()
    assert (shop.asked, shop.auditor.audited, shop.failures.given_up()) == (["1"] * 3, 0, 1)
    assert "no verdict (exit status 2), try 3 of 3; given up" in caplog.text
    shop.program.outcome, shop.program.told = Outcome(0), asks_for(shop, 0.2)
    shop.reconciler.reconcile()
    shop.work()
    assert (shop.asked, shop.auditor.audited, shop.failures.given_up()) == (["1"] * 4, 1, 0)


def test_another_policy_leads_to_another_verdict(shop):
    shop.add()
    for most, audits in [(0.1, 1), (0.2, 2), (0.1, 2)]:  # of the last there is a verdict already
        shop.program.told = asks_for(shop, most)
        for _ in range(2):
            shop.reconciler.reconcile()
            shop.work()
        assert len(shop.asked) == audits


@pytest.mark.parametrize(
    "changed", [{"mode": "dry_run"}, {"mode": "off", "undecided": "pass"}, {"analysis": {"seed": 4}}]
)
def test_what_else_is_changed_in_a_configuration_leads_to_no_other_audit(shop, changed):
    (version,) = shop.add()
    finished_audit(shop.client, version, **asks_for(shop, 0.1))
    asks_for(shop, 0.1, **changed)
    shop.reconciler.reconcile()
    assert (shop.reconciler.registry, shop.backlog.waiting) == ("ok", 0)


def test_a_version_given_up_is_forgotten_once_it_is_audited_by_hand_or_deleted(shop):
    by_hand, deleted = shop.add(2)
    for version in (by_hand, deleted):
        for _ in range(3):
            shop.failures.add(version, "a digest")
    finished_audit(shop.client, by_hand)
    shop.client.delete_model_version(deleted.name, deleted.number)
    shop.reconciler.reconcile()
    assert shop.failures.given_up() == 0


def test_an_audit_that_stopped_with_the_listener_is_no_failure(shop):
    shop.program.outcome, shop.program.writes = Outcome(143, "stopped"), False
    shop.add()
    shop.reconciler.reconcile()
    shop.work()
    assert (shop.asked, shop.failures.uris(), shop.auditor.audited) == (["1"], set(), 0)


def test_a_registry_that_cannot_be_asked_costs_no_try_and_is_asked_again(shop, store):
    (version,) = shop.add()
    mlflow.set_tracking_uri(f"http://127.0.0.1:{free_port()}")
    shop.backlog.add(version)
    shop.work()
    shop.reconciler.reconcile()
    assert shop.reconciler.registry == "not reached; see the log"
    assert (shop.reconciler.last, shop.asked, shop.failures.uris()) == (None, [], set())
    mlflow.set_tracking_uri(store)
    shop.reconciler.reconcile()
    shop.work()
    assert (shop.reconciler.registry, shop.asked) == ("ok", ["1"])


def test_what_does_not_fit_into_the_queue_is_found_in_a_later_round(shop):
    shop.add(3)
    shop.open(most_waiting=2)
    shop.reconciler.reconcile()
    shop.work()
    shop.reconciler.reconcile()
    shop.work()
    assert shop.asked == ["3", "2", "1"]


# What a listener is told


def test_all_that_a_listener_asks_of_a_server_is_bounded(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("nnperm_mlflow.listening.service.Listener", lambda _: seen.append(dict(os.environ)) or Quiet())
    listen(settings(tmp_path))
    assert seen[0].items() >= BOUNDS.items()


class Quiet:
    """A listener that stops at once."""

    def run(self, _):
        pass


def settings(folder, **changed):
    told = {"host": "127.0.0.1", "port": 0, "secret": SECRET, "secret_env": "HOOK"}
    return ListenSettings(**{**told, "configs": folder, "state": folder / "state", **changed})


def test_a_second_listener_on_one_state_directory_is_refused(tmp_path):
    with (
        only_listener(tmp_path / "state"),
        pytest.raises(ConfigError, match="another listener uses it.*--state-dir"),
    ):
        listen(settings(tmp_path))
    with only_listener(tmp_path / "state"):
        pass


def test_a_state_directory_is_its_users_alone(tmp_path):
    with only_listener(tmp_path / "a" / "state"):
        assert (tmp_path / "a" / "state").stat().st_mode & 0o077 == 0


def test_directories_and_ports_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(ConfigError, match="'.*nowhere' cannot be read.*--configs"):
        listen(settings(tmp_path, configs=tmp_path / "nowhere"))
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="'.*state' cannot be used.*--state-dir"):
        listen(settings(tmp_path, state=tmp_path / "file" / "state"))
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="--port"):
        listen(settings(tmp_path, port=taken.getsockname()[1]))


def test_a_database_of_something_else_is_named(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "listener.db").write_text("no database" * 1000)
    with pytest.raises(ConfigError, match="'.*listener.db' cannot be used.*--state-dir"):
        listen(settings(tmp_path))


def test_the_command_line_says_all_of_it(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("nnperm_mlflow.listening.service.listen", told.append)
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "of the user"))
    monkeypatch.setenv("HOOK", SECRET)
    required = ["listen", "--port", "8000", "--secret-env", "HOOK", "--configs", str(tmp_path)]
    numbers = {"--since-days": "2", "--every-minutes": "1", "--most-minutes": "3", "--most-waiting": "4"}
    more = ["--host", "0.0.0.0", "--all", *(part for option in numbers.items() for part in option)]
    for arguments in (required, [*required, *more, "--state-dir", str(tmp_path / "own")]):
        assert CliRunner().invoke(main, arguments, catch_exceptions=False).exit_code == 0
    plain, full = told
    assert plain == settings(tmp_path, port=8000, state=plain.state)
    assert full == settings(
        tmp_path, port=8000, state=tmp_path / "own", host="0.0.0.0", since_days=2.0, everything=True,
        every_minutes=1.0, most_minutes=3.0, most_waiting=4,
    )  # fmt: skip
    if sys.platform == "linux":
        assert plain.state == tmp_path / "of the user" / "nnperm" / "listen"


def test_the_secret_does_not_show_in_the_settings(tmp_path):
    assert SECRET not in str(settings(tmp_path))


@pytest.mark.parametrize(("held", "said"), [({"HOOK": ""}, "is empty"), ({"HOOK": None}, "is not set")])
def test_a_listener_without_a_secret_does_not_start(tmp_path, held, said):
    arguments = ["listen", "--port", "0", "--secret-env", "HOOK", "--configs", str(tmp_path)]
    result = CliRunner(env=held).invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("ConfigError: the environment variable 'HOOK'")
    assert said in result.stderr
