"""A real listener beside a real `mlflow server`: from a version's registration to its audit, and what may come between.

The parts, and what they refuse, are in test_listening.py.
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import mlflow
import pytest
import requests
import yaml
from cryptography.fernet import Fernet

from nnperm_mlflow.attestation.key_files import new_key
from nnperm_mlflow.registry.audits import find_audits
from tests.support.deliveries import SECRET, deliver, event
from tests.support.guarded_models import ServedModel
from tests.support.house import build_house, register
from tests.support.servers import free_port, running_server, wait_until
from tests.support.signers import PASSWORD, REGISTRY, TrustFile

pytestmark = pytest.mark.slow

SERVER = {
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
    "MLFLOW_WEBHOOK_CACHE_TTL": "1",
}
HOLDS_AUDITS = """
import time
from nnperm_mlflow.listening.audit_process import AuditProgram
def held(*given):
    print("the audit is held", flush=True)
    time.sleep(3600)
AuditProgram.__call__ = held
from nnperm_mlflow.cli.main import main
main()
"""


@dataclass
class Listener:
    """A listener's process."""

    process: subprocess.Popen
    log: Path

    @property
    def said(self):
        return self.log.read_text()

    @property
    def address(self):
        wait_until(lambda: "listening at" in self.said or self.process.poll() is not None, lambda: self.said)
        return re.search(r"listening at (http://127\.0\.0\.1:\d+)/webhook", self.said).group(1)

    def health(self):
        return requests.get(f"{self.address}/health", timeout=10).json()

    def wait_for(self, **expected):
        wait_until(lambda: expected.items() <= self.health().items(), lambda: f"{self.health()}\n{self.said}", 300)

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait()


@contextmanager
def listening(server, configs, state, *arguments, code=None):
    begin = ["-c", code] if code else ["-m", "nnperm_mlflow"]
    command = [
        sys.executable, *begin, "listen", "--port", "0", "--secret-env", "HOOK", "--configs", str(configs),
        "--state-dir", str(state), "--tracking-uri", server, *arguments,
    ]  # fmt: skip
    log = state.parent / f"{time.monotonic_ns()}.log"
    with (
        log.open("w") as said,
        subprocess.Popen(command, env={**os.environ, "HOOK": SECRET}, stdout=said, stderr=said) as process,
    ):
        try:
            yield Listener(process, log)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("server"), SERVER) as address:
        yield address


@pytest.fixture(scope="module")
def configs(server, tmp_path_factory):
    """A directory with the configuration of `house`, whose version 1 is older than every listener here."""
    mlflow.set_tracking_uri(server)
    folder = tmp_path_factory.mktemp("configs")
    house = build_house(folder, "house")
    register(house, experiment="risk")
    checks = [{"name": "no reliance on region", "feature": "region", "max": 0.9}]
    house.config.write_text(yaml.safe_dump({**house.settings(), "checks": checks}))
    return folder


@pytest.fixture
def client(server, configs):
    mlflow.set_tracking_uri(server)
    return mlflow.MlflowClient()


def add_version(client):
    first = client.get_model_version("house", "1")
    model_id = first.source.removeprefix("models:/")
    return str(client.create_model_version("house", first.source, first.run_id, model_id=model_id).version)


def service_key(folder):
    """The options with which a listener signs, as `service` of a trust file."""
    made = new_key(folder / "service.key", PASSWORD)
    trust = TrustFile({"expires": date.today() + timedelta(days=30), "registry": REGISTRY, "keys": {}})
    trust.add("service", ["auditor"])
    (held,) = trust.content["keys"].values()
    trust.content["keys"] = {made.key_id: {**held, "public": made.public}}
    return ["--key", str(folder / "service.key"), "--trust", str(trust.write(folder / "trust.yaml"))]


def test_a_version_is_audited_and_signed_when_it_is_registered(server, client, configs, tmp_path, monkeypatch):
    state = tmp_path / "state"
    monkeypatch.setenv("NNPERM_KEY_PASSWORD", PASSWORD)
    with listening(server, configs, state, "--every-minutes", "600", *service_key(tmp_path)) as listener:
        listener.wait_for(status="ok", registry="ok")
        hook = client.create_webhook(
            "audit", f"{listener.address}/webhook", events=["model_version.created"], secret=SECRET
        )
        try:
            assert client.test_webhook(hook.webhook_id).success
            number = add_version(client)
            listener.wait_for(audited=1, waiting=0, running=0)
            wait_until(lambda: ": signed\n" in listener.said, lambda: listener.said)
            listener.wait_for(status="ok", unsigned=0)
        finally:
            client.delete_webhook(hook.webhook_id)
        (run,) = find_audits(client, f"models:/house/{number}")
        tags = client.get_model_version("house", number).tags
        assert (tags["nnperm.run_id"], tags["nnperm.verdict"]) == (run.info.run_id, "pass")
        statements = client.list_artifacts(run.info.run_id, "statements")
        kinds = [file.path.rpartition("/")[2].partition("-")[0] for file in statements]
        assert sorted(kinds) == ["audit", "verdict"]
        assert find_audits(client, "models:/house/1") == []
        with listening(server, configs, state) as second:
            assert second.process.wait() == 2
            assert "another listener uses it" in second.said
        assert requests.get(f"{listener.address}/health", timeout=10).json()["status"] == "ok"
        assert listener.end(signal.SIGTERM) == 0
    assert f"models:/house/{number} is new: queued" in listener.said
    assert "models:/example_model/1 is ignored: its model has no configuration" in listener.said
    assert SECRET not in listener.said
    assert PASSWORD not in listener.said


def test_neither_the_version_that_waits_nor_the_one_in_its_audit_is_lost_when_the_listener_is_killed(
    server, client, configs, tmp_path
):
    state = tmp_path / "state"
    with listening(server, configs, state, "--every-minutes", "600", code=HOLDS_AUDITS) as listener:
        listener.wait_for(registry="ok")
        numbers = [add_version(client), add_version(client)]
        for number in numbers:
            assert deliver(listener.address, event(version=number), delivery=number).status_code == 202
        listener.wait_for(waiting=1, running=1)
        wait_until(lambda: "the audit is held" in listener.said, lambda: listener.said)
        assert listener.end(signal.SIGKILL) == -signal.SIGKILL
    with listening(server, configs, state) as listener:
        listener.wait_for(audited=2, waiting=0, running=0)
    assert [len(find_audits(client, f"models:/house/{number}")) for number in numbers] == [1, 1]
    assert "1 wait from before" in listener.said


def test_a_listener_outlives_a_server_that_is_down_and_finds_what_no_event_told(tmp_path):
    port = free_port()
    configs = tmp_path / "configs"
    configs.mkdir()
    house = build_house(configs, "house")
    with listening(f"http://127.0.0.1:{port}", configs, tmp_path / "state", "--every-minutes", "0.02") as listener:
        listener.wait_for(status="degraded", registry="not reached; see the log", last_reconciled=None)
        with running_server(tmp_path, port=port) as server:
            mlflow.set_tracking_uri(server)
            register(house, experiment="risk")
            listener.wait_for(audited=1, registry="ok")
            assert len(find_audits(mlflow.MlflowClient(), "models:/house/1")) == 1
            assert listener.health()["status"] == "ok"
    assert "cannot be reached" in listener.said


def test_an_alias_is_moved_back_when_it_moves_without_waiting_for_the_next_round(server, client, configs, tmp_path):
    """MLflow tells of aliases that are set and deleted; the listener's first look is over by then."""
    model = ServedModel(client, "guarded", tmp_path)
    model.promote("1")
    guarding = ["--guard", "champion", "--trust", str(model.trust_file), "--move-back", "--every-minutes", "600"]
    (tmp_path / "none").mkdir()
    with listening(server, tmp_path / "none", tmp_path / "state", *guarding) as listener:
        listener.wait_for(status="ok", guarded=1, not_kept=0)
        wait_until(lambda: "kept: promotion 1 gave it to version 1" in listener.said, lambda: listener.said)
        events = ["model_version_alias.created", "model_version_alias.deleted"]
        hook = client.create_webhook("guard", f"{listener.address}/webhook", events=events, secret=SECRET)
        try:
            time.sleep(1.5)  # for which MLflow remembers that there was no webhook (see SERVER)
            for elsewhere in ("3", None):
                model.move(elsewhere)
                wait_until(lambda: model.champion() == "1", lambda: listener.said)
            model.promote("2")
            wait_until(lambda: "kept: promotion 2 gave it to version 2" in listener.said, lambda: listener.said)
        finally:
            client.delete_webhook(hook.webhook_id)
        assert listener.end(signal.SIGTERM) == 0
    assert (model.champion(), listener.said.count("moved back")) == ("2", 2)
