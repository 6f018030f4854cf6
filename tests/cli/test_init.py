"""`nnperm init`: the file that it writes is audited without an edit, and what it cannot know it tells."""

import shlex

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from nnperm_mlflow import audit, load_config
from nnperm_mlflow.cli.main import main

HOUSE = "models:/house/1"


@pytest.fixture
def run(store, tmp_path, monkeypatch):
    """Run a command in an empty folder; gives its exit status and all that it says."""
    monkeypatch.chdir(tmp_path)

    def invoke(*command):
        result = CliRunner().invoke(main, [*map(str, command), "--tracking-uri", store])
        return result.exit_code, result.output

    return invoke


@pytest.fixture
def files(house):
    folder = house.config.parent
    return "--data", folder / "house.parquet", "--history", folder / "house_history.npy"


def test_what_it_writes_is_audited_without_an_edit_and_gives_what_a_configuration_by_hand_gives(
    run, files, house, tracked, tmp_path
):
    code, said = run("init", HOUSE, *files)
    assert code == 0, said
    command = shlex.split(said.splitlines()[-1])
    assert command[0] == "then:"  # since the channels want names
    assert run(*command[2:-2], "--output", "audit")[0] == 0
    table = pd.read_parquet(tmp_path / "audit" / "deviations.parquet")
    by_hand = audit({**house.settings(), "analysis": {}}, model_uri=HOUSE).table.drop(columns=["balance", "payment"])
    pd.testing.assert_frame_equal(table[by_hand.columns], by_hand)
    config = load_config("house.yaml")
    assert config.inputs == {
        "num_input": ["age", "income", "flag"],
        "region_input": "region",
        "temporal_input": "house_history",
    }
    assert (config.data.row_id, config.data.label) == ("client", "label")
    assert config.data.temporal["house_history"].channel_axis == 1


def test_predictions_that_do_not_fit_the_outcome_are_told(run, files):
    """The network of the tests knows nothing of its labels, which were drawn."""
    _, said = run("init", HOUSE, *files)
    assert "predictions do NOT fit the outcome 'label' better than chance might: AUC 0.5" in said
    assert "numbers of num_input: in the order of the file; that the model takes them so is assumed." in said
    assert "1. " not in said


def test_each_input_is_told_with_its_data_and_why(run, files):
    _, said = run("init", HOUSE, *files)
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert "num_input age, income, flag all numeric columns that nothing else takes" in lines
    assert "region_input region by its name" in lines
    channels = "house_history: house_history channel 1, house_history channel 2"
    assert f"temporal_input {channels} the only input that an array of shape (400, 2, 6) fits" in lines
    assert "row id client (each row has its own)" in lines
    assert "label label (by its name)" in lines
    assert "- what the channels of 'house_history' are called in tables and pictures: write their names behind" in lines


def test_what_it_cannot_know_is_told_with_the_line_that_decides_it(run, files):
    code, said = run("init", HOUSE, *files[:2])
    assert code == 0
    assert "open, and marked in house.yaml" in said
    assert "data: {temporal: {history: {columns: {CHANNEL: [FIRST_STEP, SECOND_STEP]}}}}" in said
    assert "inputs: {temporal_input: history}" in said
    code, said = run("audit", "--config", "house.yaml")
    assert (code, "no data found for 'temporal_input'" in said) == (2, True)


def test_a_file_that_is_there_stays(run, files, tmp_path):
    (tmp_path / "house.yaml").write_text("mine")
    code, said = run("init", "models:/nobody-asks-for-this/1", *files, "--output", "house.yaml")
    assert (code, "'house.yaml' is there already. Write over it (--force)" in said) == (2, True)
    assert (tmp_path / "house.yaml").read_text() == "mine"
    assert run("init", HOUSE, *files, "--force")[0] == 0
    assert yaml.safe_load((tmp_path / "house.yaml").read_text())["model"] == HOUSE


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("--data", "clients.csv"), "no model is named: nnperm init models:/credit/3 --data clients.csv"),
        ((HOUSE,), "no data are named: give a table (--data clients.csv), arrays (--history h.npy), or both"),
        ((HOUSE, "--data", "gone.csv"), "there is no file 'gone.csv'"),
        (("models:/nobody/1", "--data", "gone.csv"), "models:/nobody/1 is not in the registry"),
    ],
)
def test_what_is_missing_is_told_and_nothing_is_written(run, command, message, tmp_path):
    code, said = run("init", *command)
    assert (code, message in said) == (2, True), said
    assert list(tmp_path.iterdir()) == []


def test_arrays_alone_are_data_enough_where_the_model_takes_no_more(run, store, tmp_path):
    import keras
    import mlflow

    mlflow.set_tracking_uri(store)
    network = keras.Sequential([keras.Input((4, 1)), keras.layers.LSTM(2), keras.layers.Dense(1)])
    rows = np.random.default_rng(0).normal(size=(20, 4, 1)).astype("float32")
    np.save(tmp_path / "walks.npy", rows)
    signature = mlflow.models.infer_signature(rows, network.predict(rows, verbose=0))
    mlflow.tensorflow.save_model(network, tmp_path / "model", signature=signature, pip_requirements=["keras"])
    code, said = run("init", "model", "--history", "walks.npy")
    assert code == 0, said
    config = load_config(tmp_path / "audit.yaml")
    assert config.model == str(tmp_path / "model")
    code, said = run("audit", "--config", "audit.yaml")
    assert (code, "walks shuffle" in " ".join(said.split())) == (0, True), said
