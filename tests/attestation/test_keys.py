"""Keys in files, and the trust file that says whose they are."""

import hashlib
import json
import re
import stat
from datetime import date, datetime, timedelta, timezone

import pytest
import yaml
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from nnperm_mlflow.attestation.envelopes import seal
from nnperm_mlflow.attestation.key_files import new_key, read_key
from nnperm_mlflow.attestation.trust import load_trust
from nnperm_mlflow.basics.errors import ConfigError
from nnperm_mlflow.cli.main import main
from tests.support.signers import PASSWORD, TrustFile, key_of

SOON = date.today() + timedelta(days=30)


def trust_file():
    made = TrustFile({"expires": SOON, "registry": "risk", "keys": {}})
    return made.add("anna", ["approver"]).add("ben", ["approver"]).add("service", ["auditor"]).add("it", ["promoter"])


def terms(**changed):
    approvals = {"of": ["anna", "ben"], "at_least": 2}
    digests = {"policy": "1" * 64, "config": "2" * 64, "data": "3" * 64}
    return {**digests, "auditors": ["service"], "approvals": approvals, "promoters": ["it"], **changed}


def test_a_key_is_read_back_by_its_owner_with_its_password(tmp_path):
    made = new_key(tmp_path / "anna.key", PASSWORD)
    assert stat.S_IMODE((tmp_path / "anna.key").stat().st_mode) == 0o600
    assert (tmp_path / "anna.key").read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    read = read_key(tmp_path / "anna.key", PASSWORD)
    assert read.public == made
    assert seal(b"{}", read).is_signed_by(made.public)


def test_the_id_of_a_key_is_computed_from_it():
    """As TUF and in-toto do: sha256 of its canonical JSON."""
    public = key_of("anna").public
    told = {"keytype": "ed25519", "keyval": {"public": public.public}, "scheme": "ed25519"}
    assert public.key_id == hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def test_a_key_that_others_could_use_is_refused(tmp_path):
    path = tmp_path / "anna.key"
    with pytest.raises(ConfigError, match="at least 16 letters, and has 5"):
        new_key(path, "short")
    new_key(path, PASSWORD)
    with pytest.raises(ConfigError, match="no key is written over"):
        new_key(path, PASSWORD)
    with pytest.raises(ConfigError, match="another password") as refused:
        read_key(path, "a wrong password, but long")
    assert "a wrong password" not in str(refused.value)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="mode 640: others may read"):
        read_key(path, PASSWORD)
    private = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="is not encrypted"):
        read_key(path, PASSWORD)


def test_the_command_prints_an_entry_for_the_trust_file_and_nothing_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("NNPERM_KEY_PASSWORD", PASSWORD)
    path = tmp_path / "anna.key"
    done = CliRunner().invoke(main, ["keys", "new", str(path), "--person", "anna", "--role", "approver"])
    assert done.exit_code == 0, done.output
    entry = yaml.safe_load(done.stdout)
    trust = load_trust(TrustFile({"expires": SOON, "registry": "risk", "keys": entry}).write(tmp_path / "trust.yaml"))
    (key_id,) = trust.keys
    assert read_key(path, PASSWORD).public.key_id == key_id
    assert PASSWORD not in done.output
    assert not set(path.read_text().splitlines()) & set(done.output.splitlines())


def test_the_password_is_asked_for_without_being_shown(tmp_path, monkeypatch):
    monkeypatch.delenv("NNPERM_KEY_PASSWORD", raising=False)
    arguments = ["keys", "new", str(tmp_path / "anna.key"), "--person", "anna", "--role", "approver"]
    done = CliRunner().invoke(main, arguments, input=f"{PASSWORD}\n{PASSWORD}\n")
    assert done.exit_code == 0, done.output
    assert PASSWORD not in done.output
    assert read_key(tmp_path / "anna.key", PASSWORD)


def test_a_trust_file_is_read(tmp_path):
    made = trust_file().revoke("ben")
    made.content["aliases"] = {"models:/credit@champion": terms()}
    trust = load_trust(made.write(tmp_path / "trust.yaml"))
    assert trust.keys[key_of("anna").public.key_id].person == "anna"
    assert list(trust.revoked) == [key_of("ben").public.key_id]
    assert trust.terms_of("credit")[1].approvals.at_least == 2
    with pytest.raises(ConfigError, match=r"says nothing of models:/credit@challenger.*'models:/credit@champion'"):
        trust.terms_of("credit", "challenger")


def wrong_trust_files():
    anna = key_of("anna").public

    def changed(**parts):
        return {**trust_file().content, **parts}

    keys = trust_file().content["keys"]
    own = keys[anna.key_id]
    of_alias = "models:/credit@champion"
    yield "an id of its own choice", changed(keys={**keys, "0" * 64: own}), "stands under another one"
    yield "unknown key", changed(trusted=[]), "unknown key 'trusted'"
    yield "unknown role", changed(keys={anna.key_id: {**own, "roles": ["admin"]}}), "roles"
    yield "a role twice", changed(keys={anna.key_id: {**own, "roles": ["approver", "approver"]}}), "named once"
    yield "no end", changed(keys={anna.key_id: {k: v for k, v in own.items() if k != "until"}}), "field required"
    yield "upper case", changed(keys={anna.key_id: {**own, "public": anna.public.upper()}}), "public"
    yield "expired", changed(expires=date.today() - timedelta(days=1)), "was to be used until"
    yield "no time zone", changed(revoked={anna.key_id: {"at": datetime(2026, 1, 1), "why": "x"}}), "at"
    now = datetime.now(timezone.utc)
    yield "a revoked key that is not there", changed(revoked={"0" * 64: {"at": now, "why": "x"}}), "leave revoked keys"
    yield "no alias", changed(aliases={"models:/credit/4": terms()}), "expected models:/name@alias"
    yield "a short digest", changed(aliases={of_alias: terms(policy="1" * 12)}), "policy"
    nobody = terms(auditors=["nobody"])
    yield "nobody", changed(aliases={of_alias: nobody}), "'nobody' of .* has no key with the role 'auditor'"
    wrong_role = terms(promoters=["anna"])
    yield "another role", changed(aliases={of_alias: wrong_role}), "no key with the role 'promoter'"
    three = terms(approvals={"of": ["anna", "ben"], "at_least": 3})
    yield "three of two", changed(aliases={of_alias: three}), "3 of 2 people cannot approve"
    one_twice = terms(approvals={"of": ["anna", "anna"], "at_least": 2})
    yield "one twice", changed(aliases={of_alias: one_twice}), "each is named once"
    none = terms(approvals={"of": ["anna"], "at_least": 0})
    yield "none needed", changed(aliases={of_alias: none}), "at_least"


@pytest.mark.parametrize(
    ("content", "said"), [case[1:] for case in wrong_trust_files()], ids=[case[0] for case in wrong_trust_files()]
)
def test_a_trust_file_with_a_fault_is_refused_as_a_whole(tmp_path, content, said):
    with pytest.raises(ConfigError, match=re.compile(said, re.DOTALL)):
        load_trust(TrustFile(content).write(tmp_path / "trust.yaml"))


def test_a_trust_file_comes_from_this_machine():
    with pytest.raises(ConfigError, match="is a URI"):
        load_trust("runs:/abc/trust.yaml")
