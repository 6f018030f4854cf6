"""A version becomes champion because people have decided so, and anybody can see who did."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta, timezone

import mlflow
import pytest

from nnperm_mlflow import approve, audit, bundle, history, promote, refuse, request, verify, write_report
from nnperm_mlflow.approval.signed_audit import sign_record
from nnperm_mlflow.attestation.key_files import new_key
from nnperm_mlflow.attestation.statements import PromotionStatement, read_statement
from nnperm_mlflow.basics.errors import ConfigError, RefusedError
from nnperm_mlflow.config.policy import Policy
from nnperm_mlflow.registry.records import read_audit
from tests.support.house import build_house, register
from tests.support.pages import read_page
from tests.support.signed_audits import POLICY
from tests.support.signers import PASSWORD, REGISTRY, ROLES, TrustFile, key_of, verify_by_specification

LINE = {"password": PASSWORD}
STRICT = Policy.model_validate(
    {"format": 2, "name": "limits", "checks": [
        {"name": "age is no driver", "feature": "age", "max": 1e-9},
        {"name": "region decides little", "feature": "region", "max": 0.9},
    ]}
)  # fmt: skip


@pytest.fixture(scope="module")
def home(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    return build_house(tmp_path_factory.mktemp("decided"), "decided")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A key of each person, in a file."""
    folder = tmp_path_factory.mktemp("keys")
    return {name: (folder / f"{name}.key", new_key(folder / f"{name}.key", PASSWORD)) for name in ROLES}


def audited(home, client, tmp_path, policy=POLICY):
    """A new version, audited and signed by the service; its URI and the record."""
    mlflow.set_tracking_uri(client.tracking_uri)
    uri = f"models:/decided/{register(home)}"
    done = audit(home.settings(), model_uri=uri, policy=policy)
    record = read_audit(client, done.run_id, tmp_path / done.run_id)
    sign_record(client, record, key_of("service"), REGISTRY, tmp_path / done.run_id)
    return uri, record


def trust_file(record, keys, policy=POLICY):
    """A trust file with the people's own keys beside that of the service."""
    made = TrustFile.of("decided", record, policy)
    of_service = key_of("service").public.key_id
    held = {key_id: of for key_id, of in made.content["keys"].items() if key_id == of_service}
    template = next(iter(held.values()))
    for name, (_, public) in keys.items():
        if name != "service":
            held[public.key_id] = {**template, "person": name, "roles": ROLES[name], "public": public.public}
    made.content["keys"] = held
    return made


class Office:
    """The people, with their keys and the trust file that all of them use."""

    def __init__(self, keys, trust):
        self.keys, self.trust = keys, trust

    def of(self, name):
        return {"key": self.keys[name][0], "trust": self.trust, **LINE}

    def ask(self, uri, name="asker", reason="better on young clients"):
        return request(uri, "champion", reason=reason, **self.of(name))

    def agree(self, uri, name, **more):
        return approve(uri, "champion", reason="looked at the card", **self.of(name), **more)

    def promote(self, uri, name="deploy", **more):
        return promote(uri, "champion", **self.of(name), **more)


def champion(client):
    """The version that has the alias; None where none has."""
    held = client.get_registered_model("decided").aliases.get("champion")
    return None if held is None else str(held)


@pytest.mark.slow
def test_a_version_becomes_champion_once_two_people_have_agreed(home, keys, tracked, tmp_path):  # noqa: PLR0915 - a story
    uri, record = audited(home, tracked, tmp_path)
    office = Office(keys, trust_file(record, keys).write(tmp_path / "trust.yaml"))
    version = uri.rpartition("/")[2]

    # Nobody promotes what nobody has asked for, nor decides about it.
    with pytest.raises(RefusedError, match="does not become 'champion': nobody has asked for 'champion'"):
        office.promote(uri)
    with pytest.raises(RefusedError, match=f"nobody has asked that {uri} becomes 'champion'"):
        office.agree(uri, "anna")

    # Somebody asks. One approval is not enough.
    asked = office.ask(uri)
    assert (asked.act, asked.person, asked.audited) == ("request", "asker", record.run_id)
    anna = office.agree(uri, "anna", conditions=["audit again by spring"])
    with pytest.raises(RefusedError, match=r"approved by 1 of 2 people \('anna'"):
        office.promote(uri)
    assert champion(tracked) != version

    # Ben first refuses, then agrees: his last word counts.
    refuse(uri, "champion", reason="the sample is small", **office.of("ben"))
    with pytest.raises(RefusedError, match="refused by 'ben'"):
        office.promote(uri)
    later = datetime.now(timezone.utc) + timedelta(days=90)
    ben = office.agree(uri, "ben", until=later.strftime("%Y-%m-%dT%H:%M:%SZ"))

    # Only a promoter carries it out, and signs it.
    with pytest.raises(ConfigError, match="would not count"):
        office.promote(uri, "anna")
    with pytest.raises(ConfigError, match="never runs beside a key"):
        office.promote(uri, trust_model=True, config=home.config)
    done = office.promote(uri)
    assert champion(tracked) == version
    assert (done.signed.number, done.signed.by) == (1, "deploy")
    assert (done.signed.requested_by, done.signed.approved_by) == ("asker", ("anna", "ben"))
    assert done.signed.conditions == ("audit again by spring",)
    assert done.taken_on_trust == ("the numbers on record (no --recompute)",)

    # It is on record: as documents, as statements that others verify, and in the history.
    events = history("models:/decided").events
    told = [(event.kind, event.who, event.in_words) for event in events if event.version == version]
    decisions = [each for each in told if each[0] == "decision"]
    assert [each[1] for each in decisions] == ["asker", "anna", "ben", "ben"]
    assert decisions[0][2] == "asks for 'champion': better on young clients"
    assert decisions[1][2].endswith("condition: audit again by spring")
    assert decisions[2][2] == "refuses 'champion': the sample is small"
    (promoted,) = [event for event in history("models:/decided", verify=True).events if event.kind == "promotion"]
    assert promoted.in_words.endswith("signed as number 1, approved by 'anna', 'ben'")
    statement = statement_in(tracked, promoted.run_id, tmp_path, keys["deploy"][1].public)
    assert set(statement.predicate.rests_on.decisions) >= {asked.statement, anna.statement, ben.statement}
    on_file = json.loads(mlflow.artifacts.load_text(f"runs:/{promoted.run_id}/promotion.json"))
    assert on_file["signed"]["reason"] == "better on young clients"
    assert json.loads(mlflow.artifacts.load_text(f"runs:/{asked.run_id}/decision.json"))["person"] == "asker"

    # It leaves the server as one file, in which a third party finds who has decided.
    bundle(record.run_id, tmp_path / "decided.zip", trust=office.trust)
    found = verify(tmp_path / "decided.zip", trust=office.trust)
    assert (found.verdict, found.approved_by) == ("pass", ("anna", "ben"))
    assert found.decision == "approved by 'anna', 'ben', asked for by 'asker'; condition: audit again by spring"
    assert done.signed.statement in {each.digest for each in found.signed}

    # The report tells it, to people, by the same trust file.
    told = {"run_id": record.run_id, "alias": "champion", "trust": office.trust}
    page = write_report(output=tmp_path / "report.html", **told).read_text()
    rows = [[cell.text for cell in row.all("td")] for row in read_page(page).by_id("decisions").all("tr")[1:]]
    assert [row[:2] for row in rows] == [
        ["asker", "asked for it"], ["anna", "approved"], ["ben", "refused"], ["ben", "approved"]
    ]  # fmt: skip
    assert rows[0][3] == "better on young clients"
    assert rows[1][4] == "audit again by spring"
    document = write_report(output=tmp_path / "document.html", to="html", **told).read_text()
    assert "audit again by spring" in read_page(document).by_id("decision").text
    with pytest.raises(ConfigError, match="name both"):
        write_report(run_id=record.run_id, alias="champion", output=tmp_path / "none.html")

    # The next one follows it; a promotion that was put beside, or deleted, is noticed.
    second, _ = audited(home, tracked, tmp_path)
    office.ask(second)
    for name in ("anna", "carla"):
        office.agree(second, name)
    tracked.delete_run(promoted.run_id)
    again = office.promote(second)
    assert (again.signed.number, again.replaced) == (2, version)
    assert statement_of(tracked, again, tmp_path, keys).predicate.predecessor == done.signed.statement
    assert asdict(again)["signed"]["approved_by"] == ("anna", "carla")


def statement_of(client, promotion, folder, keys):
    (event,) = [
        e for e in history("models:/decided").events if e.kind == "promotion" and e.version == promotion.version
    ]
    return statement_in(client, event.run_id, folder, keys["deploy"][1].public)


def statement_in(client, run_id, folder, public):
    """The promotion in a run, verified by the specification alone."""
    (file,) = client.list_artifacts(run_id, "statements")
    content = mlflow.artifacts.load_text(f"runs:/{run_id}/{file.path}").encode()
    return read_statement(verify_by_specification(content, public), PromotionStatement)


@pytest.mark.slow
def test_a_finding_that_remains_open_is_waived_by_name_by_all_who_are_needed(home, keys, tracked, tmp_path):
    uri, record = audited(home, tracked, tmp_path, STRICT)
    office = Office(keys, trust_file(record, keys, STRICT).write(tmp_path / "trust.yaml"))
    office.ask(uri)
    with pytest.raises(ConfigError, match="no check 'income' in the verdict, which has 'age is no driver'"):
        office.agree(uri, "anna", waives=["income"])
    office.agree(uri, "anna", waives=["age is no driver"])
    office.agree(uri, "ben")
    with pytest.raises(RefusedError, match="have not waived 'age is no driver'"):
        office.promote(uri)
    office.agree(uri, "ben", waives=["age is no driver"])
    try:
        done = office.promote(uri)
    except RefusedError as error:  # of the test before there may be a chain by other people's keys
        pytest.fail(str(error))
    assert done.signed.open_findings == ("age is no driver",)
    assert done.verdict == "fail"
    assert champion(tracked) == uri.rpartition("/")[2]


@pytest.mark.slow
def test_a_verdict_that_is_unsigned_or_not_of_the_trusted_policy_is_decided_by_nobody(home, keys, tracked, tmp_path):
    mlflow.set_tracking_uri(tracked.tracking_uri)
    uri = f"models:/decided/{register(home)}"
    done = audit(home.settings(), model_uri=uri, policy=POLICY)
    record = read_audit(tracked, done.run_id, tmp_path)
    trust = trust_file(record, keys)
    office = Office(keys, trust.write(tmp_path / "trust.yaml"))

    def told():
        (event,) = [
            each
            for each in history("models:/decided", trust=office.trust).events
            if each.run_id == done.run_id and each.kind == "audit"
        ]
        return event.in_words.rpartition("; ")[2]

    assert told() == "unsigned"
    for refused in (office.ask, office.promote):
        with pytest.raises(RefusedError, match=f"it is unsigned, .*nnperm sign {done.run_id}"):
            refused(uri)
    sign_record(tracked, record, key_of("an editor"), REGISTRY, tmp_path)
    with pytest.raises(RefusedError, match="it is unsigned"):
        office.ask(uri)
    assert told() == "unsigned"
    sign_record(tracked, record, key_of("service"), REGISTRY, tmp_path)
    assert told() == "signed by 'service'"
    assert not any(
        "signed" in event.in_words for event in history("models:/decided").events if event.run_id == done.run_id
    )
    trust.content["aliases"]["models:/decided@champion"]["policy"] = "0" * 64
    trust.write(tmp_path / "trust.yaml")
    with pytest.raises(RefusedError, match="not what 'champion' needs, in 'policy'"):
        office.ask(uri)
