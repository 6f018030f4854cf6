"""Artifacts in an S3-compatible store, behind the tracking server or beside it: the same bytes, or it is found out."""

import re
import shlex
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import mlflow
import pytest
import yaml
from click.testing import CliRunner
from moto.server import ThreadedMotoServer

from nnperm_mlflow import AuditResult, audit
from nnperm_mlflow.basics.errors import DataError, TrackingError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.registry import connection
from tests.support.house import House, build_house, register
from tests.support.servers import running_server

pytestmark = pytest.mark.slow

BUCKET, SECRET = "audits", "the-secret-of-the-bucket"
CHECKS = [{"name": "no reliance on region", "feature": "region", "max": 0.9}]


@pytest.fixture(scope="module")
def endpoint():
    """Address of the store."""
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    yield "http://{}:{}".format(*store.get_host_and_port())
    store.stop()


@pytest.fixture(scope="module")
def access(endpoint):
    """What tells a process of the store and who it is there."""
    return {
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "auditor",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture(scope="module")
def s3(endpoint):
    """A client of its own, that knows nothing of MLflow."""
    keys = {"aws_access_key_id": "tester", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=endpoint, **keys)
    client.create_bucket(Bucket=BUCKET)
    return client


@dataclass(frozen=True)
class Place:
    """One way to the store, with an audited version; `prefix` is where its objects are in the bucket."""

    server: str
    prefix: str
    house: House
    settings: dict
    result: AuditResult

    def nnperm(self, *command, exit_code=0):
        done = CliRunner().invoke(main, [*command, "--tracking-uri", self.server])
        assert done.exit_code == exit_code, done.output
        assert SECRET not in done.output
        return done.output

    def promote(self, alias, exit_code=0):
        """Promote the version, with leave to read its data where they are."""
        places = (f"s3://{BUCKET}", str(self.house.config.parent))
        allowed = [word for place in places for word in ("--allow-data", place)]
        return self.nnperm("promote", "models:/house/1", "--alias", alias, *allowed, exit_code=exit_code)


def audited_at(server, prefix, folder, settings=None):
    mlflow.set_tracking_uri(server)
    house = build_house(folder, "house")
    register(house, experiment="risk")
    settings = {**(settings or house.settings()), "checks": CHECKS}
    result = audit(settings, model_uri="models:/house/1", output=folder / "audit")
    return Place(server, prefix, house, settings, result)


@pytest.fixture(scope="module")
def behind(s3, access, tmp_path_factory):
    """The server fetches and stores; the audit knows nothing of the store."""
    folder = tmp_path_factory.mktemp("behind")
    with running_server(folder, access, artifacts=f"s3://{BUCKET}/behind") as server:
        yield audited_at(server, "behind", folder)


@pytest.fixture(scope="module")
def beside(s3, access, tmp_path_factory):
    """The audit itself speaks to the store, in which its data are, too."""
    folder = tmp_path_factory.mktemp("beside")
    arguments = ("--no-serve-artifacts", "--default-artifact-root", f"s3://{BUCKET}/beside")
    with running_server(folder, extra_args=arguments) as server, pytest.MonkeyPatch.context() as patch:
        reach(patch, access)
        settings = build_house(folder, "house").settings()
        series = settings["data"]["temporal"]["history"]
        for part, key in ((settings["data"], "static"), (series, "file")):
            name = Path(part[key]).name
            s3.upload_file(part[key], BUCKET, name)
            part[key] = f"s3://{BUCKET}/{name}"
        yield audited_at(server, "beside", folder, settings)


def reach(patch, access):
    for name, value in access.items():
        patch.setenv(name, value)


@pytest.fixture(params=["behind", "beside"])
def place(request, access, monkeypatch):
    found = request.getfixturevalue(request.param)
    mlflow.set_tracking_uri(found.server)
    for name in access:
        monkeypatch.delenv(name, raising=False)
    if request.param == "beside":
        reach(monkeypatch, access)
    return found


def objects(s3, prefix):
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    return {entry["Key"]: s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read() for entry in listed}


def test_what_is_in_the_store_is_what_the_audit_wrote_to_the_last_bit(place, s3, tmp_path):
    written = {file.name: file.read_bytes() for file in place.result.directory.iterdir() if file.is_file()}
    stored = objects(s3, f"{place.prefix}/{place.result.experiment_id}/{place.result.run_id}/artifacts/")
    held = {key.rpartition("/artifacts/")[2]: content for key, content in stored.items()}
    assert written.keys() <= held.keys()
    assert {name: held[name] for name in written} == written
    back = Path(mlflow.artifacts.download_artifacts(run_id=place.result.run_id, dst_path=str(tmp_path)))
    found = {file.relative_to(back).as_posix(): file.read_bytes() for file in back.rglob("*") if file.is_file()}
    assert found == held
    assert not [name for name, content in held.items() if SECRET.encode() in content]


def test_a_version_is_checked_and_promoted_from_what_is_in_the_store(place):
    assert "kept      no reliance on region" in place.nnperm("check", "--model-uri", "models:/house/1")
    place.promote("champion")
    champion = mlflow.MlflowClient().get_model_version_by_alias("house", "champion")
    assert str(champion.version) == "1"


def test_an_audit_from_the_store_is_the_same_as_from_files(beside, behind):
    assert beside.result.table.equals(behind.result.table)
    digests = [
        mlflow.MlflowClient(place.server).get_run(place.result.run_id).data.params["data_digest"]
        for place in (beside, behind)
    ]
    assert digests[0] == digests[1]


@pytest.fixture
def as_auditor(beside, access, monkeypatch):
    mlflow.set_tracking_uri(beside.server)
    reach(monkeypatch, access)
    return beside


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("deviations.parquet", r"deviations\.parquet"),
        ("summary.csv", r"summary\.csv"),
        ("model.keras", "the model's files are not those"),
        ("house.parquet", "the data (are not those|cannot be read again)"),
        ("house_history.npy", "the data are not those"),
    ],
)
def test_one_changed_byte_in_the_store_is_found_out(as_auditor, s3, name, why):
    result = as_auditor.result
    home = f"beside/{result.experiment_id}"
    of_run, of_model = f"{home}/{result.run_id}/artifacts/", f"{home}/models/{result.model.model_id}/artifacts/data/"
    folder = "" if name.startswith("house") else of_model if name == "model.keras" else of_run
    with changed(s3, folder + name):
        told = as_auditor.promote("tampered", exit_code=1)
    assert re.search(why, told)


@contextmanager
def changed(s3, key):
    """Let one bit in the middle of an object be another."""
    content = objects(s3, key)[key]
    other = bytearray(content)
    other[len(content) // 2] ^= 1
    s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(other))
    try:
        yield
    finally:
        s3.put_object(Bucket=BUCKET, Key=key, Body=content)


# A store that refuses


@pytest.mark.parametrize("location", [f"s3://{BUCKET}/missing.parquet", "s3://missing/house.parquet"])
def test_data_that_are_not_in_the_store_are_named(as_auditor, location):
    data = {**as_auditor.settings["data"], "static": location}
    with pytest.raises(DataError, match=f"'{location}' cannot be fetched"):
        audit({**as_auditor.settings, "data": data}, model_uri="models:/house/1")


def test_a_store_that_is_down_is_one_message(as_auditor, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://someone:a-password@127.0.0.1:1")
    config = tmp_path / "house.yaml"
    config.write_text(yaml.safe_dump(as_auditor.settings))
    told = as_auditor.nnperm("audit", "--model-uri", "models:/house/1", "--config", str(config), exit_code=2)
    (line,) = told.splitlines()
    assert line.startswith("TrackingError: the store of artifacts refused (EndpointConnectionError)")
    assert "the store of artifacts at http://127.0.0.1:1 cannot be reached (ConnectionError): what" in caplog.text
    assert "a-password" not in line + caplog.text


def test_a_store_that_never_answers_is_told_of_before_it_is_needed(store, monkeypatch, caplog):
    monkeypatch.setattr(connection, "PROBE_SECONDS", (1, 1))
    mlflow.set_tracking_uri(store)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        connection.connect()
    assert "the store of artifacts at http://127.0.0.1" in caplog.text
    assert "cannot be reached (ReadTimeout): what needs it will fail" in caplog.text


def test_what_a_store_refused_is_published_once_it_takes_it(as_auditor, s3):
    """The bucket of the run's experiment is not there when the audit ends."""
    mlflow.create_experiment("elsewhere", artifact_location="s3://made-later/runs")
    with pytest.raises(TrackingError, match=r"the store of artifacts refused .*nnperm publish") as caught:
        audit(as_auditor.settings, model_uri="models:/house/1", experiment="elsewhere")
    s3.create_bucket(Bucket="made-later")
    as_auditor.nnperm(*shlex.split(str(caught.value).rpartition("nnperm ")[2]))
    experiment = mlflow.get_experiment_by_name("elsewhere").experiment_id
    (run,) = mlflow.MlflowClient().search_runs([experiment])
    held = s3.list_objects_v2(Bucket="made-later")["Contents"]
    assert run.info.status == "FINISHED"
    assert f"runs/{run.info.run_id}/artifacts/deviations.parquet" in {entry["Key"] for entry in held}
