"""A disk that is full: told in a line with what to do; nothing half written looks whole, and the audit goes on."""

import errno
import os
import subprocess
import sys
from functools import cache

import mlflow
import numpy as np
import pytest
import yaml

from nnperm_mlflow import audit
from nnperm_mlflow.analysis.engine.block_result import BlockResult
from nnperm_mlflow.analysis.engine.kept_predictions import Predictions
from nnperm_mlflow.basics.audit_files import file_digest
from nnperm_mlflow.basics.errors import ConfigError, RoomError, TrackingError
from tests.support.cases import slow
from tests.support.faults import PROJECT, SmallDisk, commands_in, message_in, nnperm
from tests.support.house import build_house, register
from tests.support.servers import running_server

N_ROWS, N_BLOCKS = 400, 4


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        small = SmallDisk(folder, mib=2)
    except OSError as error:
        pytest.skip(f"needs a user who may mount a small disk (root): {error}")
    yield small
    small.remove()


ANALYSES = {
    "once": {"seed": 3, "block_rows": N_ROWS // N_BLOCKS},
    "auto": {
        "seed": 3, "block_rows": N_ROWS // N_BLOCKS, "repeats": "auto", "precision": 1e-9, "max_repeats": 3
    },
}  # fmt: skip


@pytest.fixture
def settings(house, tracked):
    return {**house.settings(), "analysis": dict(ANALYSES["once"])}


@pytest.fixture(scope="module")
def whole(house, store, tmp_path_factory):
    """Return a function that makes each audit once, where the disk has room."""
    mlflow.set_tracking_uri(store)
    folder = tmp_path_factory.mktemp("whole")

    @cache
    def audited(repeats):
        settings = {**house.settings(), "analysis": ANALYSES[repeats]}
        return audit(settings, model_uri="models:/house/1", output=folder / repeats)

    return audited


def filling(disk, at):
    """Return a listener that lets the disk be full once so many rows are done: by another program, as it were."""

    def listen(done, _):
        if done == at:
            disk.fill()

    return listen


def tables(folder):
    return {path.name: file_digest(path) for path in folder.rglob("deviations.parquet")}


def calls_of(result):
    return mlflow.MlflowClient().get_run(result.run_id).data.metrics["nnperm/model_calls"]


@pytest.mark.parametrize("left", [0, 20_000])
def test_a_disk_with_too_little_room_is_told_of_before_a_run_begins(settings, disk, tmp_path, tracked, left):
    (disk.folder / "states").mkdir()
    disk.fill(left)
    experiment = tracked.get_experiment_by_name("tests").experiment_id
    before = len(tracked.search_runs([experiment]))
    with pytest.raises((RoomError, ConfigError), match=r"--work-dir"):
        audit(settings, model_uri="models:/house/1", work_dir=disk.folder, output=tmp_path / "output")
    assert len(tracked.search_runs([experiment])) == before


@pytest.mark.parametrize("at", [200, *slow(0, 100, 300, 400)])
def test_a_work_directory_that_fills_up_keeps_what_is_finished(settings, disk, tmp_path, at, whole):
    options = {"model_uri": "models:/house/1", "work_dir": disk.folder, "output": tmp_path / "output"}
    if at < N_ROWS:
        with pytest.raises(TrackingError, match=rf"refused at '{disk.folder}/.*': No space left .*Make room"):
            audit(settings, **options, progress=filling(disk, at))
        assert not (tmp_path / "output" / "deviations.parquet").exists()
    assert len([*disk.folder.glob("states/*/blocks/*.sheet")]) == at // 100 % N_BLOCKS
    assert not [*disk.folder.glob("states/*/blocks/*.partial")]
    disk.clear()
    result = audit(settings, **options)
    assert tables(tmp_path / "output") == tables(whole("once").directory)
    assert (calls_of(result) < calls_of(whole("once"))) == (0 < at < N_ROWS)
    assert not [*disk.folder.glob("states/*")]


@pytest.mark.parametrize(
    ("repeats", "at"),
    [("once", 200), *slow(("once", 0), ("once", 400), ("auto", 0), ("auto", 200), ("auto", 400))],
)
def test_an_output_directory_that_fills_up_holds_nothing_that_looks_whole(
    settings, disk, tmp_path, whole, *, repeats, at
):
    settings = {**settings, "analysis": ANALYSES[repeats]}
    directory = whole(repeats).directory
    options = {"model_uri": "models:/house/1", "work_dir": tmp_path / "work", "output": disk.folder}
    with pytest.raises(TrackingError, match="No space left .*Make room"):
        audit(settings, **options, progress=filling(disk, at))
    assert tables(disk.folder) in ({}, tables(directory))
    assert not (disk.folder / "publication.json").exists()
    disk.clear()
    result = audit(settings, **options)
    assert calls_of(result) == 0 or at < N_ROWS or repeats == "auto"
    assert tables(disk.folder) == tables(directory)
    assert {path.name for path in disk.folder.iterdir()} == {path.name for path in directory.iterdir()}


def result_of(n_rows, n_repeats):
    """A block with predictions of two outputs under three perturbations."""
    rng = np.random.default_rng(0)
    predictions = [[rng.random((n_rows, 2)) for _ in range(3)] for _ in range(n_repeats)]
    nothing = np.empty(0)
    as_they_are = rng.random((n_rows, 2))
    return BlockResult(np.arange(n_rows), nothing, nothing, nothing, nothing, nothing, predictions, as_they_are)


FILLED_WITHIN = """
import sys
from nnperm_mlflow import audit
from tests.support.faults import filled
config, store, folder, work = sys.argv[1:]
audit(config, model_uri="models:/house/1", output=folder, work_dir=work,
      progress=lambda done, _: filled(folder, left=8192) if done == 0 else None)
"""


@pytest.mark.slow
def test_predictions_for_scores_that_find_no_room_end_no_process_by_a_signal(settings, disk, tmp_path, store):
    """Where a file is mapped into memory, writing to it cannot fail: the process would be killed."""
    settings["analysis"]["scores"] = ["neg_log_loss"]
    config = tmp_path / "scores.yaml"
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-c", FILLED_WITHIN, config, store, disk.folder, tmp_path / "work"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store}
    done = subprocess.run(command, check=False, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.returncode
    refused = f"TrackingError: the disk or the network refused at '{disk.folder}': No space left on device. Make room"
    assert refused in done.stderr


@pytest.mark.parametrize("lacks", ["the call", "the promise"])
def test_room_on_disk_is_taken_also_where_the_system_cannot_promise_it(disk, monkeypatch, lacks):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if lacks == "the call":
        monkeypatch.delattr(os, "posix_fallocate")
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse)
    result = result_of(n_rows=10, n_repeats=2)
    kept = Predictions(disk.folder)
    kept.add(result, 10, range(2))
    assert np.array_equal([*kept.of(0)], [each[0] for each in result.predictions])
    disk.fill(left=8192)
    with pytest.raises(OSError, match=f"No space left on device: '{disk.folder}'"):
        Predictions(disk.folder).add(result, 100_000, range(2))


@pytest.fixture
def served(disk, tmp_path):
    """A server that keeps artifacts on the small disk, and the configuration of an audit of a version there."""
    artifacts = disk.folder / "artifacts"
    with running_server(tmp_path, artifacts=str(artifacts)) as address:
        mlflow.set_tracking_uri(address)
        house = build_house(tmp_path, "house")
        register(house, "risk")
        yield address, house.config


@pytest.mark.slow
def test_a_server_whose_disk_is_full_gets_what_it_lacks_once_there_is_room(served, disk, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address, config = served
    output = tmp_path / "output"
    where = ["--tracking-uri", address, "--work-dir", tmp_path / "work"]
    disk.fill(left=9_000)  # room for some files, and a part of others
    status, said = nnperm("audit", "--model-uri", "models:/house/1", "--config", config, "--output", output, *where)
    assert status == 2
    (command,) = commands_in(message_in(said))
    client = mlflow.MlflowClient()
    assert client.get_model_version("house", "1").tags == {}
    assert nnperm(*command)[0] == 2  # the disk is still full
    disk.clear()
    assert nnperm(*command)[0] == 0
    assert not [*(tmp_path / "work").glob("states/*")]
    run = client.get_run(client.get_model_version("house", "1").tags["nnperm.run_id"])
    kept = disk.folder / "artifacts" / run.info.experiment_id / run.info.run_id / "artifacts"
    assert run.info.status == "FINISHED"
    assert {path.name: file_digest(path) for path in output.iterdir()}.items() <= {
        path.name: file_digest(path) for path in kept.iterdir()
    }.items()
