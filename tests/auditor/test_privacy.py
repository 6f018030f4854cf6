"""No value of the data and no secret leaves through a message, a log, a tag, or a file that is not meant for it."""

import logging
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from mlflow.models import infer_signature

from nnperm_mlflow import audit
from nnperm_mlflow.basics.errors import AuditError
from nnperm_mlflow.basics.locations import without_secrets, without_secrets_in
from nnperm_mlflow.cli.main import main
from tests.support.python_models import Talkative

CANARY = re.compile("CANARY|98765|TOKEN|PASSWORD")
"""What stands in the data as values and row ids, and in URIs as secrets; messages may not hold it."""
NUMBER, CODE = 987654.321, 98765
HOLD_VALUES = {"profiles.csv", "profiles.png", "strata.csv", "subgroups.csv", "deviations.parquet"}
"""Files that hold values or row ids, as the documents say."""


@pytest.fixture
def settings(house, tmp_path):
    """The small network's configuration on data with unmistakable values, as files in a folder of their own."""
    settings = house.settings()
    table = house.table.assign(
        client=[f"CANARY-ROW-{row}" for row in range(len(house.table))],
        town=[f"CANARY-TOWN-{row % 3}" for row in range(len(house.table))],
        outcome=[f"CANARY-{'GOOD' if label else 'BAD'}" for label in house.table["label"]],
        paid=np.where(house.table["label"], NUMBER, -NUMBER),
    )
    table.loc[7, "income"] = NUMBER
    settings["data"] |= {"static": str(tmp_path / "canaries.parquet"), "label": "outcome"}
    settings["table"] = table
    settings["folder"] = tmp_path
    return settings


def change(settings, **columns):
    settings["table"] = settings["table"].assign(**columns)


def replace(values, row, value):
    return [value if place == row else held for place, held in enumerate(values)]


def say(settings, **analysis):
    settings["analysis"] |= analysis


def as_csv(settings, text):
    (settings["folder"] / "broken.csv").write_bytes(text)
    settings["data"]["static"] = str(settings["folder"] / "broken.csv")


def text_among_numbers(s):
    change(s, age=replace(s["table"]["age"].astype(str), 5, "CANARY"))


def two_channels_as_text(s):
    np.save(s["folder"] / "h.npy", np.full((400, 2, 6), "CANARY"))
    s["data"]["temporal"]["history"]["file"] = str(s["folder"] / "h.npy")


def secrets_in_a_url(s):
    s["data"]["static"] = "http://me:PASSWORD@127.0.0.1:9/a.csv?sig=TOKEN"


def secrets_in_broken_yaml(s):
    s["raw"] = "data: {static: https://me:PASSWORD@house/a.csv?sig=TOKEN\n  row_id: @"


FAILURES = {
    "text among numbers": (text_among_numbers, "column 'age' holds text"),
    "a fraction among codes": (
        lambda s: change(s, region=replace(s["table"]["region"], 5, 9876.54321)),
        "no int32 codes",
    ),
    "codes beyond the embedding": (lambda s: change(s, region=CODE), "not one value that Embedding"),
    "one code beyond the embedding": (
        lambda s: change(s, region=replace(s["table"]["region"], 5, CODE)),
        "the network failed|gave NaN or infinity",
    ),
    "numbers beyond float32": (lambda s: change(s, age=s["table"]["age"] + 9.8765e200), "numbers beyond float32"),
    "infinity": (lambda s: change(s, age=replace(s["table"]["age"], 5, np.inf)), "holds infinity"),
    "dates": (lambda s: change(s, age=pd.Timestamp("9876-05-04")), "holds dates"),
    "missing values": (lambda s: change(s, age=replace(s["table"]["age"], 5, np.nan)), "holds NaN in 1 of 400 rows"),
    "strata of one row": (lambda s: say(s, within=["client"]), "no two rows are alike"),
    "labels for numbers": (lambda s: say(s, scores=["r2"]), "'r2' compares numbers"),
    "three labels": (
        lambda s: (change(s, outcome=s["table"]["town"]), say(s, scores=["roc_auc"])),
        "3 different labels",
    ),
    "labels below a logarithm": (
        lambda s: (s["data"].update(label="paid"), say(s, scores=["neg_mean_squared_log_error"])),
        "cannot be used when targets contain",
    ),
    "a missing label": (
        lambda s: (change(s, outcome=replace(s["table"]["outcome"], 3, None)), say(s, scores=["roc_auc"])),
        "the label is missing or infinite in 1 of 400 rows",
    ),
    "half a table": (lambda s: s.update(table=s["table"][:200]), "must have the same rows"),
    "temporal text": (two_channels_as_text, "expected numbers"),
    "a line with too many fields": (
        lambda s: as_csv(s, b"client,age\nCANARY-1,98765\nCANARY-2,98765,98765\n"),
        "Expected 2 fields in line 3, saw 3",
    ),
    "a quote without end": (lambda s: as_csv(s, b'client,age\n"CANARY-1,98765\n'), "cannot be read as csv"),
    "another encoding": (lambda s: as_csv(s, "client,age\nCANARY-Ä,98765\n".encode("latin-1")), "it is not UTF-8 text"),
    "a server that is not there": (secrets_in_a_url, r"'http://127\.0\.0\.1:9/a\.csv' cannot be fetched"),
    "broken YAML": (secrets_in_broken_yaml, r"is no valid YAML: .* \(line 1\)"),
}


def written(settings):
    """Write the table as it is now and the configuration; return the latter's path."""
    settings = dict(settings)
    folder, table, raw = settings.pop("folder"), settings.pop("table"), settings.pop("raw", None)
    table.to_parquet(folder / "canaries.parquet")
    (folder / "audit.yaml").write_text(raw or yaml.safe_dump(settings))
    return folder / "audit.yaml"


def failure(settings, uri, **options):
    """Return the message of an audit that fails."""
    with pytest.raises(AuditError) as caught:
        audit(written(settings), model_uri=uri, **options)
    return str(caught.value)


def assert_kept(*texts):
    for text in texts:
        found = CANARY.search(text)
        assert found is None, text[max(0, found.start() - 200) : found.end() + 200]


@pytest.fixture
def watched(tracked, caplog, capfd):
    """Give a check that nothing logged or printed since, and no run begun since, tells a value."""
    before = {run.info.run_id for run in mlflow.search_runs(experiment_names=["tests"], output_format="list")}
    caplog.set_level(logging.DEBUG, logger="nnperm_mlflow")

    def check():
        assert_kept(caplog.text, *capfd.readouterr())
        runs = mlflow.search_runs(experiment_names=["tests"], output_format="list")
        for run in (run for run in runs if run.info.run_id not in before):
            assert_kept(str(run.data.to_dictionary()), str(run.inputs))

    return check


@pytest.mark.parametrize("case", FAILURES)
def test_an_audit_that_fails_tells_no_value(case, settings, watched):
    spoil, told = FAILURES[case]
    spoil(settings)
    message = failure(settings, "models:/house/1")
    assert re.search(told, message), message
    assert_kept(message)
    watched()


def test_an_audit_that_is_done_tells_values_only_where_they_belong(settings, store, watched, tracked):
    """By the command, so that what it prints is looked at as well."""
    policy = settings["folder"] / "policy.yaml"
    policy.write_text(
        yaml.safe_dump({"checks": [{"feature": "income", "max": 0.0}, {"any": True, "statistic": "mean", "max": 0.0}]})
    )
    say(settings, within=["town"], profile=["income"], scores=["roc_auc", "neg_log_loss"], p_values=True, windows=2)
    command = ["--tracking-uri", store, "--model-uri", "models:/house/1", "--policy", str(policy)]
    result = CliRunner().invoke(main, ["audit", *command, "--config", str(written(settings))])
    assert result.exit_code == 1, result.output
    assert_kept(result.output, result.stderr)
    watched()
    version = tracked.get_model_version("house", "1")
    assert_kept(version.description, str(version.tags))
    run_id = version.tags["nnperm.run_id"]
    files = {file.path for file in tracked.list_artifacts(run_id) if not file.is_dir}
    assert files > {"verdict.json", "audit.md", "summary.csv", "associations.csv", *(HOLD_VALUES - {"subgroups.csv"})}
    for name in files - HOLD_VALUES:
        content = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=name)
        assert_kept(Path(content).read_bytes().decode("latin-1"))


def test_row_ids_stand_in_their_column_of_the_table_and_nowhere_else(settings, watched):
    table = audit(written(settings), model_uri="models:/house/1").table
    watched()
    assert table["row_id"].tolist() == settings["table"]["client"].tolist()
    assert_kept(table.drop(columns="row_id").to_csv())


@pytest.mark.slow
def test_what_a_model_of_others_says_of_the_data_is_not_passed_on(settings, watched):
    mlflow.set_experiment("tests")
    example = pd.DataFrame({"age": [1.0], "town": ["a"]})
    with mlflow.start_run():
        mlflow.pyfunc.log_model(
            name="talkative",
            python_model=Talkative(),
            signature=infer_signature(example, np.zeros(1)),
            pip_requirements=["numpy"],
            registered_model_name="talkative",
        )
    settings["inputs"] = {}
    del settings["data"]["temporal"]
    change(settings, age=NUMBER)
    message = failure(settings, "models:/talkative/1", trust_model=True)
    assert "the model failed (KeyError)" in message
    assert_kept(message)
    watched()


@pytest.mark.slow
def test_what_mlflow_says_of_data_of_another_type_is_not_passed_on(settings, watched, monkeypatch):
    """Its own check of a signature prints the data themselves."""
    from nnperm_mlflow.inputs import _row_sources as sources

    change(settings, age=NUMBER)
    settings["inputs"] = {"age": "age"}
    del settings["data"]["temporal"]
    from sklearn.linear_model import LinearRegression

    mlflow.set_experiment("tests")
    model = LinearRegression().fit(np.ones((4, 1)), np.ones(4))
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            model,
            name="linear",
            signature=infer_signature(pd.DataFrame({"age": [1.0]}), np.zeros(1)),
            pip_requirements=["numpy"],
            registered_model_name="linear",
        )
    take = sources.ColumnGrid.take
    monkeypatch.setattr(sources.ColumnGrid, "take", lambda *given: take(*given).astype(str).astype(object))
    message = failure(settings, "models:/linear/1", trust_model=True)
    assert "the model failed (MlflowException)" in message
    assert_kept(message)
    watched()


# Secrets in URIs


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://me:PASSWORD@house/data.csv?sig=TOKEN", "https://house/data.csv"),
        ("https://TOKEN@house/data.csv", "https://house/data.csv"),
        ("https://me:PASS@WORD@house/x", "https://house/x"),
        ("https://me:PASS/WORD@house/x", "https://house/x"),
        ("https://me:PASS?WORD@house/x", "https://house/x"),
        ("https://me:PASS#WORD@house/x", "https://house/x"),
        ("https://me:PASS WORD@house/x", "https://house/x"),
        ("HTTPS://me:PASSWORD@house:443/x#access_token=TOKEN", "HTTPS://house:443/x"),
        ("https:/me:PASSWORD@house/x", "https:/house/x"),
        ("postgresql+psycopg2://me:PASSWORD@house:5432/mlflow?password=TOKEN", "postgresql+psycopg2://house:5432/mlflow"),
        ("s3://KEY:PASS/WORD@bucket/a.csv", "s3://bucket/a.csv"),
        ("sqlite:///mlflow.db?key=TOKEN", "sqlite:///mlflow.db"),
    ],
)  # fmt: skip
def test_a_uri_is_shown_without_what_is_secret_in_it(uri, shown):
    assert without_secrets(uri) == shown
    if " " not in uri:
        assert without_secrets_in(f"no answer from '{uri}', or {uri}.") == f"no answer from '{shown}', or {shown}."


@pytest.mark.parametrize(
    "location",
    [
        "models:/credit@champion", "runs:/0a1b/data/a@b.csv", "sqlite:////data/a@b/mlflow.db", "file:///data/a#b@c.csv",
        "https://house:80/a@b.csv", "https://[::1]:80/a@b", "s3://bucket/a#b@c.csv", "C:/me:x@y/a.csv", "/a?b@c.csv",
        "abfss://container@account.dfs.core.windows.net/a.csv", "dbfs:/a.csv", "mlflow-artifacts:/1/a",
    ],
)  # fmt: skip
def test_a_location_without_secrets_stays_as_it_is(location):
    assert without_secrets(location) == location
    assert without_secrets_in(f"see {location}") == f"see {location}"


class _Broken(BaseHTTPRequestHandler):
    """A tracking server that says that it is well, and hangs up on everything else."""

    def do_GET(self):
        if self.path == "/health":
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.close_connection = True

    do_POST = do_GET  # noqa: N815 - as the base class calls it

    def log_message(self, *_):
        pass


@pytest.fixture
def broken_server():
    """URI of such a server, with a password in it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Broken)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://me:PASSWORD@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_what_mlflow_says_of_a_server_does_not_show_its_password(broken_server, house, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    command = [
        "audit",
        "--tracking-uri",
        broken_server,
        "--model-uri",
        "models:/house/1",
        "--config",
        str(house.config),
    ]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert f"gave no answer, or only errors, at {without_secrets(broken_server)}/api" in result.stderr
    assert_kept(result.stderr, result.output, caplog.text)


def test_a_model_uri_with_a_password_is_shown_without(house, tracked):
    for uri in ("https://me:PASSWORD@house/model?sig=TOKEN", "s3://KEY:PASSWORD@bucket/model"):
        with pytest.raises(AuditError, match=without_secrets(uri)) as caught:
            audit(house.config, model_uri=uri)
        assert_kept(str(caught.value))


@pytest.mark.parametrize(
    "command",
    [
        ["audit", "--config", "{uri}", "--model-uri", "models:/house/1"],
        ["audit", "--policy", "{uri}", "--model-uri", "models:/house/1"],
        ["publish", "{uri}"],
        ["check", "--model-uri", "{uri}"],
        ["check", "--run", "{uri}"],
        ["compare", "{uri}", "models:/house/1"],
        ["promote", "{uri}", "--alias", "champion"],
        ["history", "{uri}"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_uri_given_in_the_wrong_place_is_shown_without_its_secrets(store, tracked, command, debug):
    given = [part.format(uri="https://me:PASSWORD@house/a?sig=TOKEN") for part in command]
    result = CliRunner().invoke(main, [*given, "--tracking-uri", store, *debug])
    assert result.exit_code == 2
    assert ("Traceback" in result.stderr) == bool(debug)
    assert_kept(result.stderr, result.output)


def test_what_nobody_expected_is_told_by_its_name_alone(house, store, monkeypatch, caplog):
    """Words of another library's error may hold data."""
    from nnperm_mlflow.auditor import preparation as planning

    def fail(*_):
        raise ArithmeticError(f"no {NUMBER} in CANARY-ROW-7")

    monkeypatch.setattr(planning, "load_dataset", fail)
    command = ["audit", "--tracking-uri", store, "--model-uri", "models:/house/1", "--config", str(house.config)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "unexpected ArithmeticError" in result.stderr
    assert_kept(result.stderr, result.output, caplog.text)
