"""Audits that are killed: begun again they go on, end with the same bytes, and leave one whole run."""

import json
import subprocess
import sys
from pathlib import Path

import mlflow
import pyarrow.parquet as pq
import pytest

from nnperm_mlflow import audit
from nnperm_mlflow.digests import file_digest
from tests.house import build_house, register

PROJECT = Path(__file__).parents[1]
KILLS = 50


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *arguments], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=600, **options
    )


@pytest.mark.slow
def test_whenever_an_audit_is_killed_it_ends_with_the_same_bytes():
    """Twice in a row at random calls of functions, from the first block to the summary."""
    done = python("-m", "tests.killing", str(KILLS))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told) == KILLS
    assert all(each["same"] for each in told)
    assert {each["tries"] for each in told} >= {2, 3}
    assert all(each["left"] == ["table.parquet"] for each in told)
    assert {each["predicted"] for each in told} >= {0, told[0]["of"] // 2}  # what had been finished was not done again


@pytest.fixture(scope="module")
def home(store, tmp_path_factory):
    mlflow.set_tracking_uri(store)
    house = build_house(tmp_path_factory.mktemp("interrupted"), "interrupted")
    register(house)
    settings = house.config.read_text()
    house.config.write_text(settings.replace("  seed: 3", "  seed: 3\n  repeats: 2\n  block_rows: 100"))
    return house


KILLED_AT = {
    "the third block": "from nnperm_mlflow.analysis import journal as place; name = '_write_whole'; at = 3",
    "the first file that is uploaded": "from mlflow import MlflowClient as place; name = 'log_artifact'; at = 1",
    "the metrics": "from mlflow import MlflowClient as place; name = 'log_batch'; at = 2",
    "the verdict": "from mlflow import MlflowClient as place; name = 'log_text'; at = 1",
    "the tags of the version": "from mlflow import MlflowClient as place; name = 'set_model_version_tag'; at = 1",
}
PRELUDE = """
import os, signal
{where}
real, calls = getattr(place, name), 0
def counted(*given, **more):
    global calls
    calls += 1
    if calls == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **more)
setattr(place, name, counted)
from nnperm_mlflow.cli import main
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", KILLED_AT)
def test_a_real_audit_that_is_killed_ends_as_one_whole_run(home, store, tracked, tmp_path, where):
    whole = audit(home.config, model_uri="models:/interrupted/1", work_dir=tmp_path / "whole")
    version = tracked.get_model_version("interrupted", "1")
    command = ["audit", "--tracking-uri", store, "--model-uri", "models:/interrupted/1", "--config", str(home.config)]
    command += ["--work-dir", str(tmp_path / "work"), "--output", str(tmp_path / "output")]
    killed = python("-c", PRELUDE.format(where=KILLED_AT[where]), *command)
    assert killed.returncode == -9, killed.stderr
    assert list((tmp_path / "work" / "states").glob("*/blocks/*.sheet"))
    assert tracked.get_model_version("interrupted", "1").tags["nnperm.run_id"] == version.tags["nnperm.run_id"]
    again = python("-m", "nnperm_mlflow", *command)
    assert again.returncode == 0, again.stderr
    assert "going on with an audit that was interrupted" in again.stderr
    tags = tracked.get_model_version("interrupted", "1").tags
    run = tracked.get_run(tags["nnperm.run_id"])
    assert (run.info.status, tags["nnperm.run_id"] != whole.run_id) == ("FINISHED", True)
    assert run.data.params["table_digest"] == file_digest(whole.directory / "deviations.parquet")
    assert pq.read_metadata(tmp_path / "output" / "deviations.parquet").num_rows == 800
    assert all(len(tracked.get_metric_history(run.info.run_id, key)) == 1 for key in run.data.metrics)
    assert not list((tmp_path / "work" / "states").iterdir())


def test_other_settings_start_afresh_and_say_so(home, tracked, tmp_path, caplog):
    caplog.set_level("INFO")
    settings = {**home.settings(), "analysis": {"seed": 3, "block_rows": 100}}
    work = tmp_path / "work"

    def stop(done, total):
        if done >= 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(settings, model_uri="models:/interrupted/1", work_dir=work, progress=stop)
    other = {**settings, "analysis": {"seed": 4, "block_rows": 100}}
    result = audit(other, model_uri="models:/interrupted/1", work_dir=work)
    assert "an unfinished audit of models:/interrupted/1 is of another seed: this one starts afresh" in caplog.text
    calls = tracked.get_run(result.run_id).data.metrics["nnperm/model_calls"]
    caplog.clear()
    resumed = audit(settings, model_uri="models:/interrupted/1", work_dir=work)
    assert "going on with an audit that was interrupted: 2 parts are there" in caplog.text
    assert tracked.get_run(resumed.run_id).data.metrics["nnperm/model_calls"] < calls
    with pytest.raises(KeyboardInterrupt):
        audit(settings, model_uri="models:/interrupted/1", work_dir=work, progress=stop)
    fresh = audit(settings, model_uri="models:/interrupted/1", work_dir=work, fresh=True)
    assert tracked.get_run(fresh.run_id).data.metrics["nnperm/model_calls"] == calls
