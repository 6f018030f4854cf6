"""On PostgreSQL, behind a server that asks who somebody is: an audit goes its whole way, and no password is shown."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from mlflow.server.auth.client import AuthServiceClient

from nnperm_mlflow import AuditResult, audit
from nnperm_mlflow.basics.audit_files import file_digest
from nnperm_mlflow.cli.main import main
from tests.support.databases import PASSWORD, PROGRAMS, running_postgres
from tests.support.house import build_house, register
from tests.support.servers import guarded, running_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAMS is None, reason="needs PostgreSQL: apt-get install postgresql"),
]

KEEPER, AUDITOR = ("keeper", "a-long-password-1"), ("auditor", "a-long-password-2")
SECRETS = (PASSWORD, KEEPER[1], AUDITOR[1])
CHECKS = [{"name": "no reliance on region", "feature": "region", "max": 0.9}]


@pytest.fixture(scope="module")
def database():
    with running_postgres() as uri:
        yield uri


@pytest.fixture(scope="module")
def server(database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with running_server(folder, store=database, **guarded(folder, *KEEPER, database)) as address:
        yield address


def act_as(patch, server, user):
    mlflow.set_tracking_uri(server)
    patch.setenv("MLFLOW_TRACKING_USERNAME", user[0])
    patch.setenv("MLFLOW_TRACKING_PASSWORD", user[1])


@pytest.fixture(scope="module")
def house(server, tmp_path_factory):
    """Two versions of the small network, the second with larger weights; the auditor may edit them."""
    with pytest.MonkeyPatch.context() as patch:
        act_as(patch, server, KEEPER)
        made = build_house(tmp_path_factory.mktemp("house"), "house")
        register(made, experiment="risk")
        made.network.set_weights([weights * 1.5 for weights in made.network.get_weights()])
        register(made, experiment="risk")
        rights = AuthServiceClient(server)
        rights.create_user(*AUDITOR)
        experiment = mlflow.get_experiment_by_name("risk").experiment_id
        rights.grant_user_permission(AUDITOR[0], "experiment", experiment, "EDIT")
        rights.grant_user_permission(AUDITOR[0], "registered_model", "house", "EDIT")
    return made


@dataclass(frozen=True)
class Told:
    """Both versions audited, and all that commands have printed so far."""

    result: AuditResult
    server: str
    config: Path
    lines: list[str]

    def nnperm(self, *command, exit_code=0):
        done = CliRunner().invoke(main, [*command, "--tracking-uri", self.server])
        self.lines.append(done.output)
        assert done.exit_code == exit_code, done.output
        return done.stdout


@pytest.fixture(scope="module")
def audited(house, server, tmp_path_factory):
    """Version 1 audited from Python, version 2 by the command."""
    config = tmp_path_factory.mktemp("audited") / "house.yaml"
    config.write_text(yaml.safe_dump({**house.settings(), "checks": CHECKS}))
    with pytest.MonkeyPatch.context() as patch:
        act_as(patch, server, AUDITOR)
        told = Told(audit(config, model_uri="models:/house/1"), server, config, [])
        told.nnperm("audit", "--model-uri", "models:/house/2", "--config", str(config))
    return told


@pytest.fixture
def client(audited, server, monkeypatch):
    act_as(monkeypatch, server, AUDITOR)
    return mlflow.MlflowClient()


def test_what_an_audit_wrote_is_read_back_as_it_was(audited, client, tmp_path):
    result, run = audited.result, client.get_run(audited.result.run_id)
    assert (run.info.status, run.data.tags["mlflow.user"]) == ("FINISHED", AUDITOR[0])
    assert result.not_linked == []
    medians = result.summary.set_index("perturbation")["median"]
    found = {key: run.data.metrics[f"median/{key.replace('=', ' is ')}"] for key in medians.index}
    assert found == medians.to_dict()
    table = client.download_artifacts(result.run_id, "deviations.parquet", str(tmp_path))
    assert file_digest(Path(table)) == run.data.params["table_digest"]
    pd.testing.assert_frame_equal(pd.read_parquet(table), result.table)
    (model,) = run.inputs.model_inputs
    on_model = {metric.key: (metric.value, metric.run_id) for metric in client.get_logged_model(model.model_id).metrics}
    assert on_model["median/age"] == (medians["age"], result.run_id)


def test_both_versions_tell_of_their_audit(audited, client):
    versions = [client.get_model_version("house", version) for version in ("1", "2")]
    assert versions[0].tags["nnperm.run_id"] == audited.result.run_id
    for version in versions:
        assert version.tags["nnperm.verdict"] == "pass"
        assert f"/runs/{version.tags['nnperm.run_id']}" in version.description


def test_a_version_is_checked_promoted_compared_and_remembered(audited, client):
    assert "kept      no reliance on region" in audited.nnperm("check", "--model-uri", "models:/house/2")
    audited.nnperm("promote", "models:/house/2", "--alias", "champion")
    assert str(client.get_model_version_by_alias("house", "champion").version) == "2"
    assert "the same 400 rows" in audited.nnperm("compare", "models:/house/1", "models:/house@champion")
    events = json.loads(audited.nnperm("history", "models:/house", "--json"))
    told = [(event["version"], event["kind"], event["verdict"]) for event in events if event["kind"] != "verdict"]
    assert told == [("1", "audit", None), ("2", "audit", None), ("2", "promotion", "pass")]
    assert {event["who"] for event in events} == {AUDITOR[0]}


def test_a_missed_check_holds_a_version_back(audited, client, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(yaml.safe_dump({"checks": [{"name": "small", "feature": "age", "max": 1e-6}]}))
    again = ["--policy", str(policy)]
    audited.nnperm("check", "--model-uri", "models:/house/1", *again, exit_code=1)
    audited.nnperm("promote", "models:/house/1", "--alias", "champion", *again, exit_code=1)
    assert client.get_model_version("house", "1").tags["nnperm.verdict"] == "fail"
    assert client.get_model_version_by_alias("house", "champion").version != "1"


def test_a_description_that_is_full_stays_as_it_is_and_the_audit_is_whole(audited, client, house, caplog):
    """PostgreSQL holds 5,000 letters of it, and not one more; the section of an audit wants some hundred."""
    version = register_as_keeper(house)
    own = "What the maker had to say. " * 180
    client.update_model_version("house", version, own)
    result = audit(audited.config, model_uri=f"models:/house/{version}")
    assert client.get_run(result.run_id).info.status == "FINISHED"
    assert f"the description of models:/house/{version} is full" in caplog.text
    found = client.get_model_version("house", version)
    assert found.description == own
    assert found.tags["nnperm.run_id"] == result.run_id


def register_as_keeper(house):
    with pytest.MonkeyPatch.context() as patch:
        act_as(patch, mlflow.get_tracking_uri(), KEEPER)
        return register(house, experiment="risk")


# No password is shown


def test_neither_runs_nor_versions_nor_outputs_hold_a_password(audited, client, tmp_path, monkeypatch, caplog):
    """The auditor's is given in the server's address, as some do."""
    within = replace(audited, server=audited.server.replace("://", f"://{AUDITOR[0]}:{AUDITOR[1]}@"))
    with monkeypatch.context() as patch:
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
            patch.delenv(name)
        within.nnperm("audit", "--model-uri", "models:/house/1", "--config", str(audited.config))
        within.nnperm("history", "models:/house")
        within.nnperm("check", "--model-uri", "models:/house/9", exit_code=2)
    version = client.get_model_version("house", "1")
    files = Path(client.download_artifacts(version.tags["nnperm.run_id"], "", str(tmp_path)))
    held = [file.read_bytes().decode("latin-1") for file in files.rglob("*") if file.is_file()]
    run = client.get_run(version.tags["nnperm.run_id"])
    everything = [*audited.lines, caplog.text, *held, str(run.to_dictionary()), str(version), version.description]
    assert len(held) > 5
    assert [text for text in everything for secret in SECRETS if secret in text] == []
    assert f"{audited.server}/#/experiments/" in audited.lines[-3]


def test_a_wrong_password_of_a_user_is_one_message_without_it(audited, client, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not-the-password")
    audited.nnperm("check", "--model-uri", "models:/house/1", exit_code=2)
    (line,) = audited.lines[-1].splitlines()
    assert "UNAUTHENTICATED" in line
    assert "not-the-password" not in line


@pytest.fixture
def direct(database, tmp_path, house):
    """The database as a tracking URI, without a server, and an experiment in it with a folder for artifacts."""
    mlflow.set_tracking_uri(database)
    mlflow.create_experiment("direct", artifact_location=tmp_path.as_uri())
    register(replace(house, name="direct"), experiment="direct")
    return database


def test_an_audit_without_a_server_shows_the_database_and_not_its_password(direct, house):
    command = ["audit", "--model-uri", "models:/direct/1", "--config", str(house.config), "--tracking-uri", direct]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert f"--backend-store-uri {direct.replace(f'storekeeper:{PASSWORD}@', '')}" in done.output
    assert PASSWORD not in done.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda uri: uri.replace(PASSWORD, f"{PASSWORD}-not"), "does not let this user in"),
        (lambda uri: uri.replace("/postgres", "/nowhere"), "does not let this user in"),
        (lambda uri: uri.rsplit(":", 1)[0] + ":1/postgres", "cannot be reached"),
        (lambda uri: uri.replace("postgresql+psycopg", "postgresx"), "unsupported URI"),
        (lambda uri: uri.replace("+psycopg", "+nodriver"), "names no database"),
        (lambda uri: uri.rsplit(":", 1)[0] + ":port/postgres", "names no database"),
    ],
    ids=["password", "database", "port", "scheme", "driver", "no port"],
)
def test_a_database_that_cannot_be_used_is_told_at_once_without_the_password(database, change, message):
    done = CliRunner().invoke(main, ["history", "models:/house", "--tracking-uri", change(database)])
    assert done.exit_code == 2, done.output
    (line,) = done.output.splitlines()
    assert message in line
    assert PASSWORD not in line
