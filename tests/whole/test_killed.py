"""An audit that is killed, at whatever moment, and started again with the same command ends as if nothing had been."""

import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
import yaml

from tests.support.faults import PROJECT, STAGES, Ended, Ending, Launcher
from tests.support.house import House
from tests.support.servers import wait_until
from tests.support.simulations import in_full

pytestmark = pytest.mark.slow

N_KILLS = in_full(50, 8)
N_BLOCKS = 8
OWN_TEXT = "Made by Ada."


@dataclass(frozen=True)
class Desk:
    """Where audits of one version are started: by one command, with one place for its work and one for its files."""

    launcher: Launcher
    store: str
    config: Path
    folder: Path
    client: mlflow.MlflowClient

    @property
    def output(self):
        return self.folder / "output"

    @property
    def work(self):
        return self.folder / "work"

    def audit(self, ending: Ending | None = None, *options) -> Ended:
        asked = ["--model-uri", "models:/house/1", "--config", self.config, "--output", self.output, *options]
        return self.nnperm("audit", *asked, ending=ending)

    def nnperm(self, command, *arguments, ending=None):
        where = ["--tracking-uri", self.store, "--work-dir", self.work]
        return self.launcher.nnperm(command, *arguments, *where, ending=ending)

    def clear(self):
        shutil.rmtree(self.output, ignore_errors=True)
        shutil.rmtree(self.work, ignore_errors=True)

    @property
    def table(self):
        path = self.output / "deviations.parquet"
        return path.read_bytes() if path.exists() else None

    @property
    def sheets(self):
        """Each finished part, with what tells whether it was written anew."""
        return {path.name: path.stat().st_ino for path in self.work.glob("states/*/blocks/*.sheet")}

    @property
    def states(self):
        return [*self.work.glob("states/*")]

    def status_of_linked(self):
        return self.client.get_run(self.client.get_model_version("house", "1").tags["nnperm.run_id"]).info.status

    def newest_run(self):
        experiment = self.client.get_experiment_by_name("tests").experiment_id
        return self.client.search_runs([experiment], "tags.`nnperm.kind` = 'audit'", max_results=1)[0]


@pytest.fixture(scope="module")
def desk(house: House, store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    settings = house.settings()
    settings["analysis"] = {
        "seed": 3,
        "repeats": 2,
        "block_rows": 50,
        "windows": 2,
        "groups": {"both": ["age", "flag"]},
    }
    settings["checks"] = [{"name": "no reliance on region", "feature": "region", "max": 0.9}]
    config = folder / "audit.yaml"
    config.write_text(yaml.safe_dump(settings))
    mlflow.set_tracking_uri(store)
    client = mlflow.MlflowClient()
    client.update_model_version("house", "1", OWN_TEXT)
    with Launcher(folder) as launcher:
        yield Desk(launcher, store, config, folder, client)


@dataclass(frozen=True)
class Whole:
    """An audit that nobody interrupted: its table, its calls of the model, its time, its moments by stage."""

    table: bytes
    calls: float
    seconds: float
    moments: dict[str, int]


@pytest.fixture(scope="module")
def whole(desk):
    ended = desk.audit(Ending(stage="none"))
    assert ended.status == 0, ended.said
    assert set(ended.moments) == set(STAGES)
    run = desk.newest_run()
    return Whole(desk.table, run.data.metrics["nnperm/model_calls"], ended.seconds, ended.moments)


def random_endings(whole):
    """Yield a moment of each stage in turn, and one by the clock, wherever that hits."""
    rng = random.Random(0)
    while True:
        for stage in STAGES:
            yield Ending(stage=stage, moment=rng.randint(1, whole.moments[stage]))
        yield Ending(seconds=rng.uniform(0, whole.seconds))


def test_a_killed_audit_goes_on_from_its_last_finished_part_and_ends_with_the_same_bytes(desk, whole):
    """Killed again and again, until it ends by itself; and so on, until it has been killed often enough."""
    endings, kills, n_resumed, finished = random_endings(whole), 0, 0, {}
    desk.clear()
    while kills < N_KILLS or finished:
        ended = desk.audit(next(endings) if kills < N_KILLS else None)
        assert ended.status in (0, -signal.SIGKILL), ended.said
        assert desk.table in (None, whole.table)  # nothing half written lies in its place
        assert "damaged" not in ended.said
        if finished and "rows," in ended.said:  # it has come so far as to look for them
            assert f"going on with an audit that was interrupted (finished parts: {len(finished)})" in ended.said
            n_resumed += 1
        assert desk.status_of_linked() == "FINISHED"
        if ended.status == 0:
            assert_ended_well(desk, whole, len(finished))
            desk.clear()
        else:
            kills += 1
            is_done = desk.newest_run().info.status == "FINISHED"  # so that what was finished need not be there
            assert is_done or finished.items() <= desk.sheets.items()  # none has been computed again
        finished = desk.sheets
    assert kills == N_KILLS
    assert n_resumed > 0


def assert_ended_well(desk, whole, n_finished):
    """Assert that all is there, that nothing finished was computed again, and that nothing is left behind."""
    run = desk.newest_run()
    assert desk.table == whole.table
    assert run.info.status == "FINISHED"
    assert run.data.metrics["nnperm/model_calls"] == calls_of_the_rest(whole, n_finished)
    assert all(len(desk.client.get_metric_history(run.info.run_id, key)) == 1 for key in run.data.metrics)
    version = desk.client.get_model_version("house", "1")
    assert version.tags["nnperm.run_id"] == run.info.run_id
    assert version.description.startswith(OWN_TEXT)
    assert version.description.count("Audit run") == 1
    assert " on 400 rows: " in version.description
    assert desk.states == []


def calls_of_the_rest(whole, n_finished):
    """Return the calls that are left; parts of rows that exchange values are begun together, with a call for each."""
    return 0 if n_finished == N_BLOCKS else whole.calls - n_finished * (whole.calls / N_BLOCKS - 1)


@pytest.mark.parametrize("part", [0.6, 0.75, 0.9])
def test_what_was_killed_while_it_was_published_can_be_published(desk, whole, part):
    desk.clear()
    ended = desk.audit(Ending(stage="publishing", moment=int(part * whole.moments["publishing"])))
    assert ended.status == -signal.SIGKILL
    left = desk.newest_run()
    published = desk.nnperm("publish", desk.output)
    assert published.status == 0, published.said
    run = desk.newest_run()
    assert run.info.run_id == left.info.run_id
    assert run.info.status == "FINISHED"
    assert run.data.metrics["nnperm/rows"] == 400
    assert desk.client.get_model_version("house", "1").tags["nnperm.run_id"] == run.info.run_id
    assert desk.states == []


@pytest.mark.parametrize(
    ("number", "status", "stage"),
    [
        (signal.SIGINT, 130, "blocks"),
        (signal.SIGINT, 130, "publishing"),
        (signal.SIGTERM, 143, "journal"),
        (signal.SIGTERM, 143, "table"),
        (signal.SIGTERM, 143, "files"),
        (signal.SIGTERM, 143, "publishing"),
        (signal.SIGHUP, 129, "blocks"),
    ],
)
def test_an_audit_that_is_stopped_ends_its_run_as_killed_and_goes_on_later(desk, whole, number, status, stage):
    desk.clear()
    ended = desk.audit(Ending(number, stage, whole.moments[stage] // 3))  # later the run is whole, and only linked
    assert ended.status == status, ended.said
    assert ended.said.endswith("\nstopped\n")
    assert "Traceback" not in ended.said
    assert desk.newest_run().info.status == "KILLED"
    n_finished = len(desk.sheets)
    assert n_finished > 0
    again = desk.audit()
    assert f"going on with an audit that was interrupted (finished parts: {n_finished})" in again.said
    assert_ended_well(desk, whole, n_finished)


def test_an_audit_that_is_stopped_while_the_version_is_linked_stays_finished(desk, whole):
    desk.clear()
    ended = desk.audit(Ending(signal.SIGTERM, "linking", whole.moments["linking"] - 2))
    assert ended.status == 143
    run = desk.newest_run()
    assert (run.info.status, run.data.tags["nnperm.whole"]) == ("FINISHED", "true")
    assert desk.nnperm("publish", desk.output).status == 0
    assert desk.client.get_model_version("house", "1").tags["nnperm.run_id"] == run.info.run_id


def test_what_was_computed_can_be_thrown_away(desk, whole):
    desk.clear()
    desk.audit(Ending(stage="table", moment=whole.moments["table"] // 2))
    assert len(desk.sheets) > 0
    ended = desk.audit(None, "--fresh")
    assert "going on" not in ended.said
    assert_ended_well(desk, whole, 0)


HEEDING = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
"""Becomes another program that heeds SIGINT, which what runs in the background of a shell ignores."""


@pytest.fixture
def mlflow_run(desk, tmp_path):
    """`mlflow run` in the middle of an audit that takes long enough, the directory of its work, and its run."""
    settings = yaml.safe_load(desk.config.read_text(encoding="utf-8"))
    settings["analysis"]["repeats"] = 400
    config = tmp_path / "long.yaml"
    config.write_text(yaml.safe_dump(settings))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_EXPERIMENT")}
    environment |= {"MLFLOW_TRACKING_URI": desk.store, "XDG_CACHE_HOME": str(tmp_path)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-c", HEEDING, sys.executable, "-m", "mlflow", "run", str(PROJECT)]
    command += [
        "--env-manager",
        "local",
        "--experiment-name",
        "tests",
        "-P",
        "model_uri=models:/house/1",
        "-P",
        f"config={config}",
    ]
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        sheets = "nnperm_mlflow/states/*/blocks/*.sheet"
        try:
            wait_until(lambda: process.poll() is not None or [*tmp_path.glob(sheets)], "no part was finished")
            yield process, tmp_path / "nnperm_mlflow", desk.newest_run().info.run_id
        finally:
            process.kill()


STOPS = [(signal.SIGINT, "all"), (signal.SIGTERM, "mlflow"), (signal.SIGINT, "mlflow"), (signal.SIGTERM, "all")]


@pytest.mark.parametrize(("number", "reaches"), in_full(STOPS, STOPS[:2]))
def test_mlflow_run_that_is_stopped_stops_the_audit_and_the_state_is_kept(mlflow_run, desk, number, reaches):
    """A terminal sends its signals to all processes in it, others to the one that they know."""
    process, work, run_id = mlflow_run
    if reaches == "all":
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert process.wait(60) != 0
    wait_until(lambda: desk.client.get_run(run_id).info.status == "KILLED", "the run does not end as killed")
    assert [*work.glob("states/*/blocks/*.sheet")]
