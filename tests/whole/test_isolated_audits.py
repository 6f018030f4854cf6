"""Audits of models whose own code runs in a process apart, from the command line: how they end, however that is."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

from tests.models.test_isolation import is_running, saved
from tests.support.faults import PROJECT, message_in, nnperm
from tests.support.servers import wait_until
from tests.whole.test_killed import HEEDING

pytestmark = pytest.mark.slow

ROWS = pd.DataFrame({"age": np.arange(40.0), "income": np.linspace(3, 4, 40)})

SLOW = """
import time
child = subprocess.Popen(["sleep", "600"])
with open(PIDS, "a") as file:
    print(os.getpid(), child.pid, file=file)
time.sleep(0.3)
return rows["age"].to_numpy()
"""


def configured(folder, **more):
    ROWS.to_csv(folder / "rows.csv", index=False)
    settings = {"data": {"static": str(folder / "rows.csv")}, **more}
    (folder / "audit.yaml").write_text(yaml.safe_dump(settings))
    return folder / "audit.yaml"


def asked(folder, model, store, **more):
    where = ["--tracking-uri", store, "--experiment", "tests", "--work-dir", folder / "work", "--trust-model"]
    return ["audit", "--model-uri", model, "--config", configured(folder, **more), *where]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_process_of_a_model_ends_with_the_audit_however_that_ends(tmp_path, store, number):
    pids = tmp_path / "pids"
    model = saved(tmp_path, SLOW.replace("PIDS", repr(str(pids))))
    arguments = map(str, asked(tmp_path, model, store, analysis={"repeats": 500, "block_rows": 10}))
    command = [sys.executable, "-c", HEEDING, sys.executable, "-m", "nnperm_mlflow", *arguments]
    with subprocess.Popen(command, cwd=PROJECT, start_new_session=True, stderr=subprocess.PIPE) as process:
        try:
            sheets = "states/*/blocks/*.sheet"
            wait_until(
                lambda: process.poll() is not None or [*(tmp_path / "work").glob(sheets)], "no part was finished"
            )
            assert process.poll() is None, process.stderr.read()
            started = {int(pid) for pid in pids.read_text().split()}
            model_pid = int(pids.read_text().split()[0])
            assert model_pid in {child.pid for child in psutil.Process(process.pid).children()}
            assert is_running(model_pid)
            os.kill(process.pid, number)
            assert process.wait(60) in (-signal.SIGKILL, 128 + number)
        finally:
            process.kill()
    wait_until(lambda: not any(is_running(pid) for pid in started), "the model goes on", 20)


def test_a_policy_that_demands_no_code_fails_where_code_ran_and_the_audit_stays(tmp_path, store):
    model = saved(tmp_path, "return rows['age'].to_numpy()")
    demands = {"format": 2, "checks": [{"any": True, "max": 100.0}], "requires": {"model_code": "none"}}
    status, said = nnperm(*asked(tmp_path, model, store, **demands))
    assert status != 0
    assert "a model that runs no code of its own, and its code ran in a process of its own" in message_in(said)


def test_memory_that_runs_out_in_the_model_is_told_in_a_line(tmp_path, store):
    """The end that the system makes of it: SIGKILL, in the middle of the measurement."""
    killed = "if rows['age'].iloc[0] != 0:\n    os.kill(os.getpid(), 9)\nreturn rows['age'].to_numpy()"
    status, said = nnperm(*asked(tmp_path, saved(tmp_path, killed), store))
    assert status != 0
    assert "was killed (SIGKILL). Memory may have been short" in message_in(said)
