"""Bundles: what is verified offline, and all that is refused."""

import hashlib
import json
import os
import random
import subprocess
import sys
import zipfile
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import mlflow
import pytest

from nnperm_mlflow import audit, bundle, verify
from nnperm_mlflow.approval.signed_audit import sign, sign_record
from nnperm_mlflow.attestation.bundle_files import write_bundle
from nnperm_mlflow.attestation.statements import AuditStatement, VerdictStatement, read_statement, resource
from nnperm_mlflow.basics.errors import AuditError, ConfigError, EvidenceError
from nnperm_mlflow.registry.records import read_audit
from tests.support.signed_audits import POLICY, Packed
from tests.support.signers import REGISTRY, key_of, verify_by_specification


@pytest.fixture(scope="module")
def original(house, store, tmp_path_factory):
    """The bundle of an audit of the small network, signed by the service."""
    mlflow.set_tracking_uri(store)
    folder = tmp_path_factory.mktemp("signed")
    done = audit(house.settings(), model_uri="models:/house/1", policy=POLICY)
    client = mlflow.MlflowClient()
    record = read_audit(client, done.run_id, folder)
    sign_record(client, record, key_of("service"), REGISTRY, folder)
    bundle(done.run_id, folder / "bundle")
    return Packed(folder / "bundle", record)


@pytest.fixture
def packed(original, tmp_path):
    return original.copy(tmp_path / "bundle")


@pytest.fixture
def trust(original, tmp_path):
    return original.trust().write(tmp_path / "trust.yaml")


def found_in(verified):
    """What must not change: the bytes that were signed, by whom, and all digests."""
    signed = {(each.payload, each.digest, each.key_id, each.person) for each in verified.signed}
    return signed, dict(verified.files), verified.model_digest, verified.verdict, verified.recomputed


def test_a_bundle_is_verified_without_a_server(original, trust):
    found = verify(original.folder, trust=trust)
    assert (found.model, found.version, found.alias, found.registry) == ("house", "1", "champion", REGISTRY)
    assert (found.verdict, found.people) == ("pass", ["service"])
    assert found.model_digest == original.record.param("model_digest")
    assert set(found.files) == {"config.yaml", "deviations.parquet", "record.json", "summary.csv", "verdict.json"}
    assert found.files["deviations.parquet"] == original.record.param("table_digest")
    assert found.recomputed == ("the summary from the deviation table", "the verdict from summary and table")
    assert "the data (--config FILE)" in found.on_trust


def test_what_was_signed_verifies_by_the_specification_alone(original):
    for kind, reader in (("audit", AuditStatement), ("verdict", VerdictStatement)):
        sealed = original.sealed(kind)
        payload = verify_by_specification(sealed.content, key_of("service").public.public)
        assert read_statement(payload, reader).model_digest == original.record.param("model_digest")


def test_model_and_data_are_held_against_what_was_signed_where_they_are_at_hand(original, trust, house, tmp_path):
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri="models:/house/1", dst_path=str(tmp_path / "model")))
    found = verify(original.folder, trust=trust, model=folder, config=house.config)
    assert found.recomputed[2:] == ("the digest of the model's files", "the digest of the data")
    (folder / "MLmodel").write_text((folder / "MLmodel").read_text() + "\n")
    with pytest.raises(EvidenceError, match="model_digest is"):
        verify(original.folder, trust=trust, model=folder)


@pytest.mark.slow
def test_verifying_loads_no_mlflow_and_reaches_no_server(original, trust, tmp_path):
    code = (
        "import sys, nnperm_mlflow\n"
        f"found = nnperm_mlflow.verify({str(original.folder)!r}, trust={str(trust)!r})\n"
        "assert not {'mlflow', 'keras', 'tensorflow', 'torch'} & set(sys.modules), sorted(sys.modules)\n"
        "print(found.verdict)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("pass\n", 0), done.stderr


def test_folder_and_zip_hold_the_same_and_equal_files_make_equal_zips(original, trust, tmp_path):
    files = {path.name: path for path in original.folder.iterdir()}
    for name in ("one.zip", "two.zip"):
        write_bundle(tmp_path / name, files)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    assert found_in(verify(tmp_path / "one.zip", trust=trust)) == found_in(verify(original.folder, trust=trust))
    with pytest.raises(ConfigError, match="no bundle is written over"):
        write_bundle(tmp_path / "one.zip", files)


def mutate(content, rng):
    """Change, leave out, double or add some bytes, or exchange two parts."""
    kind, at, length = rng.randrange(5), rng.randrange(len(content)), 1 + int(rng.expovariate(0.2))
    part = content[at : at + length]
    if kind == 0:
        other = bytes(rng.randrange(256) for _ in part)
        return content[:at] + other + content[at + length :]
    if kind == 1:
        return content[:at] + content[at + length :]
    if kind == 2:
        return content[:at] + part + content[at:]
    if kind == 3:
        flipped = bytes([content[at] ^ (1 << rng.randrange(8))])
        return content[:at] + flipped + content[at + 1 :]
    other = rng.randrange(len(content))
    first, last = sorted((at, other))
    swapped = content[last : last + length]
    return content[:first] + swapped + content[first + len(swapped) :]


def outcome(path, trust):
    """What is found in a bundle; None where it is refused in words."""
    try:
        return found_in(verify(path, trust=trust))
    except AuditError:
        return None


@pytest.mark.slow
def test_a_thousand_mutations_are_refused_or_change_nothing(original, trust, tmp_path):
    """Of single files mostly, small ones as often as large ones, and of the zip as a whole."""
    rng, expected = random.Random(19), found_in(verify(original.folder, trust=trust))
    names = sorted(path.name for path in original.folder.iterdir())
    write_bundle(tmp_path / "whole.zip", {name: original.folder / name for name in names})
    whole, refused, unchanged = (tmp_path / "whole.zip").read_bytes(), 0, 0
    copy = original.copy(tmp_path / "copy")
    for number in range(1000):
        if number % 4:
            name = rng.choice(names)
            content = (original.folder / name).read_bytes()
            path = copy.folder / name
        else:
            content, path = whole, tmp_path / "mutated.zip"
        mutated = mutate(content, rng)
        path.write_bytes(mutated)
        found = outcome(path if path.suffix == ".zip" else copy.folder, trust)
        assert found in (None, expected), (number, path.name)
        assert found is None or mutated == content or path.suffix == ".zip" or path.name.endswith(".dsse.json")
        refused, unchanged = refused + (found is None), unchanged + (found is not None)
        if path.suffix != ".zip":
            path.write_bytes(content)
    assert refused > 900
    assert refused + unchanged == 1000


def test_without_the_trust_of_whoever_verifies_nothing_is_verified(packed, trust, tmp_path):
    """A key is never learnt from a bundle."""
    statement = read_statement(packed.sealed("audit").payload, AuditStatement)
    packed.replace("audit", statement, by="a stranger")
    with pytest.raises(EvidenceError, match="signed by a key that the trust file does not hold"):
        verify(packed.folder, trust=trust)
    with pytest.raises(ConfigError, match="there is no bundle"):
        verify(tmp_path / "nowhere", trust=trust)


def test_only_a_key_in_its_role_and_time_signs(original, packed, tmp_path):
    statement = read_statement(packed.sealed("audit").payload, AuditStatement)
    trust = original.trust()
    packed.replace("audit", statement, by="anna")
    with pytest.raises(EvidenceError, match=r"signed by 'anna', whose key may not \(auditor\)"):
        verify(packed.folder, trust=trust.write(tmp_path / "trust.yaml"))
    yesterday = date.today() - timedelta(days=2)
    trust.add("service", ["auditor"], from_=yesterday - timedelta(days=5), until=yesterday)
    with pytest.raises(EvidenceError, match="when the key of 'service' .* did not hold"):
        verify(original.folder, trust=trust.write(tmp_path / "trust.yaml"))
    trust = original.trust().add("other service", ["auditor"])
    packed.replace("audit", statement, by="other service")
    with pytest.raises(EvidenceError, match="'other service', and the trust file names 'service' for 'champion'"):
        verify(packed.folder, trust=trust.write(tmp_path / "trust.yaml"))


def test_one_key_under_two_ids_is_no_second_signature(packed, trust):
    """securesystemslib's own `Envelope.verify` counts it twice."""
    (path,) = packed.folder.glob("audit-*")
    told = json.loads(path.read_bytes())
    told["signatures"].append({**told["signatures"][0], "keyid": key_of("anna").public.key_id})
    path.write_text(json.dumps(told))
    with pytest.raises(EvidenceError, match="no DSSE envelope with one signature"):
        verify(packed.folder, trust=trust)
    told["signatures"] = told["signatures"][1:]
    path.write_text(json.dumps(told))
    with pytest.raises(EvidenceError, match="has no valid signature of 'anna'"):
        verify(packed.folder, trust=trust)


def test_a_key_may_be_followed_by_another_of_the_same_person(original, packed, trust, tmp_path):
    rotated = original.trust().add("new key", ["auditor"], person="service")
    statement = read_statement(packed.sealed("audit").payload, AuditStatement)
    packed.add("audit", statement, by="new key")
    found = verify(packed.folder, trust=rotated.write(tmp_path / "rotated.yaml"))
    assert found.people == ["service"]
    assert len({each.key_id for each in found.signed}) == 2


def test_what_a_revoked_key_signed_counts_only_where_a_promotion_before_names_it(original, packed, tmp_path):
    path, now = tmp_path / "trust.yaml", datetime.now(timezone.utc)
    later, earlier = now + timedelta(hours=1), now - timedelta(hours=1)
    revoked = original.trust().revoke("service", later).write(path)
    with pytest.raises(EvidenceError, match="revoked at .* and no promotion before that names it"):
        verify(packed.folder, trust=revoked)
    promotion = packed.add("promotion", packed.promotion(), by="deploy")
    assert promotion in {each.digest for each in verify(packed.folder, trust=revoked).signed}
    with pytest.raises(EvidenceError, match="no promotion before that names it"):
        verify(packed.folder, trust=original.trust().revoke("service", earlier).write(path))
    both = original.trust().revoke("service", later).revoke("deploy", later).write(path)
    with pytest.raises(EvidenceError, match="no promotion before that names it"):
        verify(packed.folder, trust=both)


def test_a_revoked_key_does_not_vouch_for_itself(original, packed, tmp_path):
    trust = original.trust().add("service", ["auditor", "promoter"]).revoke("service")
    trust.content["aliases"]["models:/house@champion"]["promoters"] = ["service"]
    packed.add("promotion", packed.promotion(), by="service")
    with pytest.raises(EvidenceError, match="no promotion before that names it"):
        verify(packed.folder, trust=trust.write(tmp_path / "trust.yaml"))


def test_no_type_of_statement_stands_in_for_another(packed, trust):
    """Each file is read as the type that its name tells, and no other."""
    verdict = packed.sealed("verdict")
    packed.add("decision", verdict.payload, by="anna")
    with pytest.raises(EvidenceError, match="is no DecisionStatement .*'predicateType'"):
        verify(packed.folder, trust=trust)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"registry": "another registry"}, "is of the registry 'another registry'"),
        ({"alias": "challenger"}, "'champion'"),
        ({"version": "2"}, "models:/house/2"),
        ({"on": ("0" * 64, "1" * 64)}, "rests on another audit or verdict"),
    ],
    ids=["registry", "alias", "version", "verdict"],
)
def test_a_decision_on_something_else_is_no_part_of_it(packed, trust, changed, said):
    decision = packed.decision(on=changed.pop("on", None))
    predicate = decision.predicate.model_copy(update=changed)
    subject = (resource(f"models:/{predicate.model}/{predicate.version}", decision.model_digest),)
    packed.add("decision", decision.model_copy(update={"predicate": predicate, "subject": subject}), by="asker")
    with pytest.raises(EvidenceError, match=said):
        verify(packed.folder, trust=trust)


def test_another_runs_table_is_refused_even_where_it_is_signed(packed, trust):
    """A stranger's table under the digest of this audit, and the record changed to fit it."""
    (packed.folder / "deviations.parquet").write_bytes(b"another table")
    with pytest.raises(EvidenceError, match=r"deviations.parquet.*other files than those that were signed"):
        verify(packed.folder, trust=trust)
    record = replace(packed.record, params={**packed.record.params, "table_digest": "0" * 64})
    told = json.loads((packed.folder / "record.json").read_text())
    (packed.folder / "record.json").write_text(json.dumps({**told, "params": dict(record.params)}))
    with pytest.raises(EvidenceError, match="the record of the audit is not the one that was signed"):
        verify(packed.folder, trust=trust)


def test_a_signed_verdict_that_the_numbers_do_not_give_is_refused(packed, trust):
    """The audit's machine may have been somebody else's for a while."""
    told = json.loads((packed.folder / "verdict.json").read_text())
    told["checks"][0]["state"] = "undecided"
    (packed.folder / "verdict.json").write_text(json.dumps(told))
    statement = read_statement(packed.sealed("verdict").payload, VerdictStatement)
    digest = hashlib.sha256((packed.folder / "verdict.json").read_bytes()).hexdigest()
    predicate = statement.predicate.model_copy(update={"verdict": resource("verdict.json", digest)})
    packed.replace("verdict", statement.model_copy(update={"predicate": predicate}), by="service")
    with pytest.raises(EvidenceError, match="is not what the numbers give"):
        verify(packed.folder, trust=trust)


@pytest.mark.parametrize("key", ["policy", "config", "data"])
def test_an_audit_of_something_else_is_none_for_the_alias(original, tmp_path, key):
    trust = original.trust()
    trust.content["aliases"]["models:/house@champion"][key] = "0" * 64
    with pytest.raises(EvidenceError, match=rf"not what 'champion' needs, in '{key}' \(000000000000 in the trust"):
        verify(original.folder, trust=trust.write(tmp_path / "trust.yaml"))


def test_a_file_that_nobody_signed_is_refused(packed, trust):
    (packed.folder / "scores.json").write_text("{}")
    with pytest.raises(EvidenceError, match="nobody has signed 'scores.json'"):
        verify(packed.folder, trust=trust)
    (packed.folder / "scores.json").rename(packed.folder / "readme.html")
    with pytest.raises(EvidenceError, match="holds 'readme.html', which no bundle has"):
        verify(packed.folder, trust=trust)


def test_an_audit_that_nobody_has_signed_is_told_as_unsigned(packed, trust):
    for path in packed.folder.glob("*.dsse.json"):
        path.unlink()
    with pytest.raises(EvidenceError, match="the bundle is unsigned: it holds no signed audit"):
        verify(packed.folder, trust=trust)


def test_links_and_folders_are_refused(packed, trust, tmp_path):
    held = packed.folder / "summary.csv"
    held.rename(tmp_path / "summary.csv")
    held.symlink_to(tmp_path / "summary.csv")
    with pytest.raises(EvidenceError, match=r"summary.csv of the bundle is a link"):
        verify(packed.folder, trust=trust)
    held.unlink()
    held.mkdir()
    with pytest.raises(EvidenceError, match=r"summary.csv of the bundle is no file"):
        verify(packed.folder, trust=trust)
    held.rmdir()
    os.mkfifo(held)
    with pytest.raises(EvidenceError, match=r"summary.csv of the bundle is no file"):
        verify(packed.folder, trust=trust)


def bad_zips():
    plain = zipfile.ZipInfo("scores.json")
    link = zipfile.ZipInfo("scores.json")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    yield "above", [("../scores.json", b"{}")], "'../scores.json', which no bundle has"
    yield "absolute", [("/tmp/scores.json", b"{}")], "which no bundle has"
    yield "folder", [("scores.json/", b"")], "which no bundle has"
    yield "double", [("summary.csv", b"{}")], "'summary.csv' more than once"
    yield "link", [(link, b"/etc/passwd")], "is a link, compressed or encrypted"
    plain.compress_type = zipfile.ZIP_DEFLATED
    yield "compressed", [(plain, b"{}" * 99)], "is a link, compressed or encrypted"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("members", "said"), [z[1:] for z in bad_zips()], ids=[z[0] for z in bad_zips()])
def test_a_zip_with_anything_else_in_it_is_refused(original, trust, tmp_path, members, said):
    write_bundle(tmp_path / "bundle.zip", {path.name: path for path in original.folder.iterdir()})
    with zipfile.ZipFile(tmp_path / "bundle.zip", "a") as archive:
        for name, content in members:
            archive.writestr(name, content)
    with pytest.raises(EvidenceError, match=said):
        verify(tmp_path / "bundle.zip", trust=trust)


def test_a_name_ends_where_it_ends(original, trust, tmp_path):
    """Not at a byte of zero, behind which zipfile's own names would stop."""
    path = tmp_path / "bundle.zip"
    write_bundle(path, {path.name: path for path in original.folder.iterdir()})
    path.write_bytes(path.read_bytes().replace(b"summary.csv", b"summary\0csv"))
    with pytest.raises(EvidenceError, match="which no bundle has"):
        verify(path, trust=trust)


def test_what_others_put_into_the_run_is_left_out_and_signing_twice_writes_nothing(original, trust, store, tmp_path):
    mlflow.set_tracking_uri(store)
    client, run_id = mlflow.MlflowClient(), original.record.run_id
    record = read_audit(client, run_id, tmp_path)
    before, _ = sign_record(client, record, key_of("service"), REGISTRY, tmp_path)
    again, written = sign_record(client, record, key_of("service"), REGISTRY, tmp_path)
    assert (again, written) == (before, ())
    _, junk = sign_record(client, record, key_of("an editor"), REGISTRY, tmp_path)
    assert len(junk) == 2
    done = bundle(run_id, tmp_path / "bundle.zip", trust=trust)
    assert [name for name in done.left_out if "no key of the trust file has signed it" in name] == list(done.left_out)
    assert len(done.left_out) == 2
    assert verify(tmp_path / "bundle.zip", trust=trust).verdict == "pass"
    bundle(run_id, tmp_path / "with_junk.zip")
    with pytest.raises(EvidenceError, match="signed by a key that the trust file does not hold"):
        verify(tmp_path / "with_junk.zip", trust=trust)


def test_an_audit_of_before_is_read_and_told_as_unsigned(house, store, tmp_path):
    mlflow.set_tracking_uri(store)
    done = audit(house.settings(), model_uri="models:/house/1")
    with pytest.raises(EvidenceError, match="is unsigned: whoever made it signs it"):
        bundle(done.run_id, tmp_path / "bundle.zip")
    assert not (tmp_path / "bundle.zip").exists()


def test_nothing_is_signed_where_code_of_a_model_may_have_run(original, trust, tmp_path):
    """In this process networks have been loaded."""
    assert "keras" in sys.modules
    with pytest.raises(ConfigError, match="code of a model may have run .*'keras'.* Sign in a process of its own"):
        sign(original.record.run_id, key=tmp_path / "none.key", password="", trust=trust)


def test_a_verdict_that_was_changed_in_the_run_is_not_signed(house, store, tmp_path):
    mlflow.set_tracking_uri(store)
    client = mlflow.MlflowClient()
    strict = POLICY.model_copy(update={"checks": [POLICY.checks[0].model_copy(update={"max": 1e-9})]})
    done = audit(house.settings(), model_uri="models:/house/1", policy=strict)
    assert done.verdict.status == "fail"
    record = read_audit(client, done.run_id, tmp_path)
    told = json.loads(record.files.fetch("verdict.json").read_text())
    told["verdict"], told["checks"][0]["passed"], told["checks"][0]["state"] = "pass", True, "holds"
    client.log_text(done.run_id, json.dumps(told), "verdict.json")
    with pytest.raises(EvidenceError, match="the verdict on record is not what the numbers give"):
        sign_record(client, read_audit(client, done.run_id, tmp_path / "again"), key_of("service"), REGISTRY, tmp_path)
