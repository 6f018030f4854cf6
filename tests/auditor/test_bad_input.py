"""Bad input ends with one clear message and exit status 2, and leaves no run behind."""

import errno
import os
import socket
import subprocess
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from nnperm_mlflow.basics.errors import TrackingError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.registry import connection
from nnperm_mlflow.registry import error_explanation as explaining


def change(settings, *path, to):
    for key in path[:-1]:
        settings = settings[key]
    settings[path[-1]] = to


def rename_column(settings, folder):
    pd.read_parquet(settings["data"]["static"]).rename(columns={"income": "wage"}).to_parquet(
        folder / "renamed.parquet"
    )
    change(settings, "data", "static", to=str(folder / "renamed.parquet"))


def wrong_axis(settings, folder):
    change(settings, "data", "temporal", "history", "channel_axis", to=2)


def too_few_steps(settings, folder):
    np.save(folder / "short.npy", np.load(settings["data"]["temporal"]["history"]["file"])[:, :, :4])
    change(settings, "data", "temporal", "history", "file", to=str(folder / "short.npy"))


def no_rows(settings, folder):
    pd.read_parquet(settings["data"]["static"])[:0].to_parquet(folder / "empty.parquet")
    np.save(folder / "empty.npy", np.load(settings["data"]["temporal"]["history"]["file"])[:0])
    change(settings, "data", "static", to=str(folder / "empty.parquet"))
    change(settings, "data", "temporal", "history", "file", to=str(folder / "empty.npy"))


def one_row(settings, folder):
    pd.read_parquet(settings["data"]["static"])[:1].to_parquet(folder / "one.parquet")
    np.save(folder / "one.npy", np.load(settings["data"]["temporal"]["history"]["file"])[:1])
    change(settings, "data", "static", to=str(folder / "one.parquet"))
    change(settings, "data", "temporal", "history", "file", to=str(folder / "one.npy"))


def nan_in_the_data(settings, folder):
    table = pd.read_parquet(settings["data"]["static"])
    table.loc[17, "age"] = np.nan
    table.to_parquet(folder / "nan.parquet")
    change(settings, "data", "static", to=str(folder / "nan.parquet"))


def unknown_code(settings, folder):
    table = pd.read_parquet(settings["data"]["static"])
    table.loc[3, "region"] = 77
    table.to_parquet(folder / "code.parquet")
    change(settings, "data", "static", to=str(folder / "code.parquet"))


CASES = {
    "unknown key": (lambda s, _: s.update(analyses={}), "unknown key 'analyses'.*Did you mean 'analysis'"),
    "key deep down": (lambda s, _: change(s, "analysis", "repeat", to=2), "'repeat' under 'analysis'.*'repeats'"),
    "missing file": (lambda s, _: change(s, "data", "static", to="/nowhere/x.csv"), "no file '/nowhere/x.csv'"),
    "missing column": (rename_column, "'income', which is no column.*'wage'"),
    "wrong axis": (wrong_axis, r"\(400, 2, 6\) has 6 entries along channel_axis 2, but 2 channels"),
    "wrong shape": (too_few_steps, r"'temporal_input' \(rows, 6, 2; float32\), but .* 4 steps of 2 channels"),
    "unknown feature": (
        lambda s, _: change(s, "analysis", "exclude", to=["agee"]),
        "'agee' is not a .*Did you mean 'age'",
    ),
    "unknown input": (
        lambda s, _: change(s, "inputs", "number_input", to="age"),
        "'number_input' is no input of the model",
    ),
    "unknown output": (lambda s, _: change(s, "analysis", "output", to="rissk"), "no output 'rissk'.*'risk'"),
    "empty table": (no_rows, "holds no rows"),
    "one row": (one_row, "holds one row"),
    "nan": (nan_in_the_data, r"'age' holds NaN in 1 of 400 rows \(first: row 17\).*missing: skip"),
    "code beyond the embedding": (unknown_code, "InvalidArgumentError|gave NaN or infinity"),
}


@pytest.fixture
def nothing_left(tracked, store):
    """Check that a failed audit leaves no run that goes on, and none that looks finished."""
    before = {run.info.run_id for run in mlflow.search_runs(experiment_names=["tests"], output_format="list")}
    yield
    mlflow.set_tracking_uri(store)
    after = mlflow.search_runs(experiment_names=["tests"], output_format="list")
    assert [run.info.status for run in after if run.info.run_id not in before and run.info.status != "FAILED"] == []


def nnperm(*arguments, store):
    return CliRunner().invoke(main, ["audit", *arguments, "--tracking-uri", store])


@pytest.mark.parametrize("case", CASES)
def test_bad_input_ends_with_one_message_and_status_2(case, house, store, tmp_path, nothing_left):
    spoil, message = CASES[case]
    settings = house.settings()
    spoil(settings, tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    result = nnperm("--model-uri", "models:/house/1", "--config", str(tmp_path / "config.yaml"), store=store)
    assert_one_message(result, message)


def test_several_things_that_are_wrong_are_told_together_each_in_a_line_of_its_own(
    house, store, tmp_path, nothing_left
):
    settings = house.settings()
    change(settings, "data", "label", to="lable")
    change(settings, "inputs", "num_input", to=["age", "incom\n2. done"])
    change(settings, "analysis", "within", to=["regoin"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    result = nnperm("--model-uri", "models:/house/1", "--config", str(tmp_path / "config.yaml"), store=store)
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()[-4:]
    assert lines[0] == "DataError: 3 things are to be mended:"
    for number, words in enumerate(["'lable'", "'regoin'", r"'incom\n2. done'"], start=1):
        assert lines[number].startswith(f"{number}. ")
        assert words in lines[number]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("models:/hose/1", "no model 'hose'.*Did you mean 'house'"),
        ("models:/house/99", "'house' has the versions '1'"),
        ("models:/house@challenger", "aliases"),
        ("models:/house", "no model URI; expected models:/name/3"),
        ("models:/m-0123456789abcdef", "not in the tracking store"),
        ("runs:/0123456789abcdef0123456789abcdef/model", "no run"),
        ("no/such/directory", "no model directory"),
    ],
)
def test_a_model_that_is_not_there_is_named(uri, message, house, store, nothing_left):
    assert_one_message(nnperm("--model-uri", uri, "--config", str(house.config), store=store), message)


def test_a_value_in_the_data_never_stands_in_a_message(house, store, tmp_path, nothing_left):
    settings = house.settings()
    table = pd.read_parquet(settings["data"]["static"])
    table["age"] = table["age"].astype(str)
    table.loc[5, "age"] = "Jane Doe, 4 Elm Street"
    table.to_parquet(tmp_path / "names.parquet")
    change(settings, "data", "static", to=str(tmp_path / "names.parquet"))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    result = nnperm("--model-uri", "models:/house/1", "--config", str(tmp_path / "config.yaml"), store=store)
    assert_one_message(result, "column 'age' holds text in 400 of 400 rows")
    assert "Jane" not in result.stderr


def test_a_server_that_is_not_there_is_named(house, nothing_left):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = nnperm("--model-uri", "models:/house/1", "--config", str(house.config), store=server)
    assert_one_message(result, f"the MLflow server at {server} cannot be reached")


def test_a_server_that_does_not_answer_is_given_up(house, monkeypatch, nothing_left):
    assert sum(connection.PROBE_SECONDS) < 15
    monkeypatch.setattr(connection, "PROBE_SECONDS", (0.2, 0.2))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = nnperm("--model-uri", "models:/house/1", "--config", str(house.config), store=server)
    assert_one_message(result, "cannot be reached")


def test_a_relative_database_under_mlflow_run_is_refused(house):
    result = CliRunner().invoke(
        main,
        ["audit", "--model-uri", "models:/house/1", "--tracking-uri", "sqlite:///mlflow.db", "--run-id", "0" * 32],
    )
    assert_one_message(result, "sqlite:///mlflow.db is relative")


def test_a_database_that_is_none_is_named(house, tmp_path, nothing_left):
    (tmp_path / "mlflow.db").write_text("this is no database, but long enough to be taken for one" * 20)
    store = f"sqlite:///{tmp_path}/mlflow.db"
    assert_one_message(
        nnperm("--model-uri", "models:/house/1", "--config", str(house.config), store=store), "mlflow.db"
    )


def test_what_the_disk_refuses_is_told_with_its_place():
    told = "refused at '/full/table': No space left on device. Make room"
    with pytest.raises(TrackingError, match=told), explaining.explained():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full/table")


@pytest.mark.slow
def test_the_process_itself_ends_with_status_2_and_without_traceback(house, store):
    done = subprocess.run(
        [sys.executable, "-m", "nnperm_mlflow", "audit", "--tracking-uri", store, "--model-uri", "models:/nobody/1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("ModelNotFoundError: models:/nobody/1 is not in the registry")
    assert "Traceback" not in done.stderr


def test_credit_without_its_file_says_where_it_is_told():
    result = CliRunner().invoke(main, ["demo", "credit"])
    assert result.exit_code == 2
    assert "UCI_Credit_Card.csv" in result.stderr


def assert_one_message(result, message):
    import re

    assert result.exit_code == 2, (result.output, result.exception)
    last = result.stderr.strip().splitlines()[-1]
    assert re.search(message, last), last
    assert re.match(r"[A-Z]\w+Error: ", last)
    assert "Traceback" not in result.output
