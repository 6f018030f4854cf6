"""What a listener has audited is signed by a process of its own, after the audit's, and nothing else is."""

import os
import sys
import threading

import pytest

from nnperm_mlflow.listening.audit_process import AuditProgram
from nnperm_mlflow.listening.audit_work import Auditor
from nnperm_mlflow.listening.child_process import Outcome
from nnperm_mlflow.listening.delivery_ledger import Failures
from nnperm_mlflow.listening.signing import Signer, SigningProgram
from nnperm_mlflow.listening.versions import Version
from tests.support.recorded import made_audit

RUN, OTHER = "a" * 32, "b" * 32


class Signing:
    """A signer whose program is recorded, on a clock that is set."""

    def __init__(self, database):
        self.database, self.now, self.asked, self.is_free = database, 0.0, [], True
        self.outcomes = []
        self.open()

    def open(self):
        self.signer = Signer(self.database, self.sign, lambda: self.is_free, clock=lambda: self.now)

    def sign(self, run_id):
        self.asked.append(run_id)
        return self.outcomes.pop(0) if self.outcomes else Outcome(0)


@pytest.fixture
def signing(tmp_path):
    return Signing(tmp_path / "listener.db")


def test_what_was_noted_is_signed_once_also_by_the_next_listener(signing):
    signing.signer.sign_noted()
    signing.signer.note(RUN)
    signing.open()
    for _ in range(2):
        signing.signer.sign_noted()
    assert (signing.asked, signing.signer.unsigned) == ([RUN], 0)


def test_nothing_is_signed_beside_an_audit(signing):
    signing.signer.note(RUN)
    signing.is_free = False
    signing.signer.sign_noted()
    assert (signing.asked, signing.signer.unsigned) == ([], 1)


def test_what_cannot_be_signed_is_tried_three_times_with_time_between_and_told(signing, caplog):
    signing.signer.note(RUN)
    signing.outcomes = [Outcome(2, said=["the key has another password"])] * 3
    for signing.now in (0, 1, 300, 301, 600, 9000):
        signing.signer.sign_noted()
    assert (signing.asked, signing.signer.given_up, signing.signer.unsigned) == ([RUN] * 3, 1, 1)
    assert f"not signed (exit status 2), try 3 of 3; given up; sign it by hand: nnperm sign {RUN}" in caplog.text


def test_a_signature_that_was_stopped_with_the_listener_counts_no_try(signing):
    signing.signer.note(RUN)
    signing.outcomes = [Outcome(-15, "stopped")]
    for _ in range(2):
        signing.signer.sign_noted()
    assert (signing.asked, signing.signer.unsigned) == ([RUN] * 2, 0)


@pytest.mark.parametrize(
    ("told", "expected"), [(RUN, [RUN]), (f"{RUN}\n", [RUN]), ("../x", []), (RUN + OTHER, []), ("", []), (None, [])]
)
def test_only_the_run_that_an_audit_tells_in_its_file_is_signed(tracked, signing, told, expected, caplog):
    """One that was made up meanwhile, and counts as the version's audit, stays unsigned."""
    writes = "" if told is None else f"open(sys.argv[sys.argv.index('--run-file') + 1], 'w').write({told!r})"
    name, tmp_path = f"signed {told!r}".replace("/", ""), signing.database.parent
    tracked.create_registered_model(name)
    version = Version(name, str(tracked.create_model_version(name, "file:///a/model").version))
    (tmp_path / f"{name}.yaml").write_text("one")
    program = AuditProgram(
        tmp_path / "lock", 600, os.environ, threading.Event(),
        (sys.executable, "-c", f"import sys; {writes or 0}"), tells_run=True,
    )  # fmt: skip

    def audit_beside_a_forger(version, config):
        made_audit(tracked, version.uri)
        return program(version, config)

    audit_beside_a_forger.wait_for_others = lambda: True
    Auditor(tmp_path, Failures(tmp_path / "listener.db"), audit_beside_a_forger, signing.signer).audit(version)
    signing.signer.sign_noted()
    assert signing.asked == expected
    assert ("its audit told no run" in caplog.text) is (not expected)


def test_the_password_goes_to_the_process_that_signs_and_shows_nowhere(tmp_path):
    code = "import os, sys; print(os.environ['NNPERM_KEY_PASSWORD'].split(), *sys.argv[1:])"
    program = SigningProgram(
        tmp_path / "key", tmp_path / "trust", "several words", os.environ, threading.Event(),
        (sys.executable, "-c", code),
    )  # fmt: skip
    assert program(RUN).said == [f"['several', 'words'] {RUN} --key {tmp_path / 'key'} --trust {tmp_path / 'trust'}"]
    assert "several words" not in repr(program)
    assert "NNPERM_KEY_PASSWORD" not in os.environ
