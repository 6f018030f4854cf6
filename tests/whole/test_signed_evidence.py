"""Signed evidence as people and services use it: commands in processes of their own."""

import json
import os
import subprocess
import sys

import mlflow
import pytest
import yaml

from nnperm_mlflow import audit
from tests.support.signed_audits import POLICY
from tests.support.signers import PASSWORD, TrustFile


def nnperm(*arguments, cwd, **environment):
    """Run the command line in a process of its own; return its exit status and what it printed."""
    command = [sys.executable, "-m", "nnperm_mlflow", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_service_signs_what_it_audited_and_a_third_party_verifies_it_without_the_server(house, store, tmp_path):
    mlflow.set_tracking_uri(store)
    done = audit(house.settings(), model_uri="models:/house/1", policy=POLICY)

    # The service has a key; whoever keeps the trust file writes down whose it is, and what the alias needs.
    key, trust = tmp_path / "service.key", tmp_path / "trust.yaml"
    status, said = nnperm(
        "keys", "new", key, "--person", "service", "--role", "auditor", cwd=tmp_path, NNPERM_KEY_PASSWORD=PASSWORD
    )
    assert status == 0, said
    entry = yaml.safe_load("\n".join(line for line in said.splitlines() if "public" in line))
    made = TrustFile.of("house", _record(done.run_id, tmp_path), POLICY)
    made.content["keys"] = {
        **{key_id: held for key_id, held in made.content["keys"].items() if held["person"] != "service"},
        **entry,
    }
    made.write(trust)

    # The audit is signed in a process of its own, after the one that loaded the model has ended.
    signing = ["sign", done.run_id, "--key", key, "--trust", trust, "--tracking-uri", store]
    status, said = nnperm(*signing, cwd=tmp_path, NNPERM_KEY_PASSWORD=PASSWORD)
    assert status == 0, said
    assert "signed by 'service'" in said
    assert "verdict: sha256" in said
    assert PASSWORD not in said
    status, said = nnperm(*signing, cwd=tmp_path, NNPERM_KEY_PASSWORD="another password, no less long")
    assert (status, "has another password" in said) == (2, True), said
    assert "another password, no less long" not in said

    # It leaves the server as one file, which a third party verifies without it.
    status, said = nnperm("bundle", done.run_id, "--output", tmp_path / "b.zip", "--tracking-uri", store, cwd=tmp_path)
    assert status == 0, said
    offline = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "cwd": tmp_path}
    status, said = nnperm("verify", tmp_path / "b.zip", "--trust", trust, **offline)
    assert status == 0, said
    assert "verified: models:/house/1 of registry 'risk registry' for 'champion'" in said
    assert "by their own clock" in said
    (tmp_path / "b.zip").write_bytes((tmp_path / "b.zip").read_bytes()[:-30])
    status, said = nnperm("verify", tmp_path / "b.zip", "--trust", trust, **offline)
    assert (status, said.startswith("not verified: ")) == (1, True), said


def _record(run_id, folder):
    from nnperm_mlflow.registry.records import read_audit

    return read_audit(mlflow.MlflowClient(), run_id, folder)


@pytest.mark.slow
def test_without_the_extra_all_but_signatures_works_and_says_what_to_install(store, tmp_path):
    (tmp_path / "securesystemslib").mkdir()
    (tmp_path / "securesystemslib" / "__init__.py").write_text("raise ImportError('no', name='securesystemslib')\n")
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    status, said = nnperm("verify", tmp_path, "--trust", tmp_path / "trust.yaml", cwd=tmp_path, PYTHONPATH=path)
    assert status == 2
    assert "pip install 'nnperm_mlflow[sign]'" in said
    status, said = nnperm("history", "models:/none", "--tracking-uri", store, cwd=tmp_path, PYTHONPATH=path)
    assert status == 2
    assert "securesystemslib" not in said


WITHOUT = """
import json, sys
sys.modules["securesystemslib"] = None
from click.testing import CliRunner
from nnperm_mlflow.cli.main import main
for arguments in json.loads(sys.argv[1]):
    done = CliRunner().invoke(main, arguments)
    print(json.dumps([done.exit_code, done.stdout, done.stderr]))
from pathlib import Path
from nnperm_mlflow.listening.service import Listener
from nnperm_mlflow.listening.settings import ListenSettings
folder = Path(sys.argv[2])
plain = Listener(ListenSettings("127.0.0.1", 0, "secret", "HOOK", folder, folder))
print(json.dumps(plain.health()))
"""


@pytest.mark.slow
def test_without_the_extra_guard_and_trust_are_refused_in_one_line_and_listener_and_history_stay(tracked, tmp_path):
    tracked.create_registered_model("without the extra")
    store, trust = mlflow.get_tracking_uri(), tmp_path / "trust.yaml"
    listening = ["listen", "--port", "0", "--secret-env", "HOOK", "--configs", tmp_path, "--state-dir", tmp_path / "s"]
    history = ["history", "models:/without the extra"]
    asked = [[*listening, "--guard", "champion", "--trust", trust], [*history, "--trust", trust], history]
    told = json.dumps([[*map(str, arguments), "--tracking-uri", store] for arguments in asked])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, told, tmp_path], capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "HOOK": "secret", "MLFLOW_TRACKING_URI": store},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    guarded, trusted, plain, health = map(json.loads, done.stdout.splitlines())
    for status, said, complained in (guarded, trusted):
        lines = [line for line in complained.splitlines() if "no model has a configuration" not in line]
        assert (status, said, len(lines)) == (2, "", 1), complained
        assert "to verify what is signed, the module 'securesystemslib" in lines[0]
        assert lines[0].endswith("pip install 'nnperm_mlflow[sign]'.")
    assert plain == [0, "models:/without the extra: no version has been audited.\n", ""]
    assert (health["status"], "guarded" in health) == ("degraded", False)
