"""Many audits in one process, as a service makes them: neither memory nor files pile up."""

import json
import os
import statistics
import subprocess
import sys

import pytest

from tests.support.faults import PROJECT
from tests.support.simulations import in_full

N_AUDITS, WARM_UP = in_full((200, 30), (40, 15))
MOST_GROWTH = 1.1
_AROUND = 10


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="counts file descriptors, which Windows has not")
def test_many_audits_in_one_process_take_no_more_memory_and_leave_no_files(house, store, tmp_path):
    (tmp_path / "temporary").mkdir()
    config = tmp_path / "house.yaml"
    config.write_text(json.dumps(house.settings()))  # JSON is YAML
    command = [sys.executable, "-m", "tests.support.soaking", str(config), store, str(tmp_path / "work"), str(N_AUDITS)]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run(command, check=False, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told) == N_AUDITS
    warm, end = told[WARM_UP : WARM_UP + _AROUND], told[-_AROUND:]
    figures = {key: [statistics.median(each[key] for each in part) for part in (warm, end)] for key in told[0]}
    print(figures)  # noqa: T201 - for whoever wants to know
    assert figures["mib"][1] <= MOST_GROWTH * figures["mib"][0]
    assert figures["files"][1] <= figures["files"][0]
    assert figures["left"][1] <= figures["left"][0]
